// What tests of the modules compare, and maps and masks that they ask for.
import { expect } from "vitest";
import type { MapOptions, Tensor, TopK } from "../src/index.js";
import type { Bias, Matrix } from "./modules-oracle.js";
import { reduced } from "./oracle.js";

export const CLOSE = 1e-5;
export function expectClose(got: { data: ArrayLike<number>; dims: number[] }, wanted: Matrix[]): void {
  const flat = wanted.flat(2);
  expect(got.data.length).toBe(flat.length);
  flat.forEach((x, i) => {
    expect(Math.abs(got.data[i] - x), `[${i}] of ${x}`).toBeLessThanOrEqual(CLOSE * Math.max(1, Math.abs(x)));
  });
}

export const MAPS: MapOptions[] = [
  { heads: [2, 0] },
  { reduce: "mean" },
  { keys: [4, 1], heads: [1] },
  { topK: 2 },
  { reduce: "entropy" },
  { reduce: "sum", over: "queries" },
];

/** Against the oracle's reduction of all weights. */
export function expectMap(got: object | undefined, whole: Tensor<Float32Array> | undefined, asked: MapOptions): void {
  const wanted = reduced(whole as never, asked as never);
  const { weights, indices } = (asked.topK ? got : { weights: got, indices: undefined }) as TopK;
  expect(weights.dims).toEqual(wanted.weights.dims);
  expectClose(weights, [[Array.from(wanted.weights.data)]]);
  if (asked.topK) expect(Array.from(indices.data)).toEqual(Array.from(wanted.indices?.data ?? []));
}

export const hidden = (isHidden: boolean) => (isHidden ? -Infinity : 0);
export const upTo =
  (length: number): Bias =>
  (_, _i, j) =>
    hidden(j >= length);
export const causal: Bias = (_, i, j) => hidden(j > i);
