// One call on its way from arguments to a backend: first checked, then given memory for its results.
import { allocate, checkAttached, type FloatArray, kernelArray, lengthOf, type TypedArray } from "./arrays.js";
import { wrongValue } from "./errors.js";
import { dimsOf, fold, mapDims, SHAPES } from "./layout.js";
import { allocateMap, mapOf, type TopK } from "./maps.js";
import { MemoryRows } from "./memory-rows.js";
import { matchMemory } from "./memory-shapes.js";
import {
  type AttentionOptions,
  alibiOf,
  checkOut,
  DEFAULTS,
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
import { inputOperand, type KeyValue, maskOperand, matchShapes, outputOperand, type Shapes } from "./shapes.js";
import { floatView, isPacked, maskView, pack, product, type Tensor, type TensorLike, type View } from "./tensor.js";
import { flag } from "./values.js";

/** A call after its checks. */
export interface Call {
  options: AttentionOptions;
  /** Query, key and value unless a memory has them, and the mask where there is one. */
  inputs: View[];
  /** What it attends to, instead of key and value. */
  memory: MemoryRows | undefined;
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
  weights?: Tensor<Float32Array> | TopK;
}

const NO_DATA = new Float32Array(1);
const NO_OUTPUT: Problem["output"] = { data: NO_DATA, type: "float32", batch: 0, head: 0, row: 0, scales: undefined };

/** Key and value of a call, or the memory that has both. */
export type Attended = { key: TensorLike; value: TensorLike } | MemoryRows;

/** Everything that can be said against a call is said here, before any work. */
export function checkCall(query: TensorLike, attended: Attended, given: AttentionOptions): Call {
  const options = readOptions(given);
  const name = layoutName(options);
  const inputs = [floatView("query", query)];
  const memory = attended instanceof MemoryRows ? attended : undefined;
  if (!(attended instanceof MemoryRows))
    inputs.push(floatView("key", attended.key), floatView("value", attended.value));
  const mask = options.mask === undefined ? undefined : maskView(options.mask);
  if (mask !== undefined) inputs.push(mask);
  const shapes = memory
    ? matchMemory(name, options.heads, inputs[0], memory.sizes, memory.length)
    : matchShapes(name, options.heads, inputs[0], inputs[1], inputs[2]);
  const problem = checkProblem(shapes, memory, mask, options);
  const dims = dimsOf("output", shapes.layout, shapes.sizes);
  if (options.out !== undefined) checkOut(options, problem.query.type, fold(dims, shapes.layout), inputs);
  return { options, inputs, memory, shapes, outputDims: dims, problem };
}

function checkProblem(
  shapes: Shapes,
  memory: MemoryRows | undefined,
  mask: View | undefined,
  options: AttentionOptions,
): Problem {
  const { layout, sizes } = shapes;
  const keyLengths = memory === undefined ? keyLengthsOf(options, sizes) : memory.lengthsFor(options, sizes);
  const causal = isCausal(options);
  const window = windowOf(options);
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
    windowLeft: window[0],
    windowRight: window[1],
    query: inputOperand(shapes.query, layout),
    key: attendedOperand("key", shapes, memory),
    value: attendedOperand("value", shapes, memory),
    output: NO_OUTPUT,
    mask: mask === undefined ? undefined : maskOperand(mask, sizes),
    keyLengths,
    offsets: offsetsOf(options, keyLengths, sizes),
    alibi: alibiOf(options, sizes),
    sinks: sinksOf(options, sizes),
    lse: flag("lse", options.lse, DEFAULTS.lse) ? NO_DATA : undefined,
    map: mapOf(options.weights, sizes),
    threads: threadsOf(options),
    outside: memory?.store.outside,
  };
}

function attendedOperand(part: "key" | "value", { layout, keyValue }: Shapes, memory: MemoryRows | undefined): Operand {
  return memory?.store.operand(part) ?? inputOperand((keyValue as KeyValue)[part], layout);
}

/** Gives the call memory for its results, the caller's `out` where there is one, and for copies of gappy inputs. */
export function allocateResult(call: Call): Result {
  const { shapes, outputDims, problem } = call;
  const { out } = call.options;
  const { layout, query, keyValue } = shapes;
  const { type } = problem.query;
  checkStillThere(call);
  const data = out ?? allocate("output", query.className, product(outputDims));
  const result: Result = { output: { data, dims: fold(outputDims, layout), type } };
  problem.output = outputOperand(kernelArray(data), type, layout, outputDims);
  if (problem.lse !== undefined) {
    const dims = mapDims(SHAPES.lse, layout, shapes.sizes);
    problem.lse = allocate("lse", "Float32Array", product(dims)) as Float32Array;
    result.lse = { data: problem.lse, dims, type: "float32" };
  }
  if (problem.map !== undefined) result.weights = allocateMap(problem.map, shapes);
  if (!isPacked(query)) problem.query = inputOperand(pack(query), layout);
  if (keyValue && !isPacked(keyValue.key)) problem.key = inputOperand(pack(keyValue.key), layout);
  if (keyValue && !isPacked(keyValue.value)) problem.value = inputOperand(pack(keyValue.value), layout);
  return result;
}

/** Whether an empty dimension leaves nothing for a backend to do. */
export function isIdle({ batch, heads, tq, tk, dv, lse, map }: Problem): boolean {
  return batch * heads * tq === 0 || tk === 0 || (dv === 0 && lse === undefined && map === undefined);
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
  checkViews(inputs);
  if (options.out !== undefined) checkLength("out", "", options.out, product(outputDims));
}

/** The same of tensors alone. */
export function checkViews(views: readonly View[]): void {
  for (let i = 0; i < views.length; i++) checkLength(views[i].name, ".data", views[i].data, views[i].length);
}

// The name comes in parts, for to join them takes as long as the check.
function checkLength(tensor: string, field: string, data: TypedArray | FloatArray, length: number): void {
  const now = lengthOf(data);
  if (now === length && length > 0) return; // that of a detached array is 0
  const name = tensor + field;
  checkAttached(name, data);
  if (now !== length) throw wrongValue(`${name}.length`, `${length}, as when it was checked`, now);
}
