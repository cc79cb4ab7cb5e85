// Products for a single query. It uses every key and value only once, so they are read where they lie, eight at a time;
// what they meet is copied to constant arrays (see block.ts). A view makes the indices small enough for `| 0`.
import { WIDTH } from "./block.js";
import type { Rows } from "./read.js";

const query = new Float64Array(WIDTH);
const sums = new Float64Array(WIDTH);

/** scores[j] += q[at .. at + width) . keys[j] */
export function addDots(
  scores: Float64Array,
  q: Float64Array,
  at: number,
  { data, start, stride }: Rows,
  keys: number,
  width: number,
): void {
  const view = data.subarray(start, start + (keys - 1) * stride + width);
  query.set(q.subarray(at, at + width));
  let j = 0;
  for (; j + 7 < keys; j += 8) dot8(scores, j, width, view, j * stride, stride);
  for (; j < keys; j++) scores[j] += dot(width, view, j * stride);
}

function dot8(s: Float64Array, j: number, width: number, keys: Float32Array, start: number, stride: number): void {
  const k1 = stride | 0;
  const k2 = (2 * stride) | 0;
  const k3 = (3 * stride) | 0;
  const k4 = (4 * stride) | 0;
  const k5 = (5 * stride) | 0;
  const k6 = (6 * stride) | 0;
  const k7 = (7 * stride) | 0;
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  let s4 = 0;
  let s5 = 0;
  let s6 = 0;
  let s7 = 0;
  const end = width | 0;
  for (let i = 0, k = start | 0; i < end; i = (i + 1) | 0, k = (k + 1) | 0) {
    const x = query[i];
    s0 += x * keys[k];
    s1 += x * keys[(k + k1) | 0];
    s2 += x * keys[(k + k2) | 0];
    s3 += x * keys[(k + k3) | 0];
    s4 += x * keys[(k + k4) | 0];
    s5 += x * keys[(k + k5) | 0];
    s6 += x * keys[(k + k6) | 0];
    s7 += x * keys[(k + k7) | 0];
  }
  s[j] += s0;
  s[j + 1] += s1;
  s[j + 2] += s2;
  s[j + 3] += s3;
  s[j + 4] += s4;
  s[j + 5] += s5;
  s[j + 6] += s6;
  s[j + 7] += s7;
}

function dot(width: number, keys: Float32Array, start: number): number {
  const end = width | 0;
  let sum = 0;
  for (let i = 0, k = start | 0; i < end; i = (i + 1) | 0, k = (k + 1) | 0) sum += query[i] * keys[k];
  return sum;
}

/** o[at + c] += sum of p[j] * values[j][c] over the keys */
export function addWeighted(
  o: Float64Array,
  at: number,
  p: Float64Array,
  { data, start, stride }: Rows,
  keys: number,
  width: number,
): void {
  const view = data.subarray(start, start + (keys - 1) * stride + width);
  sums.set(o.subarray(at, at + width));
  let j = 0;
  for (; j + 7 < keys; j += 8) mix8(p, j, width, view, j * stride, stride);
  for (; j < keys; j++) mix(p[j], width, view, j * stride);
  o.set(sums.subarray(0, width), at);
}

function mix8(p: Float64Array, j: number, width: number, values: Float32Array, start: number, stride: number): void {
  const k1 = stride | 0;
  const k2 = (2 * stride) | 0;
  const k3 = (3 * stride) | 0;
  const k4 = (4 * stride) | 0;
  const k5 = (5 * stride) | 0;
  const k6 = (6 * stride) | 0;
  const k7 = (7 * stride) | 0;
  const p0 = p[j];
  const p1 = p[j + 1];
  const p2 = p[j + 2];
  const p3 = p[j + 3];
  const p4 = p[j + 4];
  const p5 = p[j + 5];
  const p6 = p[j + 6];
  const p7 = p[j + 7];
  const end = width | 0;
  for (let c = 0, k = start | 0; c < end; c = (c + 1) | 0, k = (k + 1) | 0) {
    sums[c] +=
      p0 * values[k] +
      p1 * values[(k + k1) | 0] +
      p2 * values[(k + k2) | 0] +
      p3 * values[(k + k3) | 0] +
      p4 * values[(k + k4) | 0] +
      p5 * values[(k + k5) | 0] +
      p6 * values[(k + k6) | 0] +
      p7 * values[(k + k7) | 0];
  }
}

function mix(p: number, width: number, values: Float32Array, start: number): void {
  const end = width | 0;
  for (let c = 0, k = start | 0; c < end; c = (c + 1) | 0, k = (k + 1) | 0) sums[c] += p * values[k];
}
