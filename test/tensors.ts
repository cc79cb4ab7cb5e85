import { bfloat16, float16 } from "./oracle.js";
import type { Random } from "./random.js";

export type FloatType = "float32" | "float16" | "bfloat16";

/** A tensor argument: of attention() and of the oracle alike. */
export interface Tensor {
  data: Float32Array | Uint16Array | Uint8Array;
  dims: number[];
  type: string;
  strides?: number[];
}

export function product(dims: readonly number[]): number {
  return dims.reduce((a, b) => a * b, 1);
}

/** A contiguous tensor with the numbers rounded to the type. */
export function tensor(numbers: ArrayLike<number>, dims: number[], type: FloatType | "bool" = "float32"): Tensor {
  if (type === "float32") return { data: Float32Array.from(numbers), dims, type };
  if (type === "bool") return { data: Uint8Array.from(numbers), dims, type };
  return { data: Uint16Array.from(numbers, type === "float16" ? toFloat16 : toBfloat16), dims, type };
}

/** Unit-normal numbers. */
export function normal(random: Random, dims: number[], type: FloatType = "float32"): Tensor {
  return tensor(
    Float64Array.from({ length: product(dims) }, () => random.normal()),
    dims,
    type,
  );
}

/** The numbers of an array of a type. */
export function numbersOf({ data, type }: { data: ArrayLike<number>; type: string }): Float64Array {
  const decode: Record<string, (bits: number) => number> = { float16, bfloat16 };
  return data instanceof Uint16Array ? Float64Array.from(data, decode[type]) : Float64Array.from(data);
}

export type Layout = "bhtd" | "bthd" | "heads";

/** `[batch, heads, t, columns]` in another layout. Ranks leave out what is 1: batch first, then heads. */
export function arrange({ data, dims, type }: Tensor, layout: Layout, rank: number): Tensor {
  const [batch, heads, t, columns] = dims;
  if (layout === "bhtd") return { data, dims: dims.slice(-rank), type };
  const turned = data.slice();
  const strides = [t * heads * columns, columns, heads * columns, 1];
  for (let at = 0; at < data.length; at++) turned[position(at, dims, strides)] = data[at];
  if (layout === "heads") return { data: turned, dims: [batch, t, heads * columns].slice(-rank), type };
  return { data: turned, dims: rank === 2 ? [t, columns] : [batch, t, heads, columns].slice(-rank), type };
}

/**
 * The same tensor as a view into memory of another order with gaps, which start, end and gaps fill with NaN (booleans:
 * with 1), so that a read past the view shows in the result.
 */
export function scattered({ data, dims, type }: Tensor, random: Random): Tensor {
  const strides = dims.slice();
  let step = random.pick([1, 1, 1, 2]);
  for (const axis of random.shuffle(dims.map((_, axis) => axis)).sort(byLast(dims.length, random))) {
    strides[axis] = step;
    step = step * Math.max(dims[axis], 1) + random.integer(0, 3);
  }
  const start = random.integer(0, 5);
  const memory = new (data.constructor as Float32ArrayConstructor)(start + step + random.integer(0, 5));
  memory.fill(type === "bool" ? 1 : data instanceof Uint16Array ? toHalf(type)(NaN) : NaN);
  const view = memory.subarray(start);
  for (let at = 0; at < data.length; at++) view[position(at, dims, strides)] = data[at];
  return { data: view, dims, type, strides };
}

// Mostly the last axis varies fastest, as in the views that users have.
function byLast(rank: number, random: Random): (a: number, b: number) => number {
  const lastFirst = random.chance(0.7);
  return (a, b) => (lastFirst ? Number(b === rank - 1) - Number(a === rank - 1) : 0);
}

function position(at: number, dims: number[], strides: number[]): number {
  let offset = 0;
  for (let axis = dims.length - 1; axis >= 0; axis--) {
    offset += (at % dims[axis]) * strides[axis];
    at = Math.floor(at / dims[axis]);
  }
  return offset;
}

function toHalf(type: string): (x: number) => number {
  return type === "float16" ? toFloat16 : toBfloat16;
}

/** Nearest float16, ties to even. */
export function toFloat16(x: number): number {
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(x);
  if (Number.isNaN(x)) return 0x7e00;
  if (magnitude === Infinity) return sign | 0x7c00;
  const exponent = Math.max(Math.floor(Math.log2(magnitude)), -14);
  const fraction = roundEven(magnitude / 2 ** (exponent - 10)); // 1024 and more, below that a subnormal
  return sign | Math.min(fraction + ((exponent + 14) << 10), 0x7c00);
}

const float32 = new Float32Array(1);
const word = new Uint32Array(float32.buffer);

/** Nearest bfloat16, ties to even. */
export function toBfloat16(x: number): number {
  if (Number.isNaN(x)) return 0x7fc0;
  float32[0] = x;
  const bits = word[0];
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

function roundEven(x: number): number {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}
