// The matrix products of one block: up to ROWS queries by KEYS keys, in float64, which V8 multiplies and adds as fast as
// float32 and without conversions.
//
// V8 compiles the address and the length of a module's constant arrays into functions with a single loop, and `| 0`
// saves the overflow checks of index arithmetic: together 8 GFLOP/s, where arrays passed as arguments reach 5. So the
// operands are copied here first. It works only for names that are not exported, hence two for the scores.
//
// Nothing in here outlives a step: calls that take turns on the event loop share it.
import type { Rows } from "./read.js";

/** Queries in a tile, at most. */
export const ROWS = 64;
/** Keys in a block, at most; a single query may take more: KEYS * WIDTH elements and ONE_QUERY_KEYS. */
export const KEYS = 64;
export const ONE_QUERY_KEYS = 4 * KEYS;
/** Columns of queries, keys or values that are held at a time; a multiple of COLUMNS. */
export const WIDTH = 256;
/** Keys or columns that one pass of the inner loops takes. What is beyond the last one is computed, too, and ignored. */
export const COLUMNS = 4;

const left = new Float64Array(ROWS * WIDTH);
const right = new Float64Array(KEYS * (WIDTH + COLUMNS) + COLUMNS);
const products = new Float64Array(ROWS * KEYS);

/** The scores of the block, then their exponentials: row by row, KEYS apart. */
export const scores = products;

/** Copies queries, [rows, width], to the left side. */
export function holdQueries(queries: Float64Array, start: number, rows: number, width: number): void {
  left.set(queries.subarray(start, start + rows * width));
}

/** Copies `count` keys or values of `width` columns to the right side, `stride` apart. */
export function holdRows({ data, start, stride: from }: Rows, count: number, width: number, stride: number): void {
  if (from === width && stride === width) {
    right.set(data.subarray(start, start + count * width));
  } else {
    for (let r = 0; r < count; r++) right.set(data.subarray(start + r * from, start + r * from + width), r * stride);
  }
}

/**
 * How far apart rows of values are best held. At strides of 1 KiB and its multiples a column of 64 rows falls into a few
 * sets of the L1 cache; that matters from the second pass on, and other strides make the copy slower.
 */
export function valueStride(rows: number, width: number): number {
  return width % 128 === 0 && rows > 8 ? width + COLUMNS : width;
}

/** scores[i][j] += left[i] . right[j] */
export function addScores(rows: number, keys: number, width: number): void {
  for (let j = 0; j < keys; j += COLUMNS) {
    let i = 0;
    for (; i + 1 < rows; i += 2) dot2x4(i * width, j * width, width, i * KEYS + j);
    if (i < rows) dot1x4(i * width, j * width, width, i * KEYS + j);
  }
}

function dot2x4(a: number, b: number, width: number, s: number): void {
  const next = width | 0;
  const next2 = (2 * width) | 0;
  const next3 = (3 * width) | 0;
  const end = (a + width) | 0;
  let s00 = 0,
    s01 = 0,
    s02 = 0,
    s03 = 0,
    s10 = 0,
    s11 = 0,
    s12 = 0,
    s13 = 0;
  for (let i = a | 0, j = b | 0; i < end; i = (i + 1) | 0, j = (j + 1) | 0) {
    const x = left[i];
    const y = left[(i + next) | 0];
    const k0 = right[j];
    const k1 = right[(j + next) | 0];
    const k2 = right[(j + next2) | 0];
    const k3 = right[(j + next3) | 0];
    s00 += x * k0;
    s01 += x * k1;
    s02 += x * k2;
    s03 += x * k3;
    s10 += y * k0;
    s11 += y * k1;
    s12 += y * k2;
    s13 += y * k3;
  }
  products[s] += s00;
  products[s + 1] += s01;
  products[s + 2] += s02;
  products[s + 3] += s03;
  products[s + KEYS] += s10;
  products[s + KEYS + 1] += s11;
  products[s + KEYS + 2] += s12;
  products[s + KEYS + 3] += s13;
}

function dot1x4(a: number, b: number, width: number, s: number): void {
  const next = width | 0;
  const next2 = (2 * width) | 0;
  const next3 = (3 * width) | 0;
  const end = (a + width) | 0;
  let s0 = 0,
    s1 = 0,
    s2 = 0,
    s3 = 0;
  for (let i = a | 0, j = b | 0; i < end; i = (i + 1) | 0, j = (j + 1) | 0) {
    const x = left[i];
    s0 += x * right[j];
    s1 += x * right[(j + next) | 0];
    s2 += x * right[(j + next2) | 0];
    s3 += x * right[(j + next3) | 0];
  }
  products[s] += s0;
  products[s + 1] += s1;
  products[s + 2] += s2;
  products[s + 3] += s3;
}

/** to[start + i * pitch + c] += sum of products[i][k] * right[k][c] over the keys. `to` is padded to COLUMNS. */
export function addValues(
  rows: number,
  keys: number,
  width: number,
  stride: number,
  to: Float64Array,
  start: number,
  pitch: number,
): void {
  for (let c = 0; c < width; c += COLUMNS) {
    let i = 0;
    for (; i + 1 < rows; i += 2) mix2x4(i * KEYS, keys, c, stride, to, start + i * pitch + c, pitch);
    if (i < rows) mix1x4(i * KEYS, keys, c, stride, to, start + i * pitch + c);
  }
}

function mix2x4(p: number, keys: number, b: number, stride: number, to: Float64Array, o: number, pitch: number): void {
  const row = KEYS | 0;
  const step = stride | 0;
  const end = (p + keys) | 0;
  let o00 = 0,
    o01 = 0,
    o02 = 0,
    o03 = 0,
    o10 = 0,
    o11 = 0,
    o12 = 0,
    o13 = 0;
  for (let i = p | 0, j = b | 0; i < end; i = (i + 1) | 0, j = (j + step) | 0) {
    const x = products[i];
    const y = products[(i + row) | 0];
    const v0 = right[j];
    const v1 = right[(j + 1) | 0];
    const v2 = right[(j + 2) | 0];
    const v3 = right[(j + 3) | 0];
    o00 += x * v0;
    o01 += x * v1;
    o02 += x * v2;
    o03 += x * v3;
    o10 += y * v0;
    o11 += y * v1;
    o12 += y * v2;
    o13 += y * v3;
  }
  to[o] += o00;
  to[o + 1] += o01;
  to[o + 2] += o02;
  to[o + 3] += o03;
  to[o + pitch] += o10;
  to[o + pitch + 1] += o11;
  to[o + pitch + 2] += o12;
  to[o + pitch + 3] += o13;
}

function mix1x4(p: number, keys: number, b: number, stride: number, to: Float64Array, o: number): void {
  const step = stride | 0;
  const end = (p + keys) | 0;
  let o0 = 0,
    o1 = 0,
    o2 = 0,
    o3 = 0;
  for (let i = p | 0, j = b | 0; i < end; i = (i + 1) | 0, j = (j + step) | 0) {
    const x = products[i];
    o0 += x * right[j];
    o1 += x * right[(j + 1) | 0];
    o2 += x * right[(j + 2) | 0];
    o3 += x * right[(j + 3) | 0];
  }
  to[o] += o0;
  to[o + 1] += o1;
  to[o + 2] += o2;
  to[o + 3] += o3;
}

/** A row that was taken out of the right side. */
export interface Taken {
  key: number;
  values: Float64Array;
}

/** Puts zeros in the place of rows that hold NaN or Infinity, and gives those rows. */
export function takeNonFinite(keys: number, width: number, stride: number): Taken[] {
  const taken: Taken[] = [];
  if (allFinite(0, keys * stride)) return taken;
  for (let key = 0; key < keys; key++) {
    const at = key * stride;
    if (allFinite(at, width)) continue;
    taken.push({ key, values: right.slice(at, at + width) });
    right.fill(0, at, at + width);
  }
  return taken;
}

function allFinite(at: number, length: number): boolean {
  const end = (at + length) | 0;
  let sum = 0;
  for (let i = at | 0; i < end; i = (i + 1) | 0) sum += right[i] * 0;
  return sum === 0;
}
