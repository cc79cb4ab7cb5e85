/** The two 16-bit element types. */
export type HalfType = "float16" | "bfloat16";

// One number seen as float32 and as its bits.
const float = new Float32Array(1);
const word = new Int32Array(float.buffer);

// A float16's fields stand 13 bits lower than a float32's, and its exponents are biased by 15, not 127.
const FLOAT16_SHIFT = 13;
const FLOAT16_REBIAS = (127 - 15) << 23;
const FLOAT16_EXPONENT = 0x7c00;
const FLOAT16_SMALLEST = 2 ** -24;

/** The float32 bits of every float16, 256 KiB: looking them up takes half the time of computing them. */
export function float16Table(): Int32Array {
  table ??= Int32Array.from({ length: 0x10000 }, (_, bits) => widenFloat16(bits));
  return table;
}

let table: Int32Array | undefined;

function widenFloat16(bits: number): number {
  const exponent = bits & FLOAT16_EXPONENT;
  if (exponent === 0) return widenSubnormal(bits);
  const sign = (bits & 0x8000) << 16;
  const magnitude = (bits & 0x7fff) << FLOAT16_SHIFT;
  // Infinity and NaN have the highest exponent of either type.
  return exponent === FLOAT16_EXPONENT ? sign | magnitude | 0x7f800000 : sign | (magnitude + FLOAT16_REBIAS);
}

function widenSubnormal(bits: number): number {
  float[0] = (bits & 0x3ff) * FLOAT16_SMALLEST;
  return ((bits & 0x8000) << 16) | word[0];
}

/** Rounds `count` numbers to the nearest, ties to even, by way of float32. */
export function narrow(
  to: Uint16Array,
  toStart: number,
  from: Float64Array | Float32Array,
  fromStart: number,
  count: number,
  type: HalfType,
): void {
  const round = type === "bfloat16" ? toBfloat16 : toFloat16;
  for (let i = 0; i < count; i++) to[toStart + i] = round(from[fromStart + i]);
}

function toBfloat16(value: number): number {
  float[0] = value;
  const bits = word[0];
  if (Number.isNaN(value)) return (bits >>> 16) | 0x40;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

function toFloat16(value: number): number {
  float[0] = value;
  const sign = (word[0] >>> 16) & 0x8000;
  const magnitude = word[0] & 0x7fffffff;
  if (Number.isNaN(value)) return sign | 0x7e00;
  // 65520 lies half way between the largest float16 and what would be the next: from there on Infinity.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude < 0x38800000) return sign | subnormalFloat16(value);
  const rounded = magnitude + 0xfff + ((magnitude >>> FLOAT16_SHIFT) & 1);
  return sign | ((rounded - 0x38000000) >>> FLOAT16_SHIFT);
}

// Below 2^-14 float16 counts in steps of 2^-24, as float32 does between 1/2 and 1.
function subnormalFloat16(value: number): number {
  float[0] = 0.5 + Math.abs(value);
  return word[0] - 0x3f000000;
}
