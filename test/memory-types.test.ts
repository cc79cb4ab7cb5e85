import { describe, expect, test } from "vitest";
import { attention, attentionSync, KeyValueMemory } from "../src/index.js";
import { type Case, elementError, MEMORY_TYPES, makeCase, OPTION_SIZES, OPTIONS } from "./cases.js";
import { expectAgreement, expectSameBits, oracleOf } from "./compare.js";
import { randomMix } from "./mixes.js";
import type { Results } from "./oracle.js";
import { isRounded, roundingOf } from "./rounding.js";
import { sizesOf } from "./small.js";
import { stored } from "./stored.js";
import type { FloatType } from "./tensors.js";

const MAPS = { lse: true, weights: true } as const;

/** The call with the memory, against the oracle on what the memory has kept. */
async function check(call: Case, type: (typeof MEMORY_TYPES)[number]): Promise<void> {
  const { query, key, value, options } = call;
  const memory = new KeyValueMemory(key, value, { type });
  const kept = { query, key: stored(key, type), value: stored(value, type), options };
  const result = attentionSync(query, memory, { ...options, ...MAPS });
  expectAgreement(result, kept, oracleOf(kept), roundingOf(call, memory));
  expectSameBits(attentionSync(query, memory, options).output, result.output);
  expectSameBits((await attention(query, memory, options)).output, result.output);
}

describe.each(MEMORY_TYPES)("a %s memory", (type) => {
  test.each(["no options", "a causal offset for each batch entry", "a full float32 mask", "all options"])(
    "agrees with the oracle on what it keeps with %s",
    async (name) => {
      for (const sizes of OPTION_SIZES) await check(makeCase(sizes, OPTIONS[name]), type);
    },
  );

  test.each<FloatType>(["float16", "bfloat16"])(
    "agrees with the oracle for %s queries, keys and values",
    async (of) => {
      for (const sizes of OPTION_SIZES) await check(makeCase(sizes, undefined, [of, of, of]), type);
    },
  );

  test("agrees with the oracle in random mixes, where masked keys hold NaN and infinities", async () => {
    let count = 0;
    for (let seed = 1000; count < 60; seed++) {
      const call = randomMix(seed);
      const { layout, heads } = call.options;
      if (layout === "bthd" || heads !== undefined || call.key.strides || call.value.strides) continue;
      count++;
      await check(call, type);
    }
  });

  test("shows no query the NaN of a key that only others see", () => {
    const [heads, tq, tk, d, seen] = [16, 64, 101, 8, 77];
    const { query, key, value } = makeCase({ heads, tq: 4 * tq, tk, d });
    value.data.fill(NaN, seen * d, tk * d); // of the first head
    const memory = new KeyValueMemory(key, value, { type });
    const dims = [4, heads, tq, d];
    const { output } = attentionSync({ ...query, dims }, memory, { keyLengths: [seen, tk, seen, tk] });
    for (const entry of [0, 1, 2, 3]) {
      const from = entry * heads * tq * d;
      const finite = Array.from(output.data)
        .slice(from, from + tq * d)
        .every(Number.isFinite);
      expect(finite).toBe(entry % 2 === 0);
    }
  });

  test("has the error that rounding its elements explains", () => {
    for (const sizes of [
      { heads: 8, tq: 1, tk: 1500, d: 64 },
      { heads: 8, tq: 40, tk: 300, d: 64 },
      { heads: 4, tq: 33, tk: 17, d: 128, dv: 32 },
      { batch: 2, heads: 8, tq: 9, tk: 1, d: 40 },
    ]) {
      const call = makeCase(sizes);
      const { query, key, value } = call;
      const memory = new KeyValueMemory(key, value, { type });
      const result = attentionSync(query, memory, { lse: true });
      const bound = new Bound(call, type, isRounded(call.query, memory));
      const { dv } = sizesOf(call);
      for (const [row, lse] of result.lse.data.entries()) {
        const { lse: error, output } = bound.row(row);
        expect(Math.abs(lse - bound.exact.lse.data[row])).toBeLessThanOrEqual(error);
        for (let at = row * dv; at < (row + 1) * dv; at++) {
          const off = Math.abs(result.output.data[at] - bound.exact.output.data[at]);
          if (!(off <= output[at % dv])) expect.fail(`output[${at}] is off by ${off}, allowed ${output[at % dv]}`);
        }
      }
    }
  });
});

/** What float32 arithmetic adds. */
const FLOAT32 = 1e-5;

/**
 * Errors of a memory of unit-normal numbers against float64 on the numbers before they were rounded. Elements err
 * independently: an error e each in the d products of a score gives it e * |q| / sqrt(d). A weight p errs by p times
 * what its score errs more than the mean of all, so the output by the sum of p * (v - output) times that, and by the sum
 * of p times what values err. Six standard deviations hold for a million numbers.
 */
class Bound {
  readonly exact: Results;
  private readonly key: number;
  private readonly value: number;
  private readonly isInt8: boolean;

  constructor(
    private readonly call: Case,
    type: (typeof MEMORY_TYPES)[number],
    rounded: boolean,
  ) {
    this.exact = oracleOf(call);
    const factors = rounded ? Math.SQRT2 : 1; // the other factor of each product errs as much
    this.key = factors * elementError(type, largest(call.key.data));
    this.value = factors * elementError(type, largest(call.value.data));
    this.isInt8 = type === "int8";
  }

  /** Allowed errors of the lse of a row and of the columns of its output. */
  row(row: number): { lse: number; output: Float64Array } {
    const { tq, tk, d, dv } = sizesOf(this.call);
    const { query, value } = this.call;
    const squares = sum(query.data.subarray(row * d, (row + 1) * d) as Float32Array, (x) => x * x);
    const score = this.key * Math.sqrt(squares / d);
    const weights = this.exact.weights.data.subarray(row * tk, (row + 1) * tk);
    const output = new Float64Array(dv).map((_, column) => {
      const mean = this.exact.output.data[row * dv + column];
      const first = Math.floor(row / tq) * tk * dv + column;
      const variance = sum(weights, (p, j) => {
        const v = value.data[first + j * dv];
        return p * p * ((this.value * (this.isInt8 ? 1 : v)) ** 2 + (score * (v - mean)) ** 2);
      });
      return 6 * Math.sqrt(variance) + FLOAT32;
    });
    return { lse: 6 * score * Math.sqrt(sum(weights, (p) => p * p)) + FLOAT32, output };
  }
}

function sum(numbers: Float32Array | Float64Array, of: (x: number, at: number) => number): number {
  let total = 0;
  for (let at = 0; at < numbers.length; at++) total += of(numbers[at], at);
  return total;
}

function largest(data: ArrayLike<number>): number {
  return Array.from(data).reduce((most, x) => Math.max(most, Math.abs(x)), 0);
}

describe("an int8 row", () => {
  const row = (...numbers: number[]) => ({ data: Float32Array.from(numbers), dims: [1, numbers.length] });
  const one = row(1, 0, 0, 0);
  const kept = (...numbers: number[]) => {
    const memory = new KeyValueMemory(one, row(...numbers), { type: "int8" });
    return [...attentionSync(one, memory).output.data];
  };

  test("of zeros, and of numbers too small for a factor, is of zeros", () => {
    expect(kept(0, 0, 0, 0)).toEqual([0, 0, 0, 0]);
    expect(kept(1e-45, -1e-45, 0, 1e-44)).toEqual([0, 0, 0, 0]);
  });

  test("rounds to the nearest, ties to even, and keeps its largest element", () => {
    expect(kept(127, 0.5, 1.5, -2.5)).toEqual([127, 0, 2, -2]);
    expect(kept(-254, 254, 1, 3)).toEqual([-254, 254, 0, 4]);
    expect(kept(3e38, -3e38, 0, 0).map((x) => Math.abs(x) / 3e38)).toEqual(
      [1, 1, 0, 0].map((x) => expect.closeTo(x, 6)),
    );
  });

  test("with NaN or an infinity is NaN where it is seen, and nothing where it is not", () => {
    for (const bad of [NaN, Infinity, -Infinity]) {
      expect(kept(1, bad, 2, 3)).toEqual([NaN, NaN, NaN, NaN]);
      for (const tq of [1, 20]) {
        const query = { data: new Float32Array(4 * tq).fill(1), dims: [tq, 4] };
        const rows = { data: Float32Array.of(1, 2, 3, 4, bad, 1, 1, 1), dims: [2, 4] };
        const memory = new KeyValueMemory(rows, rows, { type: "int8" });
        const { output } = attentionSync(query, memory, { keyLengths: [1] });
        expect([...output.data.slice(-4)]).toEqual([1, 2, 3, 4].map((x) => expect.closeTo(x, 1)));
      }
    }
  });
});
