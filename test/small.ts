// Calls of a few sizes, for tests that set single rows and keys.
import { attentionSync } from "../src/index.js";
import type { Case, Sizes } from "./cases.js";
import { type Tensor, tensor } from "./tensors.js";

export const SMALL: Partial<Sizes>[] = [
  { tq: 1, tk: 9, d: 8 },
  { tq: 3, tk: 200, d: 16 },
  { tq: 20, tk: 77, d: 5, dv: 7, heads: 2 },
  { tq: 70, tk: 130, d: 32, batch: 2 },
];

export function sizesOf({ query, key, value }: Case) {
  const [batch, heads, tq, d] = query.dims;
  return { batch, heads, tq, d, tk: key.dims[2], dv: value.dims[3] };
}

export function run({ query, key, value, options }: Case) {
  const float32 = query as Tensor & { data: Float32Array };
  return attentionSync(float32, key, value, { ...options, lse: true, weights: true });
}

/** Fills row t of every head and batch entry. */
export function fillRow({ data, dims }: Tensor, t: number, x: number): void {
  const [rows, columns] = dims.slice(-2);
  for (let at = t * columns; at < data.length; at += rows * columns) data.fill(x, at, at + columns);
}

/** A boolean mask [tq, tk]. */
export function mask(tq: number, tk: number, sees: (i: number, j: number) => boolean): Tensor {
  const entries = Array.from({ length: tq * tk }, (_, at) => Number(sees(Math.floor(at / tk), at % tk)));
  return tensor(entries, [tq, tk], "bool");
}

/** A float32 mask [tq, tk]. */
export function bias(tq: number, tk: number, of: (i: number, j: number) => number): Tensor {
  return tensor(
    Array.from({ length: tq * tk }, (_, at) => of(Math.floor(at / tk), at % tk)),
    [tq, tk],
  );
}
