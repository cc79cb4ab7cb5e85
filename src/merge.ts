import { allocate, kernelArray } from "./arrays.js";
import type { OutputData } from "./attention.js";
import { checkViews } from "./call.js";
import { wrongKind, wrongValue } from "./errors.js";
import { fold, type Layout, type LayoutName, mapDims, SHAPES, split } from "./layout.js";
import { layoutName } from "./options.js";
import type { Operand } from "./problem.js";
import { READABLE, readRows, writeRow } from "./read.js";
import { inputOperand, layoutOf, outputOperand } from "./shapes.js";
import {
  type ElementType,
  floatView,
  isPacked,
  pack,
  product,
  type Tensor,
  type TensorLike,
  type View,
} from "./tensor.js";
import { readGroup } from "./values.js";

/** What attention() gives with `lse: true` for some of the keys. */
export interface Part {
  output: TensorLike;
  lse: TensorLike;
}

/** Those of the calls that made the parts. */
export interface MergeOptions {
  /** Order of the outputs' dims: "bhtd" `[batch, heads, tq, dv]` (the default) or "bthd" `[batch, tq, heads, dv]`. */
  layout?: "bhtd" | "bthd" | undefined;
  /** Heads of outputs `[batch, tq, heads * dv]`. Not together with `layout`. */
  heads?: number | undefined;
}

const OPTIONS: ReadonlySet<string> = new Set(["layout", "heads"] satisfies (keyof MergeOptions)[]);

/** What the dims of an output say. */
interface PartShape {
  layout: Layout;
  batch: number;
  heads: number;
  tq: number;
  dv: number;
  /** Dims of the output, unfolded. */
  output: number[];
  /** Dims of its lse. */
  lse: number[];
}

/** A checked part. */
interface Shard {
  output: Operand<ElementType>;
  /** [batch, heads, tq], contiguous. */
  lse: Float32Array;
}

/**
 * Combines what attention() gave for parts of the keys to what it gives for all of them. Every key belongs to one part;
 * where there are sinks, one part alone was called with them.
 *
 * With shares s[i] = exp(lse[i]) / sum of exp(lse), the output is the sum of s[i] * output[i], and the lse the logarithm
 * of the sum (Dao et al., "Flash-Decoding", 2023; Milakov and Gimelshein 2018, arXiv:1805.02867). Parts without a key
 * (lse -Infinity) count for nothing, whatever their output holds; a row of nothing but such has output 0. An lse of NaN
 * or Infinity makes its row NaN, as it would in one call.
 *
 * The arithmetic is float64, and every result is rounded once. An lse is known to 2^-24 of itself, so the order of the
 * parts and merging in steps change an output by no more than about 2^-23 * |lse| of the largest value, and beyond that
 * by a rounding to its type for each step.
 *
 * Dims: all outputs `[tq, dv]`, `[heads, tq, dv]` or `[batch, heads, tq, dv]`, or as the options say, and of one type;
 * lse as attention() gives it. Synchronous, on the caller's thread.
 *
 * @throws TypeError for an argument of the wrong kind and RangeError for a wrong value, before any work
 * @example
 * const parts = await Promise.all(shards.map(({ key, value }) => attention(query, key, value, { lse: true })));
 * const { output, lse } = merge(parts);
 */
export function merge<P extends Part>(
  parts: readonly P[],
  options: MergeOptions = {},
): { output: Tensor<OutputData<P["output"]>>; lse: Tensor<Float32Array> } {
  const { shape, shards, className } = checkParts(parts, options);
  const { type } = shards[0].output;
  const data = allocate("output", className, product(shape.output));
  const lse = allocate("lse", "Float32Array", product(shape.lse)) as Float32Array;
  mergeShards(shape, shards, outputOperand(kernelArray(data), type, shape.layout, shape.output), lse);
  const output = { data, dims: fold(shape.output, shape.layout), type } as Tensor;
  return { output: output as Tensor<OutputData<P["output"]>>, lse: { data: lse, dims: shape.lse, type: "float32" } };
}

function checkParts(parts: readonly Part[], given: MergeOptions) {
  const options = readGroup<MergeOptions>(given, OPTIONS);
  const name = layoutName(options);
  if (!Array.isArray(parts)) throw wrongKind("parts", "an array of { output, lse }", parts);
  if (parts.length === 0) throw wrongValue("parts.length", "at least 1", 0);
  const views = Array.from(parts as readonly Part[], partViews);
  const first = views[0].output;
  const shape = partShape(name, options.heads, first);
  for (const { output, lse } of views) {
    checkDims(output, first.dims, 'dims of "parts[0].output"');
    checkDims(lse, shape.lse, 'of "parts[0].output"');
    if (output.type !== first.type) {
      throw wrongValue(`${output.name}.type`, `"${first.type}" (type of "parts[0].output")`, output.type);
    }
    checkViews([output, lse]);
  }
  return { shape, shards: views.map((view) => shardOf(view, shape)), className: first.className };
}

function partViews(part: Part, i: number): { output: View; lse: View } {
  if (typeof part !== "object" || part === null) throw wrongKind(`parts[${i}]`, "{ output, lse }", part);
  const { output, lse } = part;
  if (lse === undefined) throw wrongKind(`parts[${i}].lse`, "a tensor (of a call with lse: true)", lse);
  const views = { output: floatView(`parts[${i}].output`, output), lse: floatView(`parts[${i}].lse`, lse) };
  if (views.lse.type !== "float32") throw wrongKind(`parts[${i}].lse.type`, '"float32"', views.lse.type);
  return views;
}

function checkDims({ name, field, dims }: View, expected: number[], source: string): void {
  if (String(dims) === String(expected)) return;
  throw wrongValue(`${name}.${field}`, `[${expected.join(", ")}] (${source})`, dims);
}

function shardOf({ output, lse }: { output: View; lse: View }, { layout, heads }: PartShape): Shard {
  const view = unfoldHeads(isPacked(output) ? output : pack(output), layout, heads);
  return { output: inputOperand(view, layout), lse: pack(lse).data as Float32Array };
}

/** @param heads the option of that name */
function partShape(name: LayoutName, heads: number | undefined, view: View): PartShape {
  const layout = layoutOf(name, view, "output");
  const output = unfoldHeads(view, layout, heads).dims;
  const [batch, own, tq, dv] = layout.axes.map((at) => (at < 0 ? 1 : output[at]));
  return { layout, batch, heads: own, tq, dv, output, lse: mapDims(SHAPES.lse, layout, { batch, heads: own, tq }) };
}

/** An output [.., heads * dv] as [.., heads, dv], where it is folded. */
function unfoldHeads(view: View, layout: Layout, heads = 1): View {
  const last = view.dims[layout.rank - 1];
  if (!layout.folded) return view;
  if (last % heads === 0) return split(view, heads, last / heads);
  throw wrongValue(`${view.name}.${view.field}[${layout.rank - 1}]`, `a multiple of ${heads} (heads)`, last);
}

function mergeShards(
  { batch, heads, tq, dv }: PartShape,
  shards: Shard[],
  to: Operand<ElementType>,
  lse: Float32Array,
): void {
  const shares = new Float64Array(shards.length);
  const sums = new Float64Array(dv);
  for (let b = 0, row = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      for (let t = 0; t < tq; t++, row++) {
        const at = ({ batch, head, row }: Operand) => b * batch + h * head + t * row;
        lse[row] = shareOut(shards, row, shares);
        sums.fill(0);
        shards.forEach((shard, i) => {
          if (shard.lse[row] !== -Infinity) addRow(sums, shares[i], shard.output, at(shard.output));
        });
        writeRow(to, at(to), sums, 0, dv);
      }
    }
  }
}

/** What each shard has in a row, of 1 together. Returns the lse of all. */
function shareOut(shards: Shard[], row: number, shares: Float64Array): number {
  const top = shards.reduce((top, { lse }) => Math.max(top, lse[row]), -Infinity);
  if (top === -Infinity) return top;
  let total = 0;
  for (let i = 0; i < shards.length; i++) {
    shares[i] = Math.exp(shards[i].lse[row] - top);
    total += shares[i];
  }
  for (let i = 0; i < shards.length; i++) shares[i] /= total;
  return top + Math.log(total);
}

function addRow(sums: Float64Array, share: number, from: Operand, at: number): void {
  for (let c = 0; c < sums.length; c += READABLE) {
    const width = Math.min(READABLE, sums.length - c);
    const { data, start } = readRows(from, at + c, 1, width);
    for (let i = 0; i < width; i++) sums[c + i] += share * data[start + i];
  }
}
