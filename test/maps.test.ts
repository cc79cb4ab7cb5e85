import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, expectTypeOf, test } from "vitest";
import {
  attention,
  attentionSync,
  explain,
  type MapOptions,
  type Tensor as Returned,
  type TopK,
} from "../src/index.js";
import { type Case, makeCase, makeLevels, OPTION_SIZES, OPTIONS } from "./cases.js";
import { bytesOf, describeCase, expectSameBits } from "./compare.js";
import { asMap, asTopK, checkMaps, mapsOf } from "./map-checks.js";
import { randomMix } from "./mixes.js";
import { Random } from "./random.js";
import { fillRow, mask, sizesOf } from "./small.js";
import { arrange, type Tensor } from "./tensors.js";

function run<const Map extends MapOptions | boolean>({ query, key, value, options }: Case, weights: Map) {
  return attentionSync(query as Tensor & { data: Float32Array }, key, value, { ...options, lse: true, weights });
}

describe("Every map agrees with the oracle, and leaves output and lse their bits", () => {
  test.each([
    "no options",
    "causal from the bottom right",
    "a window",
    "a full boolean mask",
    "a float32 mask of queries by keys",
    "key lengths",
    "sinks",
    "sinks that take nearly all",
    "all options",
  ])("with %s", (name) => {
    for (const [n, sizes] of OPTION_SIZES.entries()) checkMaps(makeCase(sizes, OPTIONS[name]), n);
  });

  test("with heads that share key heads, and batch entries that share keys", () => {
    const grouped = [
      { heads: 6, kvHeads: 2, tq: 70, tk: 130 },
      { heads: 6, kvHeads: 2, tq: 64, tk: 130 },
      { heads: 4, kvHeads: 1, tq: 1, tk: 300, d: 64 },
      { batch: 2, heads: 2, tq: 129, tk: 33 },
    ];
    for (const [n, sizes] of grouped.entries()) checkMaps(makeCase(sizes), n);
    const shared = makeCase({ batch: 3, heads: 4, kvHeads: 2, tq: 33, tk: 70 });
    const first = ({ data, dims, type }: Tensor) => ({
      data: data.slice(0, data.length / dims[0]),
      dims: [1, ...dims.slice(1)],
      type,
    });
    checkMaps({ ...shared, key: first(shared.key), value: first(shared.value) }, 7);
  });

  test("with more keys than an item or a block has", () => {
    checkMaps(makeCase({ heads: 2, tq: 65, tk: 2100, d: 16 }), 1);
    checkMaps(makeCase({ heads: 2, tq: 2, tk: 5000, d: 16 }), 2);
    checkMaps(makeCase({ heads: 2, tq: 2, tk: 5000, d: 16 }, OPTIONS["a causal offset into the keys"]), 3);
  });

  test("in any layout and rank, with mixed types, views and hidden NaN", () => {
    for (let seed = 0; seed < 120; seed++) {
      const call = randomMix(seed);
      if (call.key.dims.every((size) => size > 0) && call.query.dims.every((size) => size > 0)) checkMaps(call, seed);
    }
  });

  test("where scores are extreme", () => {
    for (const name of ["rise steeply", "peak at the last key", "are all large", "are all small"]) {
      for (const tq of [1, 17, 65]) checkMaps(makeLevels(name, { tq, tk: 129, d: 16 }), tq);
    }
  });
});

describe("Dims", () => {
  const cases = [
    ["bhtd", 2, [4, 9], [4, 9], [4], [9], [4, 3]],
    ["bhtd", 3, [3, 4, 9], [4, 9], [3, 4], [3, 9], [3, 4, 3]],
    ["bhtd", 4, [2, 3, 4, 9], [2, 4, 9], [2, 3, 4], [2, 3, 9], [2, 3, 4, 3]],
    ["bthd", 3, [1, 3, 4, 9], [1, 4, 9], [1, 3, 4], [1, 3, 9], [1, 3, 4, 3]],
    ["bthd", 4, [2, 3, 4, 9], [2, 4, 9], [2, 3, 4], [2, 3, 9], [2, 3, 4, 3]],
    ["heads", 2, [1, 3, 4, 9], [1, 4, 9], [1, 3, 4], [1, 3, 9], [1, 3, 4, 3]],
    ["heads", 3, [2, 3, 4, 9], [2, 4, 9], [2, 3, 4], [2, 3, 9], [2, 3, 4, 3]],
  ] as const;

  test.each(cases)("follow from the layout %s and rank %i", (layout, rank, weights, mean, entropy, sum, topK) => {
    const batch = rank === 4 || (layout === "heads" && rank === 3) ? 2 : 1;
    const heads = rank === 2 && layout !== "heads" ? 1 : 3;
    const { query, key, value } = makeCase({ batch, heads, tq: 4, tk: 9, d: 8 });
    const options = layout === "heads" ? { heads } : { layout };
    const place = (operand: Tensor) => arrange(operand, layout, rank);
    const ask = <const Map extends MapOptions>(map: Map) =>
      attentionSync(place(query), place(key), place(value), { ...options, weights: map }).weights;
    expect(asMap(ask({})).dims).toEqual(weights);
    expect(asMap(ask({ reduce: "mean" })).dims).toEqual(mean);
    expect(asMap(ask({ reduce: "entropy" })).dims).toEqual(entropy);
    expect(asMap(ask({ reduce: "sum", over: "queries" })).dims).toEqual(sum);
    const lists = asTopK(ask({ topK: 3 }));
    expect([lists.weights.dims, lists.indices.dims]).toEqual([topK, topK]);
    expect([lists.weights.type, lists.indices.type]).toEqual(["float32", "int32"]);
    expect(asMap(ask({ keys: [5, 2] })).dims.at(-1)).toBe(2);
  });

  test("that are empty give maps of as much", async () => {
    const { query, key, value } = makeCase({ heads: 2, tq: 3, tk: 4, d: 8 });
    const none = { ...key, data: new Float32Array(0), dims: [1, 2, 0, 8] };
    const noKeys = (weights: MapOptions) => attention(query, none, none, { weights });
    expect((await noKeys({ reduce: "sum", over: "queries" })).weights).toMatchObject({ dims: [1, 2, 0] });
    expect((await noKeys({ reduce: "entropy" })).weights).toMatchObject({ data: new Float32Array(6) });
    const lists = asTopK((await noKeys({ topK: 2 })).weights);
    expect([lists.weights.data, lists.indices.data]).toEqual([new Float32Array(12), new Int32Array(12).fill(-1)]);
    const noQueries = { ...query, data: new Float32Array(0), dims: [1, 2, 0, 8] };
    const { weights } = attentionSync(noQueries, key, value, { weights: { reduce: "sum", over: "queries" } });
    expect(weights).toEqual({ data: new Float32Array(8), dims: [1, 2, 4], type: "float32" });
    const noColumns = { ...value, data: new Float32Array(0), dims: [1, 2, 4, 0] };
    const { weights: mean } = attentionSync(query, key, noColumns, { weights: { reduce: "mean" } });
    expect(mean).toEqual(attentionSync(query, key, value, { weights: { reduce: "mean" } }).weights);
  });
});

describe("Types", () => {
  test("of the result follow from what was asked for", () => {
    const { query, key, value } = makeCase({ heads: 2, tq: 3, tk: 4 });
    const ask = <const Map extends boolean | MapOptions>(weights: Map) => attentionSync(query, key, value, { weights });
    expectTypeOf(attentionSync(query, key, value).weights).toEqualTypeOf<undefined>();
    expectTypeOf(ask(true).weights).toEqualTypeOf<Returned<Float32Array>>();
    expectTypeOf(ask({ heads: [1] }).weights).toEqualTypeOf<Returned<Float32Array>>();
    expectTypeOf(ask({ reduce: "mean" }).weights).toEqualTypeOf<Returned<Float32Array>>();
    expectTypeOf(ask({ topK: 2 }).weights).toEqualTypeOf<TopK>();
    expectTypeOf(ask({ topK: 2 } as MapOptions).weights).toEqualTypeOf<Returned<Float32Array> | TopK>();
    expect(ask({ topK: 2 }).weights.indices.dims).toEqual([1, 2, 3, 2]);
  });
});

/** Calls for one row each of what few and many queries are. */
const FEW_AND_MANY = [makeCase({ tq: 2, tk: 40, d: 16 }), makeCase({ tq: 70, tk: 40, d: 16 })];

describe("topK", () => {
  test("puts equal weights in the order of their keys", () => {
    for (const { query, key, value } of FEW_AND_MANY) {
      const options = { scale: 0, weights: { topK: 5 } } as const;
      const { indices, weights } = attentionSync(query, key, value, options).weights;
      expect(indices.data.subarray(0, 5)).toEqual(Int32Array.of(0, 1, 2, 3, 4));
      expect(new Set(weights.data).size).toBe(1);
      const some = attentionSync(query, key, value, { scale: 0, weights: { topK: 3, keys: [30, 20, 10, 25] } }).weights;
      expect(some.indices.data.subarray(0, 3)).toEqual(Int32Array.of(10, 20, 25));
    }
  });

  test("names no key that a query does not see", () => {
    for (const { query, key, value } of FEW_AND_MANY) {
      const tq = query.dims[2];
      const visible = mask(tq, 40, (i, j) => i > 0 && j === (3 * i) % 40);
      const { indices, weights } = attentionSync(query, key, value, { mask: visible, weights: { topK: 2 } }).weights;
      expect([...indices.data.subarray(0, 4)]).toEqual([-1, -1, 3, -1]);
      expect(weights.data[2]).toBeCloseTo(1, 5);
      expect([weights.data[0], weights.data[1], weights.data[3]]).toEqual([0, 0, 0]);
    }
  });

  test("takes more than there are keys", () => {
    for (const call of FEW_AND_MANY) {
      const { indices } = run(call, { topK: 50 }).weights;
      expect(new Set(indices.data.subarray(0, 40)).size).toBe(40);
      expect(new Set(indices.data.subarray(40, 50))).toEqual(new Set([-1]));
    }
  });
});

describe("NaN", () => {
  test("in a query shows in each of its maps and in no other query's, hidden keys apart", () => {
    for (const call of FEW_AND_MANY) {
      const { query, key, value } = call;
      const { tq, tk } = sizesOf(call);
      const spoilt = { ...query, data: query.data.slice() } as Tensor;
      fillRow(spoilt, 1, NaN);
      const visible = mask(tq, tk, (_, j) => j >= 2);
      const ask = (weights: MapOptions) => attentionSync(spoilt, key, value, { mask: visible, weights }).weights;
      const rows = (data: Float32Array, width: number) => [data.subarray(0, width), data.subarray(width, 2 * width)];
      const [other, own] = rows(asMap(ask({})).data, tk);
      expect(other.every(Number.isFinite)).toBe(true);
      expect([...own].map(Number.isNaN)).toEqual(Array.from({ length: tk }, (_, j) => j >= 2));
      expect([...asMap(ask({ reduce: "entropy" })).data].map(Number.isNaN).slice(0, 2)).toEqual([false, true]);
      const lists = asTopK(ask({ topK: 3 }));
      expect([...rows(lists.weights.data, 3)[1]]).toEqual([NaN, NaN, NaN]);
      expect([...lists.indices.data.subarray(3, 6)]).toEqual([2, 3, 4]);
      expect(rows(lists.weights.data, 3)[0].every(Number.isFinite)).toBe(true);
    }
  });
});

test("entropies are those of known distributions", () => {
  for (const { query, key, value } of FEW_AND_MANY) {
    const entropyOf = (options: object) =>
      attentionSync(query, key, value, { ...options, weights: { reduce: "entropy" } }).weights.data;
    for (const x of entropyOf({ scale: 0 })) expect(x).toBeCloseTo(Math.log(40), 5);
    expect(entropyOf({ window: [0, 0], keyLengths: [1] })[0]).toBeCloseTo(0, 6);
    expect(entropyOf({ window: [0, 0], keyLengths: [1] })[1]).toBe(0);
    // A sink takes half: 40 keys of 1 / 80 each.
    for (const x of entropyOf({ scale: 0, sinks: [Math.log(40)] })) expect(x).toBeCloseTo(Math.log(80) / 2, 5);
    // A bias of -3.4e38, of which exp() is 0, adds nothing.
    const bias = { data: new Float32Array(40).fill(-3.4e38, 1), dims: [40] };
    for (const x of entropyOf({ mask: bias })) expect(x).toBeCloseTo(0, 6);
  }
});

// Enough work for several threads, of few and many queries, with and without a tile for each head.
const LARGE = [
  makeCase({ batch: 2, heads: 4, tq: 131, tk: 1333, d: 40, dv: 33 }),
  makeCase({ heads: 6, kvHeads: 2, tq: 131, tk: 700, d: 16 }, OPTIONS["a causal offset into the keys"]),
  makeCase({ heads: 6, kvHeads: 2, tq: 128, tk: 500, d: 16 }, OPTIONS["all options"]),
  makeCase({ heads: 2, tq: 1, tk: 9001, d: 64 }),
];

test.each(LARGE.map((call) => [describeCase(call), call] as const))(
  "any number of threads gives the same bits, in both forms: %s",
  async (_, { query, key, value, options }) => {
    for (const map of mapsOf({ heads: query.dims[1], tk: key.dims[2] }, new Random(1))) {
      const weights = map as MapOptions;
      const alone = attentionSync(query, key, value, { ...options, weights, threads: 1 });
      const bits = (result: unknown) => {
        const { weights, indices } =
          map.topK === undefined ? { weights: asMap(result), indices: undefined } : asTopK(result);
        return Buffer.concat([bytesOf(weights.data), ...(indices ? [bytesOf(indices.data)] : [])]);
      };
      const results = [
        attentionSync(query, key, value, { ...options, weights, threads: 7 }),
        ...(await Promise.all(
          [1, 2, 7].map((threads) => attention(query, key, value, { ...options, weights, threads })),
        )),
      ];
      for (const result of results) {
        expect(bits(result.weights).equals(bits(alone.weights)), JSON.stringify(map)).toBe(true);
        expectSameBits(result.output, alone.output);
      }
    }
  },
);

test("a call with a map can be aborted at any time, and others go on", async () => {
  const { query, key, value } = makeCase({ heads: 4, tq: 300, tk: 1500, d: 32 });
  const weights = { reduce: "mean" } as const;
  const whole = attentionSync(query, key, value, { weights });
  const outcomes = new Set<unknown>();
  for (let wait = 0; wait < 24; wait++) {
    const controller = new AbortController();
    const pending = attention(query, key, value, { weights, signal: controller.signal }).then(
      () => "done",
      (reason) => reason,
    );
    const other = attention(query, key, value, { weights });
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait / 2)); // else surely before the end
    controller.abort("enough");
    outcomes.add(await pending);
    expectSameBits((await other).weights, whole.weights);
  }
  expect([...outcomes].every((outcome) => outcome === "done" || outcome === "enough")).toBe(true);
  expect(outcomes).toContain("enough");
});

/** Sanitizers keep freed memory. */
const sanitized = /[at]san/.test(process.env.LD_PRELOAD ?? "");
if (sanitized) console.warn("Skipped: peaks of memory, which sanitizers raise.");

// All weights would be 512 MB; 16 more are for the rows, and for what grows by itself.
test.skipIf(sanitized).each([
  [{ reduce: "mean" }, 64],
  [{ reduce: "mean", heads: [1, 2, 5] }, 64],
  [{ reduce: "entropy" }, 0.125],
  [{ reduce: "sum", over: "queries" }, 0.125],
  [{ topK: 8 }, 2],
  [{ heads: [3] }, 64],
  [{ keys: [7, 4000] }, 0.25],
] as const)("%o of 8 x 4096 x 4096 takes the memory of its result, %f MB", (weights, result) => {
  const main = fileURLToPath(new URL("maps-memory.mjs", import.meta.url));
  const { stdout, stderr } = spawnSync(process.execPath, [main, JSON.stringify(weights)], { encoding: "utf8" });
  expect(stderr).toBe("");
  expect(Number(stdout)).toBeGreaterThanOrEqual(0.9 * result);
  expect(Number(stdout)).toBeLessThan(result + 16);
});

test("explain takes maps", () => {
  const { query, key, value } = makeCase({ tq: 3, tk: 5 });
  expect(explain(query, key, value, { weights: { topK: 1 } }).backend).toBe(process.env.XATTN_BACKEND);
});
