// Deterministic cases: sizes around lanes and tiles, every option alone and mixed, and the tolerance.
import type { Options } from "./oracle.js";
import { Random } from "./random.js";
import { type FloatType, normal, product, type Tensor, tensor } from "./tensors.js";

/** Arguments of one call. */
export interface Case {
  query: Tensor;
  key: Tensor;
  value: Tensor;
  options: Options & { mask?: Tensor | undefined; threads?: number };
}

/** Largest relative error of one float32 rounding. */
const U = 2 ** -24;

/**
 * Largest absolute error of a float32 output, lse or weight of a row, on values of about unit variance.
 *
 * A score is a sum of d products that starts near -lse (at minus the reference maximum) or ends near lse. What carries
 * weight lies within ln(tk) of the lse, so each of its d roundings is at most U * (|lse| + ln(tk)). They are
 * independent: together they grow with sqrt(d), and twice that leaves room for the worst of many rows. An error e of
 * the scores moves the lse by at most e, a weight p by p * (1 - p) * 2e, and the output by the covariance of e and the
 * values under the weights, at most e, too. Likewise the sums over tk keys; the exponential (5 U), the division and the
 * end add 32 U. Never looser than 1e-6 * (20 + |lse|), which is what the library promises.
 */
export function tolerance(lse: number, tk: number, d: number): number {
  const scores = 2 * Math.sqrt(d) * (Math.abs(lse) + Math.log(Math.max(tk, 1)));
  const sums = 2 * Math.sqrt(tk);
  return Math.min(U * (scores + sums + 32), 1e-6 * (20 + Math.abs(lse)));
}

export interface Sizes {
  batch: number;
  heads: number;
  kvHeads: number;
  tq: number;
  tk: number;
  d: number;
  dv: number;
}

type Types = [query: FloatType, key: FloatType, value: FloatType];

/** Unit-normal tensors `[batch, heads, t, d]`, the same ones for the same sizes. */
export function makeCase(given: Partial<Sizes>, optionsOf: OptionsOf = () => ({}), types?: Types): Case {
  const sizes = { batch: 1, heads: 1, kvHeads: given.heads ?? 1, tq: 1, tk: 1, d: 8, dv: given.d ?? 8, ...given };
  const { batch, heads, kvHeads, tq, tk, d, dv } = sizes;
  const random = new Random(product([batch, heads + 1, kvHeads + 2, tq + 3, tk + 5, d + 7]) + dv);
  const query = normal(random, [batch, heads, tq, d], types?.[0]);
  const key = normal(random, [batch, kvHeads, tk, d], types?.[1]);
  const value = normal(random, [batch, kvHeads, tk, dv], types?.[2]);
  return { query, key, value, options: optionsOf(sizes, random) };
}

// Neighbours of 4, 8, 16, 32, 48, 64 and 96: lanes, multiples of lanes, and blocks.
export const QUERIES = [
  1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 47, 48, 49, 63, 64, 65, 95, 97, 112, 127, 129,
];
export const KEYS = [
  1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 64, 77, 80, 81, 95, 96, 97, 129, 191, 193, 257,
];
export const WIDTHS = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40, 47, 48, 63, 64, 65, 80, 96, 97, 128, 129];
export const MANY_KEYS = [255, 257, 511, 512, 513, 1023, 1025, 1500, 2047, 2048, 2049, 4096, 4101];

/** Every number of keys for one of queries; the widths take turns, so that d and dv meet in many ways. */
export function sizesOfQueries(tq: number): Partial<Sizes>[] {
  const turn = QUERIES.indexOf(tq);
  return KEYS.map((tk, n) => ({ tq, tk, d: turned(WIDTHS, n + 3 * turn), dv: turned(WIDTHS, 7 * n + 5 * turn) }));
}

/** Every dv for one d; queries and keys take turns. */
export function sizesOfWidth(d: number): Partial<Sizes>[] {
  const turn = WIDTHS.indexOf(d);
  return WIDTHS.map((dv, n) => ({
    tq: turned([5, 17, 1, 66], n + turn),
    tk: turned([9, 98, 33, 3, 70], n + turn),
    d,
    dv,
  }));
}

/** Few queries over many keys, where backends may split the keys. */
export function sizesOfManyKeys(tk: number): Partial<Sizes>[] {
  return [1, 2, 3, 4, 5, 8, 9].map((tq, n) => ({ tq, tk, d: turned([64, 16, 7, 40], n), dv: turned([64, 5, 33], n) }));
}

function turned<T>(list: readonly T[], turn: number): T {
  return list[turn % list.length];
}

/** Sizes for the option sets: one tile and many, exact and ragged, decode and prefill, one head and groups. */
export const OPTION_SIZES: Partial<Sizes>[] = [
  { tq: 1, tk: 1, d: 1 },
  { tq: 1, tk: 129, d: 64 },
  { tq: 1, tk: 1500, d: 16, heads: 2 },
  { tq: 1, tk: 20, d: 64, batch: 4, heads: 60, kvHeads: 30 }, // beyond 1 MB, where neighbours take turns
  { tq: 2, tk: 80, d: 64, heads: 4, kvHeads: 2 },
  { tq: 3, tk: 97, d: 8, dv: 16, batch: 3 },
  { tq: 5, tk: 33, d: 7, dv: 9, batch: 2, heads: 6, kvHeads: 2 },
  { tq: 8, tk: 257, d: 16, dv: 8 },
  { tq: 17, tk: 64, d: 40, heads: 2, kvHeads: 1 },
  { tq: 33, tk: 96, d: 64, dv: 96 },
  { tq: 48, tk: 191, d: 31, dv: 65, batch: 2 },
  { tq: 64, tk: 77, d: 64 },
  { tq: 65, tk: 130, d: 33, dv: 17, heads: 2 },
  { tq: 97, tk: 193, d: 48 },
  { tq: 128, tk: 65, d: 48, dv: 63 },
  { tq: 129, tk: 257, d: 65, dv: 64 },
];

export type OptionsOf = (sizes: Sizes, random: Random) => Case["options"];

const list = (length: number, entry: (at: number) => number) => Array.from({ length }, (_, at) => entry(at));

/** Zeros and ones. A row that is all zeros is as likely as one in eight. */
function booleans(dims: number[], random: Random): Tensor {
  const columns = dims[dims.length - 1];
  const keep = list(product(dims) / columns, () => random.pick([0, 0.05, 0.5, 0.5, 0.9, 0.9, 1, 1]));
  return tensor(
    list(product(dims), (at) => Number(random.chance(keep[Math.floor(at / columns)]))),
    dims,
    "bool",
  );
}

/** Normal biases; -Infinity in one place of eight, and in all of one row of eight. */
function biases(dims: number[], random: Random, type: FloatType = "float32"): Tensor {
  const seen = booleans(dims, random).data;
  return tensor(
    list(seen.length, (at) => (seen[at] === 0 ? -Infinity : 2 * random.normal())),
    dims,
    type,
  );
}

const alibi: OptionsOf = ({ heads }) => ({ alibi: list(heads, (h) => 2 ** -(h + 1)) });
const sinks: OptionsOf = ({ heads }, random) => ({
  sinks: list(heads, (h) => (h % 3 === 1 ? -Infinity : random.normal())),
});
const lengths: OptionsOf = ({ batch, tk }, random) => ({
  keyLengths: list(batch, (b) => (b === 1 ? 0 : random.integer(0, tk))),
});
const offsets: OptionsOf = ({ batch, tq, tk }, random) => ({
  causal: { offset: list(batch, () => random.integer(-tq, tk)) },
});

/** Every option alone, then mixes. The names end the sentence "agrees with the oracle with ..". */
export const OPTIONS: Record<string, OptionsOf> = {
  "no options": () => ({}),
  "a scale": () => ({ scale: 0.3 }),
  "a negative scale": () => ({ scale: -0.2 }),
  "a scale of 0": () => ({ scale: 0 }),
  "causal from the top left": () => ({ causal: "top-left" }),
  "causal from the bottom right": () => ({ causal: "bottom-right" }),
  "a causal offset before the first key": ({ tq }) => ({ causal: { offset: -Math.ceil(tq / 2) } }),
  "a causal offset into the keys": ({ tk }) => ({ causal: { offset: tk >> 1 } }),
  "a causal offset for each batch entry": offsets,
  "a window": () => ({ window: [3, 2] }),
  "a window of the diagonal": () => ({ window: [0, 0] }),
  "a window that is open to the left": () => ({ window: [-1, 5] }),
  "a window that is open to the right": () => ({ window: [5, -1] }),
  "a wide causal window": ({ tk, tq }) => ({ window: [70, 0], causal: { offset: tk - tq } }),
  "key lengths": lengths,
  "key lengths and causal from the bottom right": (s, r) => ({ ...lengths(s, r), causal: "bottom-right" }),
  "a boolean mask of padding": ({ batch, tk }, random) => ({ mask: booleans([batch, 1, 1, tk], random) }),
  "a boolean mask of queries": ({ tq }, random) => ({ mask: booleans([tq, 1], random) }),
  "a boolean mask of queries by keys": ({ tq, tk }, random) => ({ mask: booleans([tq, tk], random) }),
  "a full boolean mask": ({ batch, heads, tq, tk }, random) => ({ mask: booleans([batch, heads, tq, tk], random) }),
  "a float32 mask of keys": ({ tk }, random) => ({ mask: biases([tk], random) }),
  "a float32 mask of queries by keys": ({ tq, tk }, random) => ({ mask: biases([tq, tk], random) }),
  "a full float32 mask": ({ batch, heads, tq, tk }, random) => ({ mask: biases([batch, heads, tq, tk], random) }),
  "a float16 mask": ({ heads, tq, tk }, random) => ({ mask: biases([heads, tq, tk], random, "float16") }),
  "a bfloat16 mask": ({ batch, tk }, random) => ({ mask: biases([batch, 1, 1, tk], random, "bfloat16") }),
  "a mask of one number": (_, random) => ({ mask: normal(random, [1]) }),
  alibi,
  "alibi and causal offsets": (s, r) => ({ ...alibi(s, r), ...offsets(s, r) }),
  "a soft cap": () => ({ softcap: 2 }),
  "a soft cap that is hardly felt": () => ({ softcap: 50 }),
  sinks,
  "sinks that take nearly all": ({ heads }) => ({ sinks: list(heads, () => 20) }),
  "sinks and a boolean mask": (s, r) => ({ ...sinks(s, r), mask: booleans([s.tq, s.tk], r) }),
  "a boolean mask, causal offsets, a window and lengths": (s, r) => ({
    mask: booleans([s.tq, s.tk], r),
    ...offsets(s, r),
    window: [40, -1],
    ...lengths(s, r),
  }),
  "all options": (s, r) => ({
    scale: 0.2,
    mask: biases([s.batch, 1, s.tq, s.tk], r),
    ...lengths(s, r),
    ...offsets(s, r),
    window: [60, 1],
    ...alibi(s, r),
    softcap: 3,
    ...sinks(s, r),
  }),
};

/**
 * Scores that a running maximum has to follow, in the first of d columns: key j of n scores level(j, n), and query i
 * takes it with the factor row(i).
 */
export const LEVELS: Record<string, { level: (j: number, n: number) => number; row?: (i: number) => number }> = {
  "rise slowly": { level: (j) => j / 10 },
  rise: { level: (j) => j },
  "rise steeply": { level: (j) => 13 * j },
  fall: { level: (j) => -13 * j },
  "peak at the first key": { level: (j) => (j === 0 ? 90 : 0) },
  "peak at the last key": { level: (j, n) => (j === n - 1 ? 90 : 0) },
  "are all large": { level: () => 200 },
  "are all small": { level: () => -200 },
  "are beyond the range of exp for a block, then ordinary": { level: (j) => (j < 96 ? -1e4 : 0) },
  "step by less than a new maximum needs": { level: (j) => 5 * Math.floor(j / 32) },
  "are large in every other query": { level: () => 150, row: (i) => (i % 2 === 0 ? 1 : 0) },
  "have another sign in every other query": { level: (j, n) => 200 * (j / n), row: (i) => (i % 2 === 0 ? 1 : -1) },
};

export function makeLevels(name: string, sizes: Partial<Sizes>, optionsOf?: OptionsOf): Case {
  const made = makeCase(sizes, optionsOf);
  const { level, row = () => 1 } = LEVELS[name];
  const [d, n, tq] = [made.query.dims[3], made.key.dims[2], made.query.dims[2]];
  for (let at = 0; at < made.query.data.length; at += d) made.query.data[at] = Math.sqrt(d) * row((at / d) % tq);
  for (let at = 0; at < made.key.data.length; at += d) made.key.data[at] = level((at / d) % n, n);
  return made;
}

/** Element types of memories. */
export const MEMORY_TYPES = ["float32", "bfloat16", "float16", "int8"] as const;

/** Root of the mean square error of an element of a row, by its type, for elements of unit variance. */
export function elementError(type: (typeof MEMORY_TYPES)[number], largest: number): number {
  // A number of a half type lies at most 2^-p of itself away, and evenly within that; one of int8 half a step.
  const error = { float32: 0, float16: 2 ** -11, bfloat16: 2 ** -8, int8: largest / 127 / 2 };
  return error[type] / Math.sqrt(3);
}
