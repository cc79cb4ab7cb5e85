// Calls for properties, and what they are compared by.
import fc from "fast-check";
import { expect } from "vitest";
import { type Case, makeCase, OPTIONS, tolerance } from "./cases.js";
import { describeCase } from "./compare.js";
import { product, type Tensor } from "./tensors.js";

/** Calls of small and odd sizes with one of the named option sets. */
export function calls(...names: string[]): fc.Arbitrary<Case> {
  const sizes = fc.record({
    batch: fc.integer({ min: 1, max: 2 }),
    kvHeads: fc.integer({ min: 1, max: 2 }),
    group: fc.integer({ min: 1, max: 2 }),
    tq: fc.integer({ min: 1, max: 70 }),
    tk: fc.integer({ min: 1, max: 200 }),
    d: fc.integer({ min: 1, max: 33 }),
    dv: fc.integer({ min: 1, max: 20 }),
  });
  return fc
    .tuple(sizes, fc.constantFrom(...names))
    .map(([{ group, ...rest }, name]) => makeCase({ ...rest, heads: rest.kvHeads * group }, OPTIONS[name]));
}

const MASKS = ["a boolean mask of queries by keys", "a full float32 mask", "a boolean mask of padding"];
/** Options that do not look at a key's index. */
export const POINTWISE = ["no options", "a scale", "a soft cap", ...MASKS];
/** Two results of one row may lie on both sides of the true one. */
export function allowedOf({ query, key }: Case, lse: ArrayLike<number>): number {
  const largest = Array.from(lse).reduce((a, b) => (Number.isFinite(b) ? Math.max(a, Math.abs(b)) : a), 0);
  return 2 * tolerance(largest, key.dims[2], query.dims[3]);
}

export function expectNear(got: ArrayLike<number>, wanted: ArrayLike<number>, allowed: number, call: Case): void {
  expect(got.length).toBe(wanted.length);
  for (let at = 0; at < wanted.length; at++) {
    if (got[at] === wanted[at] || Math.abs(got[at] - wanted[at]) <= allowed) continue;
    expect.fail(`[${at}] expected ${wanted[at]} within ${allowed}, got ${got[at]} in ${describeCase(call)}`);
  }
}

/** The call over the keys `order` only, in this order; masks go along. */
export function pickKeys({ query, key, value, options }: Case, order: number[]): Case {
  const rows = (operand: Tensor) => pickAlong(operand, 2, order);
  const { mask } = options;
  const picked = mask?.dims.at(-1) === key.dims[2] ? pickAlong(mask, mask.dims.length - 1, order) : mask;
  return { query, key: rows(key), value: rows(value), options: { ...options, mask: picked } };
}

function pickAlong({ data, dims, type }: Tensor, axis: number, order: number[]): Tensor {
  const [count, inner] = [dims[axis], product(dims.slice(axis + 1))];
  const picked = new (data.constructor as Float32ArrayConstructor)((data.length / count) * order.length);
  for (let outer = 0; outer < data.length / (count * inner); outer++) {
    order.forEach((from, to) => {
      const start = (outer * count + from) * inner;
      picked.set(data.subarray(start, start + inner), (outer * order.length + to) * inner);
    });
  }
  return { data: picked, dims: dims.map((size, at) => (at === axis ? order.length : size)), type };
}

const clamp = (x: number, low: number, high: number) => Math.min(Math.max(x, low), high);
export const range = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => from + at);

/** The keys from..to of a call, as a call of their own. */
export function shard(call: Case, from: number, to: number): Case {
  const part = pickKeys(call, range(from, to));
  const { keyLengths, causal } = call.options;
  if (keyLengths) {
    part.options.keyLengths = range(0, keyLengths.length).map((b) => clamp(Number(keyLengths[b]) - from, 0, to - from));
  }
  if (typeof causal === "object") {
    const { offset } = causal;
    part.options.causal = { offset: typeof offset === "number" ? offset - from : Array.from(offset, (o) => o - from) };
  }
  return part;
}
