import { describe, expect, test } from "vitest";
import { embedding, layerNorm, Rotary, rmsNorm } from "../src/blocks/index.js";
import * as oracle from "./blocks-oracle.js";
import { Random } from "./random.js";
import { normal, numbersOf } from "./tensors.js";

const U = 2 ** -24;
const WIDTHS = [1, 2, 3, 4, 7, 8, 16, 17, 33, 64, 100, 257, 1030];

function floats(random: Random, dims: number[]): Float32Array {
  return normal(random, dims).data as Float32Array;
}

function rowsOf(x: Float32Array, width: number): number[][] {
  return Array.from({ length: x.length / width }, (_, r) => [...x.subarray(r * width, (r + 1) * width)]);
}

function expectNear(actual: Float32Array, expected: number[], limit: (value: number) => number): void {
  expect(actual.length).toBe(expected.length);
  expected.forEach((value, at) => {
    if (!(Math.abs(actual[at] - value) <= limit(value))) expect.fail(`[${at}] expected ${value}, got ${actual[at]}`);
  });
}

/** x * weight + bias for each row. */
function scaled(rows: number[][], weight: ArrayLike<number>, bias?: ArrayLike<number>): number[] {
  return rows.flatMap((row) => row.map((x, i) => x * weight[i] + (bias?.[i] ?? 0)));
}

// Means and squares are sums of up to 1030 terms in lanes; what they are off by is common to a row. The last rounding
// is of a sum with the bias.
const NORM = (value: number) => 40 * U * (1 + Math.abs(value));

describe("norms", () => {
  test.each(WIDTHS)("of width %i agree with the oracle", (width) => {
    const random = new Random(width);
    for (const rows of [1, 2, 9]) {
      const x = floats(random, [rows, width]).map((x) => 3 * x + 1);
      const [weight, bias] = [floats(random, [width]), floats(random, [width])];
      const [layers, rms] = [oracle.layerNorm, oracle.rmsNorm].map((norm) =>
        rowsOf(x, width).map((row) => norm(row, 1e-3)),
      );
      expectNear(layerNorm(x, width, { weight, bias, eps: 1e-3 }), scaled(layers, weight, bias), NORM);
      expectNear(layerNorm(x, width, { eps: 1e-3 }), layers.flat(), NORM);
      expectNear(layerNorm(x, width, { weight, eps: 1e-3 }), scaled(layers, weight), NORM);
      expectNear(rmsNorm(x, width, { weight, eps: 1e-3 }), scaled(rms, weight), NORM);
      expectNear(rmsNorm(x, width, { eps: 1e-3 }), rms.flat(), NORM);
    }
  });

  test("have PyTorch's eps where none is given", () => {
    const x = new Float32Array([1e-3, -1e-3, 2e-3, 0]);
    expectNear(layerNorm(x, 4), oracle.layerNorm([...x], 1e-5), NORM);
    expectNear(rmsNorm(x, 4), oracle.rmsNorm([...x], 2 ** -23), NORM);
  });

  test("of a row far from zero lose no more than its distance costs", () => {
    const x = Float32Array.from({ length: 64 }, (_, i) => 1000 + i / 64);
    expectNear(layerNorm(x, 64), oracle.layerNorm([...x], 1e-5), () => 1e-3);
  });

  test("of a constant row are the bias", () => {
    const bias = Float32Array.from({ length: 19 }, (_, i) => i);
    expect(layerNorm(new Float32Array(19).fill(5), 19, { bias })).toEqual(bias);
  });

  test("may be written over the input", () => {
    const x = floats(new Random(3), [7, 40]);
    const [layer, rms] = [layerNorm(x, 40), rmsNorm(x, 40)];
    const [a, b] = [x.slice(), x.slice()];
    expect(layerNorm(a, 40, { out: a })).toBe(a);
    expect(a).toEqual(layer);
    expect(rmsNorm(b, 40, { out: b })).toEqual(rms);
  });

  test("of many rows are those of each row", () => {
    const x = floats(new Random(4), [3000, 500]);
    const whole = layerNorm(x, 500);
    for (const row of [0, 1499, 2999]) {
      const at = row * 500;
      expect(whole.slice(at, at + 500)).toEqual(layerNorm(x.slice(at, at + 500), 500));
    }
  });

  test("of no rows are none", () => {
    expect(layerNorm(new Float32Array(0), 5).length).toBe(0);
  });
});

describe("embeddings", () => {
  test.each(["float32", "float16", "bfloat16"] as const)("of a %s table are its rows", (type) => {
    for (const width of WIDTHS) {
      const table = normal(new Random(width), [9, width], type);
      const rows = rowsOf(Float32Array.from(numbersOf(table)), width);
      const ids = [8, 0, 3, 3];
      expect([...embedding(table, ids)]).toEqual(ids.flatMap((id) => rows[id]));
      const doubled = embedding(table, Int32Array.from(ids), { scale: 2 });
      expect([...doubled]).toEqual(ids.flatMap((id) => rows[id].map((x) => 2 * x)));
    }
  });

  test("take bigints, views of tables, and out", () => {
    const table = { data: Float32Array.from({ length: 12 }, (_, i) => i), dims: [3, 2], strides: [4, 1] };
    expect([...embedding(table, BigInt64Array.of(2n, 1n))]).toEqual([8, 9, 4, 5]);
    const turned = { data: Float32Array.from({ length: 6 }, (_, i) => i), dims: [3, 2], strides: [1, 3] };
    const out = new Float32Array(2);
    expect(embedding(turned, [1], { out })).toBe(out);
    expect([...out]).toEqual([1, 4]);
  });

  test("of no ids are none", () => {
    expect(embedding({ data: new Float32Array(6), dims: [3, 2] }, []).length).toBe(0);
  });
});

describe("rotary positions", () => {
  const KINDS = [
    { size: 8, dims: 8, heads: 1, pairs: "halves" },
    { size: 8, dims: 8, heads: 3, pairs: "interleaved" },
    { size: 36, dims: 32, heads: 8, pairs: "interleaved" },
    { size: 36, dims: 32, heads: 2, pairs: "halves" },
    { size: 64, dims: 64, heads: 2, pairs: "halves" },
    { size: 66, dims: 66, heads: 2, pairs: "interleaved" },
    { size: 66, dims: 34, heads: 2, pairs: "halves" },
    { size: 5, dims: 2, heads: 2, pairs: "interleaved" },
    { size: 5, dims: 0, heads: 1, pairs: "halves" },
  ] as const;

  test.each(KINDS)("$pairs of $dims of $size in $heads heads agree with the oracle", ({ size, dims, heads, pairs }) => {
    const rotary = new Rotary(size, { dims, pairs, base: 500 });
    for (const positions of [[0], [7, 7, 7], [0, 1, 2, 3, 4], [900, 3]]) {
      const x = floats(new Random(size), [positions.length, heads, size]);
      const expected = rowsOf(x, size).flatMap((head, n) =>
        oracle.rotary(head, positions[Math.floor(n / heads)], dims, 500, pairs === "interleaved"),
      );
      const turned = rotary.apply(x, { heads, positions });
      expectNear(turned, expected, (value) => 4 * U * (1 + Math.abs(value)));
      expect(rotary.apply(x.slice(), { heads, positions, out: x })).toBe(x);
      expect(x).toEqual(turned);
      expect(rotary.apply(x, { heads, positions, out: x })).toEqual(rotary.apply(turned, { heads, positions }));
    }
  });

  test("follow each other from the first row's", () => {
    const [rotary, x] = [new Rotary(4), floats(new Random(1), [3, 4])];
    expect(rotary.apply(x, { positions: 100 })).toEqual(rotary.apply(x, { positions: [100, 101, 102] }));
    expect(rotary.apply(x)).toEqual(rotary.apply(x, { positions: BigInt64Array.of(0n, 1n, 2n) }));
  });

  test("turn by base 10000 and halves where nothing else is said", () => {
    const x = floats(new Random(2), [1, 16]);
    const expected = oracle.rotary([...x], 31, 16, 10000, false);
    expectNear(new Rotary(16).apply(x, { positions: 31 }), expected, (value) => 4 * U * (1 + Math.abs(value)));
  });
});
