import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Translator } from "../examples/translate/model.mjs";
import { Vocabulary } from "../examples/translate/tokens.mjs";
import { readModel } from "../examples/translate/weights.mjs";
import { type Alignment, alignment, type TensorLike } from "../src/index.js";
import { Random } from "./random.js";
import { normal, scattered, type Tensor, tensor } from "./tensors.js";

fc.configureGlobal({ seed: 1, numRuns: 100 });

/** First key of each of tq queries, rising, the first one 0. */
function randomStarts(random: Random, tq: number, tk: number): number[] {
  const inner = random.shuffle(Array.from({ length: tk - 1 }, (_, j) => j + 1)).slice(0, tq - 1);
  return [0, ...inner.sort((a, b) => a - b)];
}

/** Weights of queries that look at their own keys, of which the next query's first one is the end, in noise. */
function mapOf(random: Random, starts: number[], tk: number, heads: number, noise: number): Tensor {
  const rows = Array.from({ length: heads }, () =>
    starts.map((start, i) => {
      const row = Array.from({ length: tk }, (_, j) => (j >= start && j < (starts[i + 1] ?? tk) ? 1 : 0));
      return row.map((x) => x + noise * random.next());
    }),
  );
  const numbers = rows.flat().flatMap((row) => {
    const sum = row.reduce((a, b) => a + b);
    return row.map((x) => x / sum);
  });
  return tensor(numbers, [heads, starts.length, tk]);
}

/** The sum of the map along the best of all paths, by trying them all. */
function bestSum(map: number[][], i = 0, j = 0): number {
  const [lastQuery, lastKey] = [map.length - 1, map[0].length - 1];
  const nexts: [number, number][] = [
    [i + 1, j + 1],
    [i, j + 1],
    [i + 1, j],
  ];
  const rest = nexts.filter(([a, b]) => a <= lastQuery && b <= lastKey).map(([a, b]) => bestSum(map, a, b));
  return map[i][j] + (rest.length > 0 ? Math.max(...rest) : 0);
}

function expectMonotone({ starts, ends, path: { queries, keys } }: Alignment, tq: number, tk: number): void {
  expect([queries[0], keys[0], queries.at(-1), keys.at(-1)]).toEqual([0, 0, tq - 1, tk - 1]);
  for (let n = 1; n < queries.length; n++) {
    const step = [queries[n] - queries[n - 1], keys[n] - keys[n - 1]];
    expect([
      [0, 1],
      [1, 0],
      [1, 1],
    ]).toContainEqual(step);
  }
  for (let i = 0; i < tq; i++) {
    const own = Array.from(keys).filter((_, n) => queries[n] === i);
    expect([starts[i], ends[i]]).toEqual([Math.min(...own), Math.max(...own) + 1]);
  }
}

describe("A path that is known", () => {
  test.each([0, 0.05, 0.2])("is found in noise of %f, within what the median blurs", (noise) => {
    const random = new Random(5);
    for (let round = 0; round < 20; round++) {
      // Queries look at 8 keys at least, more than the median is wide.
      const starts = randomStarts(random, 12, 20).map((start) => 8 * start);
      const weights = mapOf(random, starts, 160, 4, noise);
      const found = alignment(weights);
      expectMonotone(found, 12, 160);
      for (const [i, start] of starts.entries()) {
        expect(Math.abs(found.starts[i] - start)).toBeLessThanOrEqual(noise === 0 ? 0 : 2);
      }
    }
  });

  test("is found in the heads that know it, and lost among many that do not", () => {
    const random = new Random(6);
    const starts = randomStarts(random, 10, 15).map((start) => 8 * start);
    const knowing = mapOf(random, starts, 120, 2, 0.1);
    const others = normal(random, [300, 10, 120]);
    const weights = tensor([...knowing.data, ...others.data.map((x) => 3 * Math.abs(x))], [302, 10, 120]);
    const distance = (found: Alignment) => Math.max(...starts.map((start, i) => Math.abs(found.starts[i] - start)));
    expect(distance(alignment(weights, { heads: [1, 0] }))).toBeLessThanOrEqual(2);
    expect(distance(alignment(weights))).toBeGreaterThan(8);
  });

  test("is found beside a key that every query looks at, which normalisation makes silent", () => {
    const random = new Random(7);
    const starts = [0, 20, 40, 60];
    const weights = mapOf(random, starts, 80, 1, 0.05);
    for (let i = 0; i < 4; i++) for (let j = 0; j < 8; j++) weights.data[i * 80 + j] = 5;
    expect(alignment(weights).starts[1]).toBeGreaterThan(17);
    expect(alignment(weights, { normalize: false }).starts[3]).toBeLessThan(10);
  });

  test("is the one of the largest sum", () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 }), (seed, tq, tk) => {
        const weights = normal(new Random(seed), [tq, tk]);
        const map = Array.from({ length: tq }, (_, i) => Array.from(weights.data.slice(i * tk, (i + 1) * tk)));
        const { queries, keys } = alignment(weights, { median: 1, normalize: false }).path;
        const sum = queries.reduce((sum, i, n) => sum + map[i][keys[n]], 0);
        expect(sum).toBeCloseTo(bestSum(map), 9);
      }),
    );
  });
});

describe("A path", () => {
  test("is monotone and covers the first and last query and key, whatever the weights", () => {
    fc.assert(
      fc.property(
        fc.record({
          seed: fc.nat(),
          heads: fc.integer({ min: 1, max: 3 }),
          tq: fc.integer({ min: 1, max: 12 }),
          tk: fc.integer({ min: 1, max: 30 }),
          median: fc.constantFrom(1, 3, 7, 41),
          normalize: fc.boolean(),
          equal: fc.boolean(),
        }),
        ({ seed, heads, tq, tk, median, normalize, equal }) => {
          const weights = normal(new Random(seed), [heads, tq, tk]);
          if (equal) weights.data.fill(0.1);
          expectMonotone(alignment(weights, { median, normalize }), tq, tk);
        },
      ),
    );
  });

  test("does not change with the order of the heads or a factor", () => {
    const random = new Random(8);
    const weights = normal(random, [3, 6, 40]);
    const whole = alignment(weights);
    expect(alignment(weights, { heads: [2, 0, 1] }).path).toEqual(whole.path);
    expect(alignment({ ...weights, data: weights.data.map((x) => 8 * x) }).path).toEqual(whole.path);
  });

  test("takes both steps at once where nothing speaks against it", () => {
    expect(alignment(tensor(Array(9).fill(1 / 3), [3, 3])).path.keys).toEqual(Int32Array.of(0, 1, 2));
  });

  test("of no queries is empty", () => {
    const empty = new Int32Array(0);
    const none = { starts: empty, ends: empty, path: { queries: empty, keys: empty } };
    expect(alignment(tensor([], [0, 5]))).toEqual(none);
    expect(alignment(tensor([], [2, 0, 0]))).toEqual(none);
  });
});

describe("A median", () => {
  /** What two queries see: a plateau, and a spike that is no wider than half the median. */
  const spiked = (width: number) =>
    tensor(
      [...Array.from({ length: 30 }, (_, j) => (j < 15 || j >= 30 - width ? 1 : 0)), ...Array(30).fill(0.05)],
      [2, 30],
    );

  test("takes away what is narrower than half of it, at the ends too", () => {
    const options = { normalize: false };
    expect(alignment(spiked(2), { ...options, median: 1 }).ends[0]).toBe(30);
    expect(alignment(spiked(2), { ...options, median: 7 }).ends[0]).toBeLessThan(17);
  });

  test("wider than the keys reach leaves them as they are", () => {
    const weights = normal(new Random(1), [5, 4]);
    expect(alignment(weights, { median: 9 })).toEqual(alignment(weights, { median: 1 }));
  });
});

describe("Weights", () => {
  const random = new Random(9);
  const weights = normal(random, [2, 5, 31]);

  test.each(["float16", "bfloat16"] as const)("may be %s", (type) => {
    const half = tensor(weights.data, weights.dims, type);
    expectMonotone(alignment(half), 5, 31);
    expect(alignment(half).starts.every((start, i) => Math.abs(start - alignment(weights).starts[i]) < 3)).toBe(true);
  });

  test("may have a batch of one, and strides", () => {
    const whole = alignment(weights);
    expect(alignment({ ...weights, dims: [1, 2, 5, 31] })).toEqual(whole);
    expect(alignment(scattered(weights, random))).toEqual(whole);
  });

  test("of one head may leave it out", () => {
    const one = { ...weights, data: weights.data.slice(155), dims: [5, 31] };
    expect(alignment(one)).toEqual(alignment(weights, { heads: [1] }));
  });

  test("are not changed", () => {
    const before = weights.data.slice();
    alignment(weights);
    expect(weights.data).toEqual(before);
  });
});

const recorded = readFileSync(new URL("data/phrases-500.tsv", import.meta.url), "utf8")
  .trimEnd()
  .split("\n");
const phrases = recorded.map((line) => line.split("\t"));

const right: TensorLike = { data: new Float32Array(30), dims: [2, 3, 5] };
const nan = { data: new Float32Array(30).fill(NaN, 16, 17), dims: [2, 3, 5] };

test.each<[string, typeof TypeError | typeof RangeError, string, unknown[]]>([
  ["weights that are no tensor", TypeError, '"weights" expected a tensor { data, dims }, got 3', [3]],
  [
    "weights that topK gave",
    TypeError,
    '"weights" expected a tensor { data, dims }, got an object',
    [{ weights: right, indices: right }],
  ],
  [
    "weights of rank 1",
    RangeError,
    '"weights.dims" expected [tq, tk] or [heads, tq, tk] or [1, heads, tq, tk], got [30]',
    [{ ...right, dims: [30] }],
  ],
  [
    "a batch",
    RangeError,
    '"weights.dims[0]" expected 1 (one sequence at a time), got 2',
    [{ ...right, dims: [2, 1, 3, 5] }],
  ],
  ["no keys", RangeError, '"weights.dims[2]" expected at least 1 (tk), got 0', [tensor([], [2, 3, 0])]],
  ["NaN", RangeError, '"weights.data[16]" expected a finite number, got NaN', [nan]],
  [
    "an unknown option",
    TypeError,
    '"options.width" expected a known option (one of "heads", "median", "normalize"), got "width"',
    [right, { width: 7 }],
  ],
  ["an even median", RangeError, '"median" expected an odd integer, got 6', [right, { median: 6 }]],
  ["a median of 0", RangeError, '"median" expected an integer of at least 1, got 0', [right, { median: 0 }]],
  ["a flag that is none", TypeError, '"normalize" expected a boolean, got 1', [right, { normalize: 1 }]],
  ["heads as a number", TypeError, '"heads" expected an array (distinct indices), got 1', [right, { heads: 1 }]],
  ["no heads", RangeError, '"heads.length" expected at least 1, got 0', [right, { heads: [] }]],
  [
    "a head that is not there",
    RangeError,
    '"heads[1]" expected an integer from 0 to 1, got 2',
    [right, { heads: [0, 2] }],
  ],
  [
    "a head twice",
    RangeError,
    '"heads[1]" expected an index that was not named before, got 1',
    [right, { heads: Int32Array.of(1, 1) }],
  ],
])("A wrong call is refused: %s", (_, kind, message, args) => {
  const call = () => (alignment as (...args: unknown[]) => unknown)(...args);
  expect(call).toThrow(new (kind as ErrorConstructor)(message));
});

// Where a phrase and its translation have the same digits in the same order, each digit was copied from its own place.
test("the translator's weights find for copied digits where they were copied from, all but a few", async () => {
  const model = await readModel();
  const vocabulary = new Vocabulary(model.vocabulary, model.config);
  const translator = new Translator(model);
  const digits = (ids: number[]) =>
    ids.flatMap((id, at) =>
      /^▁?\d$/.test(vocabulary.tokens[id]) ? [{ digit: vocabulary.tokens[id].at(-1), at }] : [],
    );
  let [copied, found] = [0, 0];
  for (const [language, phrase] of phrases.slice(0, 120)) {
    const source = vocabulary.encode(phrase, language);
    const { ids, weights } = await translator.translate(source, true);
    const [from, to] = [digits(source), digits(ids)];
    if (String(from.map(({ digit }) => digit)) !== String(to.map(({ digit }) => digit))) continue;
    const { starts, ends } = alignment(ofSteps(weights), { median: 1 });
    to.forEach(({ at }, n) => {
      if (starts[at] <= from[n].at && from[n].at < ends[at]) found++;
    });
    copied += to.length;
  }
  expect(copied).toBeGreaterThan(100);
  expect(found / copied).toBeGreaterThan(0.9);
});

/** The heads of all layers as [heads, steps, tk], a view of [steps, heads, tk]. */
function ofSteps(weights: TensorLike[][]): TensorLike {
  const data = Float32Array.from(
    weights.flatMap((layers) => layers.flatMap(({ data }) => Array.from(data as Float32Array))),
  );
  const [heads, tk] = weights[0][0].dims as number[];
  const count = heads * weights[0].length;
  return { data, dims: [count, weights.length, tk], strides: [tk, count * tk, 1] };
}
