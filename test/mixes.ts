// Random mixes of all that attention() takes, small and nasty. A seed gives the same case for ever.
import type { Case, Sizes } from "./cases.js";
import { oracle } from "./oracle.js";
import { Random } from "./random.js";
import {
  arrange,
  type FloatType,
  type Layout,
  normal,
  numbersOf,
  product,
  scattered,
  type Tensor,
  tensor,
} from "./tensors.js";

export function randomMix(seed: number): Case {
  const random = new Random(seed);
  const layout = random.pick<Layout>(["bhtd", "bhtd", "bthd", "heads"]);
  const rank = layout === "heads" ? random.pick([2, 3, 3]) : random.pick([2, 3, 4, 4]);
  const sizes = randomSizes(random, layout, rank);
  const { batch, heads, kvHeads, tq, tk, d, dv } = sizes;
  const shared = random.pick(["query", "memory", "none", "none"]);
  const memoryBatch = shared === "memory" ? 1 : batch;
  const types = random.chance(0.6) ? (["float32"] as const) : (["float32", "float16", "bfloat16"] as const);
  const operand = (...dims: number[]) => normal(random, dims, random.pick(types));

  const query = operand(shared === "query" ? 1 : batch, heads, tq, d);
  const key = operand(memoryBatch, kvHeads, tk, d);
  const value = operand(memoryBatch, kvHeads, tk, dv);
  const options = randomOptions(random, sizes);
  if (random.chance(0.6)) poison({ query, key, value, options }, sizes, random);

  if (layout === "heads") options.heads = heads;
  else if (layout === "bthd" || random.chance(0.2)) options.layout = layout;
  const place = (operand: Tensor) => maybeScatter(arrange(operand, layout, rank), random);
  const mask = options.mask && maybeScatter(options.mask, random);
  return { query: place(query), key: place(key), value: place(value), options: mask ? { ...options, mask } : options };
}

function maybeScatter(whole: Tensor, random: Random): Tensor {
  return random.chance(0.3) ? scattered(whole, random) : whole;
}

function randomSizes(random: Random, layout: Layout, rank: number): Sizes {
  const few = () => random.pick([1, 2, 3, 4]);
  const width = () => random.pick([1, 2, 3, 8, 16, 24, 64, random.integer(1, 70)]);
  const kvHeads = rank === 2 && layout !== "heads" ? 1 : random.pick([1, 1, 2, 3]);
  const d = width();
  return {
    batch: layout === "heads" ? (rank === 2 ? 1 : few()) : rank === 4 ? few() : 1,
    heads: rank === 2 && layout !== "heads" ? 1 : kvHeads * few(),
    kvHeads,
    tq: random.pick([1, 1, 2, 5, 16, 33, random.integer(0, 8), random.integer(1, 70)]),
    tk: random.pick([1, 2, 8, 40, 77, 97, random.integer(0, 20), random.integer(1, 200), random.integer(1, 600)]),
    d,
    dv: random.chance(0.5) ? d : width(),
  };
}

function randomOptions(random: Random, sizes: Sizes): Case["options"] {
  const { batch, heads, tq, tk } = sizes;
  const each = <T>(length: number, entry: (at: number) => T) => Array.from({ length }, (_, at) => entry(at));
  const options: Case["options"] = {};
  if (random.chance(0.4)) options.scale = random.pick([0, 0.01, -0.3, 0.7, 1, 0.3]);
  if (random.chance(0.35)) {
    const lengths = each(batch, () => random.pick([0, tk, random.integer(0, tk), random.integer(0, tk)]));
    options.keyLengths = random.pick([lengths, Int32Array.from(lengths), BigInt64Array.from(lengths, BigInt)]);
  }
  if (random.chance(0.4)) {
    const offset = () => random.integer(-tq - 2, tk + 2);
    const offsets = { offset: random.pick([each(batch, offset), Int32Array.from(each(batch, offset)), offset()]) };
    options.causal = random.pick([false, "top-left", "bottom-right", offsets, offsets]);
  }
  if (random.chance(0.3)) {
    options.window = each(2, () => random.pick([-1, 0, 1, 2, random.integer(0, 40), random.integer(0, tk + 70)]));
  }
  if (random.chance(0.25)) options.alibi = each(heads, () => random.pick([2 ** -8, 0.5, 2, random.next() + 1e-3]));
  if (random.chance(0.25)) options.softcap = random.pick([0.1, 1, 5, 30]);
  if (random.chance(0.3)) options.sinks = each(heads, () => random.pick([-Infinity, 0, 15, -20, 2 * random.normal()]));
  if (random.chance(0.3)) options.threads = random.pick([1, 2, 3, 7]);
  if (random.chance(0.5)) options.mask = randomMask(random, sizes);
  return options;
}

/** A mask of any rank, each of its dimensions whole or broadcast. */
function randomMask(random: Random, { batch, heads, tq, tk }: Sizes): Tensor {
  const rank = random.pick([0, 1, 2, 2, 3, 4, 4]);
  const dims = [batch, heads, tq, tk].slice(4 - rank).map((size) => (random.chance(0.25) ? 1 : size));
  const columns = rank === 0 ? 1 : dims[rank - 1];
  const size = product(dims);
  const rows = Array.from({ length: columns === 0 ? 0 : size / columns }, () =>
    random.pick<(random: Random) => number>(random.chance(0.5) ? BIAS_ROWS : BIAS_ROWS.slice(0, 3)),
  );
  const entries = Array.from({ length: size }, (_, at) => rows[Math.floor(at / columns)](random));
  const type = random.pick(["bool", "bool", "float32", "float16", "bfloat16"] as const);
  if (type !== "bool") return tensor(entries, dims, type);
  const bytes = tensor(
    entries.map((x) => (x === -Infinity ? 0 : random.pick([1, 1, 2, 255]))),
    dims,
    "bool",
  );
  return { ...bytes, type: random.pick(["bool", "uint8"]) };
}

const LOWEST = -3.4e38; // -65504 and less turn into -Infinity in float16, which takes the key away

// What one row of a mask may hold. As booleans, -Infinity is 0.
const BIAS_ROWS: ((random: Random) => number)[] = [
  (random) => 2 * random.normal(),
  (random) => (random.chance(0.3) ? -Infinity : random.normal()),
  (random) => (random.chance(0.95) ? -Infinity : 0),
  () => -Infinity,
  () => LOWEST,
  (random) => (random.chance(0.5) ? LOWEST : 0),
  (random) => (random.chance(0.5) ? LOWEST : -Infinity),
  (random) => random.pick([-1e4, -1e4, 0, -Infinity]),
  () => -1e4,
  () => 300,
];

/** Puts NaN or Infinity into every key and value that no query sees, and into every query that sees no key. */
function poison(call: Case, { heads, kvHeads, tq, tk, d, dv }: Sizes, random: Random): void {
  const { query, key, value } = call;
  const queries = new Uint8Array(query.data.length / d);
  const keys = new Uint8Array(key.data.length / d);
  whatIsSeen(call).forEach((weight, at) => {
    if (weight === 0) return;
    // Rows count on through heads and batch; those of a shared batch of 1 come round again.
    const queryRow = Math.floor(at / tk);
    const keyRow = Math.floor(queryRow / tq / (heads / kvHeads)) * tk + (at % tk);
    queries[queryRow % queries.length] = 1;
    keys[keyRow % keys.length] = 1;
  });
  const bad = random.pick([NaN, NaN, Infinity, -Infinity]);
  const spoil = ({ data, type }: Tensor, seen: Uint8Array, columns: number) => {
    const bits = tensor([bad], [1], type as FloatType).data[0];
    seen.forEach((isSeen, row) => {
      if (!isSeen) data.fill(bits, row * columns, (row + 1) * columns);
    });
  };
  spoil(query, queries, d);
  spoil(key, keys, d);
  spoil(value, keys, dv);
}

/** [batch, heads, tq, tk]: not 0 where a query sees a key. That is where scores of 0 have weight. */
function whatIsSeen({ query, key, value, options }: Case): Float64Array {
  const { keyLengths, causal, window, mask } = options;
  const visibility: Case["options"] = { scale: 0, keyLengths, causal, window };
  if (mask !== undefined) {
    const removed = mask.type === "bool" || mask.type === "uint8" ? 0 : -Infinity;
    visibility.mask = tensor(
      numbersOf(mask).map((x) => Number(x !== removed)),
      mask.dims,
      "bool",
    );
  }
  return oracle(query, key, value, visibility).weights.data;
}
