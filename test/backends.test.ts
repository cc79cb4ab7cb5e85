import { describe, expect, test } from "vitest";
import { attention, attentionSync, backends, explain } from "../src/index.js";
import {
  type Case,
  KEYS,
  LEVELS,
  MANY_KEYS,
  makeCase,
  makeLevels,
  OPTION_SIZES,
  OPTIONS,
  QUERIES,
  sizesOfManyKeys,
  sizesOfQueries,
  sizesOfWidth,
  WIDTHS,
} from "./cases.js";
import { expectAgreement, expectSameBits } from "./compare.js";
import { randomMix } from "./mixes.js";
import type { FloatType } from "./tensors.js";

const backend = process.env.XATTN_BACKEND ?? "";

function run({ query, key, value, options }: Case, lse = false) {
  return attentionSync(query, key, value, { ...options, lse });
}

/** Against the oracle, with and without maps, in both forms. */
async function check(call: Case): Promise<void> {
  const { query, key, value, options } = call;
  const maps = { lse: true, weights: true } as const;
  const whole = attentionSync(query, key, value, { ...options, ...maps });
  expectAgreement(whole, call);
  expectSameBits(run(call).output, whole.output);
  const later = await attention(query, key, value, { ...options, ...maps });
  expectSameBits(later.output, whole.output);
  expectSameBits(later.lse, whole.lse);
  expectSameBits(later.weights, whole.weights);
}

test("the backend that was asked for runs", () => {
  const { query, key, value } = makeCase({ tq: 3, tk: 5 });
  expect(backends).toContain(backend);
  expect(explain(query, key, value).backend).toBe(backend);
});

describe("sizes", () => {
  test.each(QUERIES)("%i queries agree with the oracle at any number of keys", (tq) => {
    for (const sizes of sizesOfQueries(tq)) {
      const call = makeCase(sizes);
      expectAgreement(run(call, true), call);
    }
  });

  test.each(WIDTHS)("d = %i agrees with the oracle at any dv", (d) => {
    for (const sizes of sizesOfWidth(d)) {
      const call = makeCase(sizes);
      expectAgreement(run(call, true), call);
    }
  });

  test.each(MANY_KEYS)("few queries agree with the oracle over %i keys", (tk) => {
    for (const sizes of sizesOfManyKeys(tk)) {
      const call = makeCase(sizes);
      expectAgreement(run(call, true), call);
    }
  });

  test("many queries agree with the oracle over many keys", async () => {
    await check(makeCase({ batch: 2, heads: 4, kvHeads: 2, tq: 80, tk: 1100, d: 24, dv: 40 }));
  });
});

describe("options", () => {
  test.each(Object.keys(OPTIONS))("every size agrees with the oracle with %s", async (name) => {
    for (const sizes of OPTION_SIZES) await check(makeCase(sizes, OPTIONS[name]));
  });

  test.each([
    "causal from the bottom right",
    "key lengths",
    "a float32 mask of queries by keys",
    "sinks",
    "all options",
  ])("few queries agree with the oracle over many keys with %s", async (name) => {
    for (const tk of [513, 2049]) {
      for (const sizes of sizesOfManyKeys(tk)) await check(makeCase({ ...sizes, batch: 2 }, OPTIONS[name]));
    }
  });
});

describe("levels", () => {
  test.each(Object.keys(LEVELS))("scores that %s agree with the oracle", async (name) => {
    for (const tq of [1, 4, 17, 65]) {
      for (const tk of [7, 77, 129, 700]) {
        await check(makeLevels(name, { tq, tk, d: 16 }));
        await check(makeLevels(name, { tq, tk, d: 16 }, OPTIONS["a boolean mask of queries by keys"]));
        await check(makeLevels(name, { tq, tk, d: 16 }, OPTIONS["a causal offset into the keys"]));
      }
    }
  });
});

const TYPES: FloatType[] = ["float32", "float16", "bfloat16"];

describe("types", () => {
  const triples = TYPES.flatMap((q) => TYPES.flatMap((k) => TYPES.map((v) => [q, k, v] as const)));

  test.each(triples)("a %s query agrees with the oracle on %s keys and %s values", async (q, k, v) => {
    const names = ["no options", "a causal offset into the keys", "a float16 mask"];
    for (const [n, sizes] of OPTION_SIZES.entries()) await check(makeCase(sizes, OPTIONS[names[n % 3]], [q, k, v]));
  });
});

describe("mixes", () => {
  test.each(Array.from({ length: 400 }, (_, seed) => seed))("random mix %i agrees with the oracle", async (seed) => {
    await check(randomMix(seed));
  });
});

test("every number of keys is met by every number of queries", () => {
  expect(QUERIES.length * KEYS.length).toBe(QUERIES.flatMap(sizesOfQueries).length);
});
