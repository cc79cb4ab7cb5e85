import { KEYS, WIDTH } from "./block.js";
import { float16Table, narrow } from "./half.js";
import type { Operand } from "./problem.js";
import type { ElementType } from "./tensor.js";

/** Rows of floats, `stride` elements apart. */
export interface Rows {
  data: Float32Array;
  start: number;
  stride: number;
}

/** Elements that are read at a time, at most. */
export const READABLE = KEYS * WIDTH;

// Rows of 16-bit elements are widened to here; they hold until the next ones are read.
const floats = new Float32Array(READABLE);
const words = new Int32Array(floats.buffer);

/** Part of an operand as float32: `count` rows of `width` columns from an element on; READABLE elements at most. */
export function readRows(
  { data, type, row, scales }: Pick<Operand, "data" | "type" | "row"> & Partial<Operand>,
  start: number,
  count: number,
  width: number,
): Rows {
  if (type === "float32") return { data: data as Float32Array, start, stride: row };
  if (type === "int8") {
    for (let r = 0; r < count; r++) {
      const at = start + r * row;
      widenInt8(r * width, data as Int8Array, at, width, (scales as Float32Array)[Math.floor(at / row)]);
    }
    return { data: floats, start: 0, stride: width };
  }
  const view = (data as Uint16Array).subarray(start, start + (count - 1) * row + width);
  const [runs, length] = row === width ? [1, count * width] : [count, width];
  for (let r = 0; r < runs; r++) {
    if (type === "bfloat16") widenBfloat16(r * width, view, r * row, length);
    else widenFloat16(r * width, view, r * row, length, float16Table());
  }
  return { data: floats, start: 0, stride: width };
}

function widenBfloat16(to: number, from: Uint16Array, start: number, length: number): void {
  const end = (start + length) | 0;
  for (let i = start | 0, w = to | 0; i < end; i = (i + 1) | 0, w = (w + 1) | 0) words[w] = from[i] << 16;
}

function widenInt8(to: number, from: Int8Array, start: number, length: number, scale: number): void {
  for (let i = 0; i < length; i++) floats[to + i] = from[start + i] * scale;
}

function widenFloat16(to: number, from: Uint16Array, start: number, length: number, table: Int32Array): void {
  const end = (start + length) | 0;
  for (let i = start | 0, w = to | 0; i < end; i = (i + 1) | 0, w = (w + 1) | 0) words[w] = table[from[i]];
}

/** Rounds `count` numbers to an operand's elements from `at` on. */
export function writeRow(
  { data, type }: Operand<ElementType>,
  at: number,
  from: Float64Array,
  start: number,
  count: number,
): void {
  if (type === "float32") (data as Float32Array).set(from.subarray(start, start + count), at);
  else narrow(data as Uint16Array, at, from, start, count, type);
}
