// Rows on their way into a store of the `js` backend.
import { KEYS, WIDTH } from "./block.js";
import { narrow } from "./half.js";
import type { Operand } from "./problem.js";
import { readRows } from "./read.js";

// Adding and taking it away rounds |x| < 2^51 to an integer, ties to even.
const ROUNDER = 1.5 * 2 ** 52;

/** Elements of one row, `numbers` long. */
export function readRow(numbers: Float64Array, from: Operand, start: number): void {
  for (let c = 0; c < numbers.length; c += KEYS * WIDTH) {
    const width = Math.min(KEYS * WIDTH, numbers.length - c);
    const part = readRows(from, start + c, 1, width);
    numbers.set(part.data.subarray(part.start, part.start + width), c);
  }
}

/** Writes float32 numbers from an element on, each rounded to the nearest, ties to even. */
export function writeRow(to: Operand, start: number, numbers: Float64Array): void {
  const { data, type } = to;
  if (type === "float32") (data as Float32Array).set(numbers, start);
  else if (type !== "int8") narrow(data as Uint16Array, start, numbers, 0, numbers.length, type);
  else (to.scales as Float32Array)[start / to.row] = toIntegers(data as Int8Array, start, numbers);
}

// Returns the factor of the row: its largest element becomes `most`. NaN where the row has NaN or an infinity, so that all
// of it is NaN when it is read. What is too small for a factor is 0.
export function toIntegers(to: Int8Array | Int16Array, start: number, numbers: Float64Array, most = 127): number {
  const top = numbers.reduce((largest, x) => Math.max(largest, Math.abs(x)), 0);
  const scale = Number.isFinite(top) ? Math.fround(top / most) : NaN;
  const divisor = scale === 0 ? 1 : scale;
  for (let c = 0; c < numbers.length; c++) {
    const rounded = Math.fround(numbers[c] / divisor) + ROUNDER - ROUNDER;
    to[start + c] = Math.max(-most, Math.min(most, rounded));
  }
  return scale;
}
