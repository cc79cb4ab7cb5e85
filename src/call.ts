// One call on its way from arguments to a backend: first checked, then given memory for its results.
import { allocate, checkAttached, type FloatArray, kernelArray, type TypedArray } from "./arrays.js";
import { wrongValue } from "./errors.js";
import {
  type AttentionOptions,
  alibiOf,
  checkOut,
  DEFAULTS,
  flag,
  isCausal,
  keyLengthsOf,
  layoutName,
  offsetsOf,
  readOptions,
  scaleOf,
  sinksOf,
  softcapOf,
  threadsOf,
  windowOf,
} from "./options.js";
import type { Operand, Problem } from "./problem.js";
import {
  fold,
  inputOperand,
  mapDims,
  maskOperand,
  matchShapes,
  outputDims,
  outputOperand,
  type Shapes,
} from "./shapes.js";
import { floatView, isPacked, maskView, pack, product, type Tensor, type TensorLike, type View } from "./tensor.js";

/** A call after its checks. */
export interface Call {
  options: AttentionOptions;
  /** Query, key, value and, where there is one, the mask. */
  inputs: View[];
  shapes: Shapes;
  /** Unfolded. */
  outputDims: number[];
  /** Its results have no memory before allocateResult(). */
  problem: Problem;
}

/** What a call gives; lse and weights where they were asked for. */
export interface Result {
  output: Tensor;
  lse?: Tensor<Float32Array>;
  weights?: Tensor<Float32Array>;
}

const NO_DATA = new Float32Array(1);
const NO_OUTPUT: Operand = { data: NO_DATA, type: "float32", batch: 0, head: 0, row: 0 };

/** Everything that can be said against a call is said here, before any work. */
export function checkCall(query: TensorLike, key: TensorLike, value: TensorLike, given: AttentionOptions): Call {
  const options = readOptions(given);
  const name = layoutName(options);
  const inputs = [floatView("query", query), floatView("key", key), floatView("value", value)];
  if (options.mask !== undefined) inputs.push(maskView(options.mask));
  const shapes = matchShapes(name, options.heads, inputs[0], inputs[1], inputs[2]);
  const problem = checkProblem(shapes, inputs[3], options);
  const dims = outputDims(shapes.layout, shapes.sizes);
  if (options.out !== undefined) checkOut(options, problem.query.type, fold(dims, shapes.layout), inputs);
  return { options, inputs, shapes, outputDims: dims, problem };
}

function checkProblem(shapes: Shapes, mask: View | undefined, options: AttentionOptions): Problem {
  const { layout, sizes } = shapes;
  const keyLengths = keyLengthsOf(options, sizes);
  const causal = isCausal(options);
  const [windowLeft, windowRight] = windowOf(options);
  return {
    batch: sizes.batch,
    heads: sizes.heads,
    kvHeads: sizes.kvHeads,
    tq: sizes.tq,
    tk: sizes.tk,
    d: sizes.d,
    dv: sizes.dv,
    scale: scaleOf(options, sizes),
    softcap: softcapOf(options),
    causal,
    windowLeft,
    windowRight,
    query: inputOperand(shapes.query, layout),
    key: inputOperand(shapes.key, layout),
    value: inputOperand(shapes.value, layout),
    output: NO_OUTPUT,
    mask: mask === undefined ? undefined : maskOperand(mask, sizes),
    keyLengths,
    offsets: offsetsOf(options, keyLengths, sizes),
    alibi: alibiOf(options, sizes),
    sinks: sinksOf(options, sizes),
    lse: flag("lse", options.lse, DEFAULTS.lse) ? NO_DATA : undefined,
    weights: flag("weights", options.weights, DEFAULTS.weights) ? NO_DATA : undefined,
    threads: threadsOf(options),
  };
}

/** Gives the call memory for its results, the caller's `out` where there is one, and for copies of gappy inputs. */
export function allocateResult(call: Call): Result {
  const { shapes, outputDims, problem } = call;
  const { out } = call.options;
  const { layout, query, key, value } = shapes;
  const { type } = problem.query;
  checkStillThere(call);
  const data = out ?? allocate("output", query.className, product(outputDims));
  const result: Result = { output: { data, dims: fold(outputDims, layout), type } };
  problem.output = outputOperand(kernelArray(data), type, layout, outputDims);
  if (problem.lse !== undefined) {
    result.lse = floats("lse", shapes);
    problem.lse = result.lse.data;
  }
  if (problem.weights !== undefined) {
    result.weights = floats("weights", shapes);
    problem.weights = result.weights.data;
  }
  if (!isPacked(query)) problem.query = inputOperand(pack(query), layout);
  if (!isPacked(key)) problem.key = inputOperand(pack(key), layout);
  if (!isPacked(value)) problem.value = inputOperand(pack(value), layout);
  return result;
}

function floats(name: "lse" | "weights", { layout, sizes }: Shapes): Tensor<Float32Array> {
  const dims = mapDims(name, layout, sizes);
  return { data: allocate(name, "Float32Array", product(dims)) as Float32Array, dims, type: "float32" };
}

/** Whether an empty dimension leaves nothing for a backend to do. */
export function isIdle({ batch, heads, tq, tk, dv, lse, weights }: Problem): boolean {
  return batch * heads * tq === 0 || tk === 0 || (dv === 0 && lse === undefined && weights === undefined);
}

/** The results of an idle call: no query sees a key. */
export function fillIdle({ heads, tq, sinks, output, lse }: Problem): void {
  output.data.fill(0);
  if (lse === undefined) return;
  for (let row = 0; row < lse.length; row++) lse[row] = sinks?.[Math.floor(row / tq) % heads] ?? -Infinity;
}

/**
 * Memory is still what was checked. Accessors of the arguments run between the checks, and a caller may transfer buffers
 * during an asynchronous call, although it must not.
 */
export function checkStillThere({ options, inputs, outputDims }: Call): void {
  for (const { name, data, length } of inputs) checkLength(`${name}.data`, data, length);
  if (options.out !== undefined) checkLength("out", options.out, product(outputDims));
}

export function checkLength(name: string, data: TypedArray | FloatArray, length: number): void {
  if (data.length === length && length > 0) return;
  checkAttached(name, data);
  if (data.length !== length) throw wrongValue(`${name}.length`, `${length}, as when it was checked`, data.length);
}
