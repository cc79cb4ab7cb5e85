// The sentences on what attention() means, one test each. Numbers of ordinary calls are in backends.test.ts.
import { describe, expect, test } from "vitest";
import { attention, attentionSync } from "../src/index.js";
import { type Case, makeCase } from "./cases.js";
import { bytesOf, expectAgreement, expectSameBits, oracleOf } from "./compare.js";
import { Random } from "./random.js";
import { bias, fillRow, mask, run, SMALL, sizesOf } from "./small.js";
import { normal, numbersOf, product, scattered, type Tensor, tensor } from "./tensors.js";

describe("a query with no key to see", () => {
  const ways: Record<string, (tq: number, tk: number, batch: number) => Case["options"]> = {
    "key lengths of 0": (_q, _k, batch) => ({ keyLengths: Array(batch).fill(0) }),
    "a boolean mask": (tq, tk) => ({ mask: mask(tq, tk, () => false) }),
    "-Infinity in a float mask": (tq, tk) => ({ mask: bias(tq, tk, () => -Infinity) }),
    "a causal offset before all keys": (tq) => ({ causal: { offset: -tq } }),
    "a window behind all keys": (_q, tk) => ({ causal: { offset: tk + 5 }, window: [2, -1] }),
    "length and window together": (_q, tk, batch) => ({
      keyLengths: Array(batch).fill(tk - 2),
      causal: { offset: tk + 1 },
      window: [1, -1],
    }),
  };

  test.each(Object.keys(ways))("gets output 0, weights 0 and lse -Infinity by %s, whatever the tensors hold", (way) => {
    for (const sizes of SMALL) {
      for (const content of [1, 1e30, -1e30, Infinity, NaN]) {
        const call = makeCase(sizes);
        const { tq, tk, batch } = sizesOf(call);
        for (const { data } of [call.query, call.key, call.value]) data.fill(content);
        const { output, lse, weights } = run({ ...call, options: ways[way](tq, tk, batch) });
        expect(output.data.every((x) => x === 0)).toBe(true);
        expect(lse.data.every((x) => x === -Infinity)).toBe(true);
        expect(weights.data.every((x) => x === 0)).toBe(true);
      }
    }
  });

  test("does not disturb other queries", () => {
    for (const sizes of SMALL) {
      const call = makeCase(sizes);
      const { tq, tk } = sizesOf(call);
      call.options.mask = mask(tq, tk, (i) => i % 3 === 1);
      expectAgreement(run(call), call);
    }
  });

  test("is one whose keys were taken away, not one whose scores are small", () => {
    for (const sizes of SMALL) {
      const call = makeCase(sizes);
      call.query.data.fill(-1e15);
      call.key.data.fill(1e15);
      expectAgreement(run(call), call); // scores of -1e30 and less, all equal
      expect(run(call).weights.data.every((w) => Math.abs(w * sizesOf(call).tk - 1) < 1e-5)).toBe(true);
    }
  });
});

describe("sinks", () => {
  test("add exp(sink) to the sum that lse is the logarithm of and that weights are divided by", () => {
    const call = makeCase({ tq: 20, tk: 77, d: 16, heads: 3 });
    const without = run(call);
    call.options.sinks = [2, -1, 6];
    const { output, lse, weights } = run(call);
    for (let row = 0; row < 60; row++) {
      const sink = call.options.sinks[Math.floor(row / 20)];
      const expected = Math.log(Math.exp(sink) + Math.exp(without.lse.data[row]));
      expect(lse.data[row]).toBeCloseTo(expected, 5);
      const sum = weights.data.subarray(row * 77, (row + 1) * 77).reduce((a, b) => a + b);
      expect(sum).toBeCloseTo(1 - Math.exp(sink - expected), 5);
      expect(output.data[row * 16]).toBeCloseTo(without.output.data[row * 16] * sum, 5);
    }
  });

  test("are the lse of a query with no key, whose output is 0", () => {
    const call = makeCase({ tq: 5, tk: 40, heads: 2, batch: 2 });
    const { output, lse, weights } = run({ ...call, options: { sinks: [3, -7.5], keyLengths: [0, 0] } });
    for (const [at, x] of lse.data.entries()) expect(x).toBe(at % 10 < 5 ? 3 : -7.5);
    expect([...output.data, ...weights.data].every((x) => x === 0)).toBe(true);
  });

  test("of any size give no NaN", () => {
    for (const sizes of SMALL) {
      for (const sink of [3e38, -3.4e38]) {
        const call = makeCase(sizes);
        call.options.sinks = Array(sizesOf(call).heads).fill(sink);
        const expected = oracleOf(call);
        const { output, lse } = run(call);
        for (const [at, x] of lse.data.entries()) expect(x / expected.lse.data[at]).toBeCloseTo(1, 5);
        for (const [at, x] of output.data.entries()) expect(x).toBeCloseTo(expected.output.data[at], 5);
      }
    }
  });

  test("of -Infinity are none", () => {
    const call = makeCase({ tq: 5, tk: 40, heads: 2 });
    const without = run(call);
    const { output, lse } = run({ ...call, options: { sinks: [-Infinity, -Infinity] } });
    expectSameBits(output, without.output);
    expectSameBits(lse, without.lse);
  });
});

test("the smallest soft cap makes all scores alike", () => {
  for (const sizes of SMALL) {
    const call = makeCase(sizes);
    call.options.softcap = 1e-44;
    fillRow(call.query, 0, 0);
    expectAgreement(run(call), call);
  }
});

test("NaN in a query stays in its row", () => {
  for (const sizes of SMALL) {
    const call = makeCase(sizes);
    fillRow(call.query, sizesOf(call).tq >> 1, NaN);
    expectAgreement(run(call), call);
  }
});

test("scores of 1e30 give no NaN: the largest takes all", () => {
  for (const sizes of SMALL) {
    for (const winner of [0, 4, 8]) {
      const call = makeCase(sizes);
      const { tk, d } = sizesOf(call);
      call.options.scale = 1;
      call.query.data.fill(1e15);
      call.key.data.fill(0);
      for (let j = 0; j < tk; j++) fillRow(call.key, j, j === winner ? 1e15 / d : -1e15 * (j + 1));
      expectAgreement(run(call), call);
    }
  }
});

test("scores below the range of float32 weigh nothing beside others", () => {
  for (const sizes of SMALL) {
    for (const isMasked of [false, true]) {
      const call = makeCase(sizes);
      const { tq, tk, d } = sizesOf(call);
      call.options.scale = 1;
      if (isMasked) call.options.mask = mask(tq, tk, (i, j) => j >= tk - 3 || (i + j) % 3 > 0);
      call.query.data.fill(1e15);
      for (let j = 0; j < tk; j++) fillRow(call.key, j, j < tk - 3 ? -1e25 : (-1e-12 * (j + 1)) / d);
      expectAgreement(run(call), call);
    }
  }
});

test("scores are scaled, then capped, then biased by alibi and mask", () => {
  const call = makeCase({ tq: 1, tk: 2, d: 1 });
  call.query.data.set([3]);
  call.key.data.set([4, -4]);
  call.options = { scale: 0.5, softcap: 2, alibi: [0.25], mask: tensor([-5, 0.5], [2]) };
  const scores = [2 * Math.tanh(3) - 5, 2 * Math.tanh(-3) - 0.25 + 0.5];
  const lse = Math.log(Math.exp(scores[0]) + Math.exp(scores[1]));
  expect(run(call).lse.data[0]).toBeCloseTo(lse, 5);
  expect(run(call).weights.data[0]).toBeCloseTo(Math.exp(scores[0] - lse), 5);
});

describe.each([
  { type: "float16", numbers: [2 ** -24, -3 * 2 ** -24, 2 ** -15, 65504], small: -18, large: 12 },
  { type: "bfloat16", numbers: [2 ** -133, -3 * 2 ** -133, 2 ** -127, 2 ** 100], small: -130, large: 120 },
] as const)("$type", ({ type, numbers, small, large }) => {
  test("keeps its smallest and largest values", () => {
    for (const sizes of SMALL) {
      const { query, key, value, options } = makeCase(sizes, undefined, [type, type, type]);
      for (const number of numbers) {
        const all = tensor(Array(value.data.length).fill(number), value.dims, type);
        const { output } = attentionSync(query, key, all, options);
        expect(numbersOf({ data: output.data, type }).every((x) => x === number)).toBe(true);
      }
    }
  });

  test("takes part in scores below its normal range", () => {
    for (const sizes of SMALL) {
      const { query, key, value } = makeCase(sizes);
      const scaled = ({ data, dims }: Tensor, exponent: number) =>
        tensor(
          Float64Array.from(data, (x) => x * 2 ** exponent),
          dims,
          type,
        );
      const scale = 2 ** -(small + large);
      const call = { query: scaled(query, small), key: scaled(key, large), value, options: { scale } };
      const result = attentionSync(call.query, call.key, value, { scale, lse: true, weights: true });
      expectAgreement(result, call);
    }
  });
});

test("the output has the same bits with and without lse and weights", () => {
  for (const sizes of SMALL) {
    const { query, key, value } = makeCase(sizes);
    const { output } = attentionSync(query, key, value);
    for (const lse of [true, false]) {
      for (const weights of [true, false]) {
        expectSameBits(attentionSync(query, key, value, { lse, weights }).output, output);
      }
    }
  }
});

test("inputs are never written", async () => {
  const random = new Random(5);
  for (const type of ["float32", "float16", "bfloat16"] as const) {
    for (const place of [(x: Tensor) => x, (x: Tensor) => scattered(x, random)]) {
      const [query, key, value] = [
        normal(random, [20, 16], type),
        normal(random, [50, 16], type),
        normal(random, [50, 8], type),
      ].map(place);
      const others = { mask: bias(20, 50, () => 0.1), keyLengths: Int32Array.of(40), sinks: Float32Array.of(1) };
      const offset = Int32Array.of(7);
      const inputs = [query.data, key.data, value.data, others.mask.data, others.keyLengths, others.sinks, offset];
      const before = inputs.map((data) => Buffer.from(bytesOf(data)));
      const options = { ...others, causal: { offset }, lse: true, weights: true };
      attentionSync(query, key, value, options);
      await attention(query, key, value, options);
      inputs.forEach((data, n) => {
        expect(bytesOf(data).equals(before[n])).toBe(true);
      });
    }
  }
});

test("empty dimensions give empty or zero results", async () => {
  const maps = { lse: true, weights: true } as const;
  for (const [batch, heads, tq, tk, dv] of [
    [2, 3, 0, 5, 4],
    [2, 3, 5, 0, 4],
    [2, 3, 0, 0, 4],
    [2, 3, 5, 7, 0],
    [0, 3, 5, 7, 4],
    [2, 0, 5, 7, 4],
  ]) {
    const call = makeCase({ batch, heads, tq, tk, d: 4, dv });
    expectAgreement(attentionSync(call.query, call.key, call.value, maps), call);
    expectAgreement(await attention(call.query, call.key, call.value, maps), call);
  }
});

test("the errors of many equal terms do not add up: one value in all rows comes out as it is", () => {
  const same = (x: number, ...dims: number[]) => tensor(Array(product(dims)).fill(x), dims);
  const biases = { mask: { data: Float32Array.of(0.5), dims: [1] } };
  for (const tq of [1, 3, 17, 64]) {
    for (const tk of [4090, 20_000]) {
      for (const options of [{}, biases]) {
        const call = [same(1.3, tq, 2), same(1.1, tk, 2), same(1.7146, tk, 2)] as const;
        const { output } = attentionSync(...call, options);
        for (const x of numbersOf(output)) expect(Math.abs(x / Math.fround(1.7146) - 1)).toBeLessThan(3e-6);
      }
    }
  }
});
