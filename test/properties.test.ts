import fc from "fast-check";
import { expect, test } from "vitest";
import { attention, attentionSync } from "../src/index.js";
import { allowedOf, calls, expectNear, POINTWISE, pickKeys, range } from "./calls.js";
import { makeCase, OPTIONS } from "./cases.js";
import { bytesOf, describeCase, expectSameBits } from "./compare.js";
import { randomMix } from "./mixes.js";
import { Random } from "./random.js";
import { run } from "./small.js";
import { type Tensor, tensor } from "./tensors.js";

fc.configureGlobal({ seed: 1, numRuns: 60 });

const ANY = Object.keys(OPTIONS);

test("permuting keys with their values changes nothing", () => {
  fc.assert(
    fc.property(calls(...POINTWISE, "sinks"), fc.integer(), (call, seed) => {
      const whole = run(call);
      const permuted = run(pickKeys(call, new Random(seed).shuffle(range(0, call.key.dims[2]))));
      const allowed = allowedOf(call, whole.lse.data);
      expectNear(permuted.lse.data, whole.lse.data, allowed, call);
      expectNear(permuted.output.data, whole.output.data, allowed, call);
    }),
  );
});

test("a number added to all scores is added to lse and leaves the output", () => {
  const names = [
    "no options",
    "a soft cap",
    "key lengths",
    "a window",
    "a causal offset for each batch entry",
    "alibi",
  ];
  fc.assert(
    fc.property(calls(...names), fc.double({ min: -80, max: 80, noNaN: true }), (call, shift) => {
      const whole = run(call);
      const mask = { data: Float32Array.of(shift), dims: [1], type: "float32" };
      const shifted = run({ ...call, options: { ...call.options, mask } });
      const expected = whole.lse.data.map((x) => x + mask.data[0]);
      const allowed = allowedOf(call, [...whole.lse.data, ...expected]);
      expectNear(shifted.lse.data, expected, allowed, call);
      expectNear(shifted.output.data, whole.output.data, allowed, call);
    }),
  );
});

test("the output lies in the convex hull of the values", () => {
  fc.assert(
    fc.property(calls(...ANY), (call) => {
      const { output, lse } = run(call);
      const { data, dims } = call.value;
      const [tk, dv] = dims.slice(2);
      const [heads, tq] = call.query.dims.slice(1);
      const allowed = allowedOf(call, lse.data);
      for (let at = 0; at < output.data.length; at++) {
        const part = Math.floor(at / (dv * tq) / (heads / dims[1])); // batch entry and key head
        const column = range(0, tk).map((j) => data[(part * tk + j) * dv + (at % dv)]);
        // 0 is in: of queries that see no key, and of sinks.
        expect(output.data[at]).toBeGreaterThanOrEqual(Math.min(0, ...column) - allowed);
        expect(output.data[at]).toBeLessThanOrEqual(Math.max(0, ...column) + allowed);
      }
    }),
  );
});

/** A copy whose rows from `start` on are filled. */
function filledFrom({ data, dims, type }: Tensor, start: number, x: number): Tensor {
  const [rows, columns] = dims.slice(2);
  const filled = data.map((y, at) => (Math.floor(at / columns) % rows >= start ? x : y));
  return { data: filled, dims, type };
}

test("what padding holds makes no difference to any bit", () => {
  const arbitrary = calls("no options", "a soft cap", "sinks", "a window", "alibi");
  fc.assert(
    fc.property(arbitrary, fc.nat(), fc.boolean(), ({ query, key, value, options }, n, masked) => {
      const [batch, , tk] = key.dims;
      const length = n % (tk + 1);
      const mask = tensor(
        range(0, tk).map((j) => Number(j < length)),
        [tk],
        "bool",
      );
      const padded = { ...options, ...(masked ? { mask } : { keyLengths: Array(batch).fill(length) }) };
      const clean = run({ query, key, value, options: padded });
      for (const bad of [NaN, Infinity, -Infinity, 1e38]) {
        const [k, v] = [filledFrom(key, length, bad), filledFrom(value, length, bad)];
        const poisoned = run({ query, key: k, value: v, options: padded });
        expectSameBits(poisoned.output, clean.output);
        expectSameBits(poisoned.lse, clean.lse);
        expectSameBits(poisoned.weights, clean.weights);
      }
    }),
  );
});

test("inputs are never written", () => {
  fc.assert(
    fc.property(fc.nat(), (seed) => {
      const { query, key, value, options } = randomMix(seed);
      const inputs = [query, key, value, ...(options.mask ? [options.mask] : [])].map(({ data }) => data);
      const before = inputs.map((data) => Buffer.from(bytesOf(data)));
      attentionSync(query, key, value, { ...options, lse: true, weights: true });
      for (const [n, data] of inputs.entries()) expect(bytesOf(data).equals(before[n])).toBe(true);
    }),
  );
});

// Enough work for several threads, and few queries over many keys.
const LARGE = [
  makeCase({ batch: 2, heads: 4, kvHeads: 2, tq: 131, tk: 333, d: 40, dv: 33 }),
  makeCase({ heads: 2, tq: 300, tk: 700, d: 16 }, OPTIONS["a causal offset into the keys"]),
  makeCase({ heads: 2, tq: 190, tk: 500, d: 16 }, OPTIONS["all options"]),
  makeCase({ heads: 2, tq: 1, tk: 9001, d: 64 }),
  makeCase({ batch: 3, tq: 4, tk: 5000, d: 32 }, OPTIONS["key lengths and causal from the bottom right"]),
  makeCase({ heads: 3, kvHeads: 1, tq: 2, tk: 7000, d: 8 }, OPTIONS.sinks),
];

test.each(LARGE.map((call) => [describeCase(call), call] as const))(
  "any number of threads gives the same bits, in both forms: %s",
  async (_, { query, key, value, options }) => {
    const wanted = { ...options, lse: true, weights: true } as const;
    const alone = attentionSync(query, key, value, { ...wanted, threads: 1 });
    const together = [2, 7, undefined].map((threads) => ({ ...wanted, ...(threads && { threads }) }));
    const results = [
      ...together.map((options) => attentionSync(query, key, value, options)),
      ...(await Promise.all([wanted, ...together].map((options) => attention(query, key, value, options)))),
    ];
    for (const { output, lse, weights } of results) {
      expectSameBits(output, alone.output);
      expectSameBits(lse, alone.lse);
      expectSameBits(weights, alone.weights);
    }
  },
);

test("the asynchronous form gives the same bits", async () => {
  await fc.assert(
    fc.asyncProperty(calls(...ANY), async ({ query, key, value, options }) => {
      const wanted = { ...options, lse: true, weights: true } as const;
      const now = attentionSync(query, key, value, wanted);
      const later = await attention(query, key, value, wanted);
      expectSameBits(later.output, now.output);
      expectSameBits(later.lse, now.lse);
      expectSameBits(later.weights, now.weights);
    }),
  );
});
