// What a memory keeps of a tensor, by reading of its documentation.
import type { MEMORY_TYPES } from "./cases.js";
import { numbersOf, type Tensor, tensor } from "./tensors.js";

export type MemoryType = (typeof MEMORY_TYPES)[number];

/** The numbers of a contiguous tensor after they were rounded to a type. */
export function stored(given: Tensor, type: MemoryType): Tensor {
  const numbers = numbersOf(given);
  const rounded = type === "int8" ? int8Rows(numbers, given.dims.at(-1) as number) : rounding(numbers, type);
  return { data: rounded as unknown as Float32Array, dims: given.dims, type: "float32" };
}

function rounding(numbers: Float64Array, type: Exclude<MemoryType, "int8">): Float64Array {
  return numbersOf(tensor(numbers, [numbers.length], type));
}

/** The largest element of a row becomes 127, the others whole multiples of what is then 1. */
function int8Rows(numbers: Float64Array, columns: number): Float64Array {
  const rows = new Float64Array(numbers.length);
  for (let at = 0; at < numbers.length; at += columns) {
    const row = numbers.subarray(at, at + columns);
    const largest = row.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    const scale = Number.isFinite(largest) ? Math.fround(largest / 127) : NaN;
    rows.set(
      row.map((x) => (scale === 0 ? 0 : roundEven(Math.fround(x / scale)) * scale)),
      at,
    );
  }
  return rows;
}

function roundEven(x: number): number {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}
