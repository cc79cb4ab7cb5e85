// How maps are checked, of calls with keys and values and of calls with a memory.
import { expect } from "vitest";
import { attentionSync, KeyValueMemory, type MapOptions, type Tensor as Returned, type TopK } from "../src/index.js";
import { type Case, tolerance } from "./cases.js";
import { describeCase, expectSameBits, oracleOf } from "./compare.js";
import { type MapOptions as Asked, type Result, reduced } from "./oracle.js";
import { Random } from "./random.js";
import { roundingOf } from "./rounding.js";
import { type MemoryType, stored } from "./stored.js";

type Sizes = { heads: number; tk: number };

/** Every kind of map, of all heads and keys or of some in an order of their own. */
export function mapsOf({ heads, tk }: Sizes, random: Random): Asked[] {
  const some = (count: number) =>
    random.shuffle(Array.from({ length: count }, (_, n) => n)).slice(0, random.integer(1, count));
  const kinds: Asked[] = [
    {},
    { reduce: "mean" },
    { reduce: "entropy" },
    { reduce: "sum", over: "queries" },
    { topK: random.integer(1, 12) },
  ];
  return kinds.map((kind) => ({
    ...kind,
    ...(random.chance(0.5) && { heads: some(heads) }),
    ...(random.chance(0.5) && { keys: some(tk) }),
  }));
}

const sizesOfWeights = ({ dims }: { dims: number[] }): Sizes => {
  const [, heads, , tk] = [1, 1, ...dims].slice(-4);
  return { heads, tk };
};

export const asMap = (weights: unknown) => weights as Returned<Float32Array>;
export const asTopK = (weights: unknown) => weights as TopK;

/** Rows with this much |lse| have weights that are right to so much. */
function allowedOf({ query, key, options }: Case, lse: Result): number {
  const d = (query.dims.at(-1) as number) / (options.heads ?? 1);
  const tk = key.dims.at(-2) as number;
  const finite = Array.from(lse.data, Math.abs).filter((x) => x < 1e17);
  return tolerance(Math.max(0, ...finite), Math.max(tk, 1), d);
}

function expectNear(name: string, got: Returned<Float32Array>, want: Result, allowed: number, call: Case): void {
  expect(got.dims, name).toEqual(want.dims);
  for (let at = 0; at < want.data.length; at++) {
    const [x, y] = [got.data[at], want.data[at]];
    if (Object.is(x, y) || Math.abs(x - y) <= allowed) continue;
    expect.fail(`${name}[${at}] expected ${y} within ${allowed}, got ${x} in ${describeCase(call)}`);
  }
}

interface Answer {
  output: Returned;
  lse: Returned | undefined;
  weights: unknown;
}

/** A call that also returns the lse, and such weights. */
type Ask = (weights: MapOptions | boolean) => Answer;

/** Against the oracle, and the plain call's bits. */
export function checkMaps({ query, key, value, options }: Case, seed: number): void {
  const ask = (weights: MapOptions | boolean) => attentionSync(query, key, value, { ...options, lse: true, weights });
  checkAll(ask, { query, key, value, options }, seed, 0);
}

/** The same of a call with a memory, against the oracle on what the memory has kept. */
export function checkMemoryMaps({ query, key, value, options }: Case, seed: number, type: MemoryType): void {
  const memory = new KeyValueMemory(key, value, { type });
  const kept = { query, key: stored(key, type), value: stored(value, type), options };
  const ask = (weights: MapOptions | boolean) => attentionSync(query, memory, { ...options, lse: true, weights });
  checkAll(ask, kept, seed, roundingOf(kept, memory));
}

function checkAll(ask: Ask, call: Case, seed: number, more: number): void {
  const { weights, lse } = oracleOf(call);
  const plain = ask(false);
  const all = asMap(ask(true).weights);
  const [tq, tk] = weights.dims.slice(-2);
  for (const map of mapsOf(sizesOfWeights(weights), new Random(seed))) {
    const name = JSON.stringify(map);
    const result = ask(map as MapOptions);
    expectSameBits(result.output, plain.output);
    expectSameBits(asMap(result.lse), asMap(plain.lse));
    const allowed = allowedOf(call, lse) + more;
    // An error e of the scores moves an entropy by e * sum of w |ln w + entropy|, 2 e ln(tk) at most.
    const share = map.reduce === "sum" ? tq : map.reduce === "entropy" ? 2 + 2 * Math.log(tk) : 1;
    const wanted = reduced(weights, map);
    const got = map.topK === undefined ? asMap(result.weights) : asTopK(result.weights).weights;
    expectNear(name, got, wanted.weights, share * allowed, call);
    // Its weights are those of a call for all of them, bit by bit; so are those that are largest.
    const mine = reduced({ data: Float64Array.from(all.data), dims: all.dims }, map);
    if (map.reduce === undefined) expect(got.data, name).toEqual(Float32Array.from(mine.weights.data));
    if (mine.indices) expect(asTopK(result.weights).indices.data, name).toEqual(Int32Array.from(mine.indices.data));
  }
}
