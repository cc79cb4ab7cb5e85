// Weights on their way from tensors to backends: widened, rounded to a type, the same for every backend.
import { wrongValue } from "../errors.js";
import { float16Table, narrow } from "../half.js";
import { contiguous, floatView, pack, type TensorLike, type View } from "../tensor.js";
import type { Weights, WeightType } from "./calls.js";

/** A tensor of the dims [.., ..]; -1 stands for any size of at least 1. */
export function weightView(name: string, tensor: TensorLike, dims: readonly number[], meaning: string): View {
  const view = floatView(name as View["name"], tensor);
  const fits = view.dims.length === dims.length && view.dims.every((n, i) => (dims[i] < 0 ? n > 0 : n === dims[i]));
  if (!fits) throw wrongValue(`${name}.${view.field}`, meaning, view.dims);
  return view;
}

/** The elements in row-major order as float32, in place where they are so already. */
export function float32(view: View): Float32Array {
  const steps = contiguous(view.dims);
  const isDense = view.strides.every((stride, axis) => stride === steps[axis] || view.dims[axis] <= 1);
  const { data, type } = isDense ? view : pack(view);
  if (type === "float32") return data as Float32Array;
  const words = new Int32Array(data.length);
  if (type === "bfloat16") for (let i = 0; i < words.length; i++) words[i] = data[i] << 16;
  else for (let i = 0, table = float16Table(); i < words.length; i++) words[i] = table[data[i]];
  return new Float32Array(words.buffer);
}

/** Rounds a matrix `[rows, inputs]` to a type; it may stay the caller's memory. */
export function roundWeights(name: string, data: Float32Array, inputs: number, type: WeightType): Weights {
  const rows = data.length / inputs;
  if (type === "float32") return { type, data, scales: undefined, rows, inputs };
  if (type !== "bfloat16") return { type, ...toInt8(name, data, rows, inputs), rows, inputs };
  const words = new Uint16Array(data.length);
  narrow(words, 0, data, 0, data.length, type);
  return { type, data: words, scales: undefined, rows, inputs };
}

// Symmetric: a row's largest weight becomes 127 or -127.
function toInt8(name: string, from: Float32Array, rows: number, inputs: number) {
  const data = new Int8Array(from.length);
  const scales = new Float32Array(rows);
  for (let r = 0, at = 0; r < rows; r++) {
    const end = at + inputs;
    let most = 0;
    for (let i = at; i < end; i++) most = Math.max(most, Math.abs(from[i])); // NaN stays
    if (!(most < Infinity)) throw wrongValue(name, `finite weights (for int8; see row ${r})`, most);
    scales[r] = most / 127;
    const factor = most > 0 ? 127 / most : 0;
    for (; at < end; at++) data[at] = Math.round(from[at] * factor);
  }
  return { data, scales };
}

/** What the rounded weights stand for. */
export function widenWeights({ type, data, scales, inputs }: Weights): Float32Array {
  if (type === "float32") return data as Float32Array;
  const wide = new Float32Array(data.length);
  if (type === "bfloat16") {
    const words = new Int32Array(wide.buffer);
    for (let i = 0; i < words.length; i++) words[i] = data[i] << 16;
  } else {
    const factors = scales as Float32Array;
    for (let i = 0; i < wide.length; i++) wide[i] = data[i] * factors[Math.floor(i / inputs)];
  }
  return wide;
}
