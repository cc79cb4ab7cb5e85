import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { embedding } from "../src/blocks/index.js";
import type { MapOptions } from "../src/index.js";
import { beamSearch, greedy, type Hypothesis, Linear, type SearchModel, TransformerDecoder } from "../src/nn/index.js";
import { Random } from "./random.js";
import { normal } from "./tensors.js";

fc.configureGlobal({ seed: 1, numRuns: 100 });

const VOCABULARY = 4;
const END = 3;

/** Logits that hang on the whole history, the same for every search. */
function logitsAfter(history: readonly number[], seed: number): Float32Array {
  const random = new Random(history.reduce((hash, token) => (hash * 31 + token + 1) % 1e6, seed));
  for (const _ of history) random.next();
  return Float32Array.from({ length: VOCABULARY }, () => 3 * random.normal());
}

/** A model that remembers what each beam was told, and its histories. */
function makeModel(seed: number) {
  let histories: number[][] = [[]];
  const model: SearchModel = {
    async step(tokens, { weights }) {
      if (histories.length === 1) histories[0] = [...histories[0], ...tokens];
      else {
        expect(tokens).toHaveLength(histories.length);
        histories = histories.map((history, beam) => [...history, tokens[beam]]);
      }
      const rows = histories.length === 1 ? [...tokens] : histories;
      const data = new Float32Array(rows.length * VOCABULARY);
      histories.forEach((history, beam) => {
        data.set(logitsAfter(history, seed), (rows.length - histories.length + beam) * VOCABULARY);
      });
      // One layer of two heads; what a row says of the only key is how long its history is, negative for the second head.
      const map = [1, -1].flatMap((sign) =>
        rows.map((_, i) => sign * (histories[i - rows.length + histories.length]?.length ?? 0)),
      );
      const maps = [{ data: Float32Array.from(map), dims: [1, 2, rows.length, 1], type: "float32" as const }];
      return { logits: { data, dims: [1, rows.length, VOCABULARY] }, ...(weights && { weights: maps }) };
    },
    reorder(parents) {
      histories = parents.map((parent) => histories[parent]);
    },
  };
  return model;
}

const options = { prompt: [0, 1], end: END, maxLength: 5 };

async function drain(search: AsyncGenerator<{ token: number }, Hypothesis[]>) {
  const tokens: number[] = [];
  for (;;) {
    const { done, value } = await search.next();
    if (done) return { tokens, hypotheses: value };
    tokens.push(value.token);
  }
}

function logSoftmax(logits: Float32Array): number[] {
  const sum = Math.log(logits.reduce((total, x) => total + Math.exp(x), 0));
  return Array.from(logits, (x) => x - sum);
}

/** Every target that ends, or is as long as it may be. */
function* targets(
  seed: number,
  maxLength: number,
  ends = [END],
  tokens: number[] = [],
  logProb = 0,
): Generator<Hypothesis> {
  if (tokens.length === maxLength) return yield { tokens, logProb, score: 0 };
  const rows = logSoftmax(logitsAfter([...options.prompt, ...tokens], seed));
  for (let token = 0; token < VOCABULARY; token++) {
    if (ends.includes(token)) yield { tokens, logProb: logProb + rows[token], score: 0 };
    else yield* targets(seed, maxLength, ends, [...tokens, token], logProb + rows[token]);
  }
}

describe("greedy()", () => {
  test.each([[[END]], [[END, 2, 0]], [[]]])("takes the likeliest token until one of %j", async (end) => {
    for (let seed = 0; seed < 20; seed++) {
      const wanted: number[] = [];
      while (wanted.length < options.maxLength) {
        const logits = logitsAfter([...options.prompt, ...wanted], seed);
        const token = logits.indexOf(Math.max(...logits));
        if (end.includes(token)) break;
        wanted.push(token);
      }
      const got: number[] = [];
      const prompt = Int32Array.from(options.prompt);
      for await (const { token } of greedy(makeModel(seed), { ...options, prompt, end })) got.push(token);
      expect(got).toEqual(wanted);
    }
  });

  test("says where the model looked, of the newest token", async () => {
    const lengths: number[] = [];
    for await (const { weights } of greedy(makeModel(1), { ...options, end: 99, weights: true })) {
      expect(weights?.map(({ dims }) => dims)).toEqual([[2, 1]]);
      lengths.push(...(weights?.[0].data ?? []));
    }
    expect(lengths).toEqual([2, -2, 3, -3, 4, -4, 5, -5, 6, -6]);
  });
});

describe("beamSearch()", () => {
  const penalties = fc.constantFrom(0, 0.6, 1, 2);
  const endings = fc.constantFrom<number[][]>([END], [0, END], [END, 1, 2]);

  test("with beams for all targets finds the best of all", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(1e6),
        penalties,
        fc.integer({ min: 1, max: 4 }),
        endings,
        async (seed, lengthPenalty, maxLength, end) => {
          const all = [...targets(seed, maxLength, end)].map((target) => {
            const length = Math.min(target.tokens.length + 1, maxLength);
            return { ...target, score: target.logProb / length ** lengthPenalty };
          });
          all.sort((a, b) => b.score - a.score);
          const search = beamSearch(makeModel(seed), { ...options, end, maxLength, beams: 200, lengthPenalty });
          const { tokens, hypotheses } = await drain(search);
          expect(hypotheses[0].tokens).toEqual(all[0].tokens);
          expect(hypotheses[0].score).toBeCloseTo(all[0].score, 4);
          expect(hypotheses).toHaveLength(all.length);
          expect(tokens).toEqual(all[0].tokens);
        },
      ),
    );
  });

  test("yields the tokens of the best hypothesis, and gives as many as there are beams, best first", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(1e6), penalties, fc.integer({ min: 1, max: 5 }), async (seed, lengthPenalty, beams) => {
        const { tokens, hypotheses } = await drain(beamSearch(makeModel(seed), { ...options, beams, lengthPenalty }));
        expect(tokens).toEqual(hypotheses[0].tokens);
        expect(hypotheses).toHaveLength(beams);
        expect(new Set(hypotheses.map((each) => each.tokens.join())).size).toBe(beams);
        const scores = hypotheses.map(({ score }) => score);
        expect(scores).toEqual(scores.toSorted((a, b) => b - a));
        for (const { tokens: own, logProb } of hypotheses) {
          const found = [...targets(seed, options.maxLength)].find((target) => target.tokens.join() === own.join());
          expect(logProb).toBeCloseTo(found?.logProb as number, 4);
        }
      }),
    );
  });

  test("follows as many hypotheses as there are beams, however many of the likeliest end", async () => {
    const rows: Record<number, number[]> = { 9: [4, 4, 4, 5, 3.9], 3: [0, 0, 0, 0, 0], 4: [50, 0, 0, 0, 0] };
    const model: SearchModel = {
      step: async (tokens) => ({ logits: { data: Float32Array.from(tokens.flatMap((t) => rows[t])), dims: [2, 5] } }),
      reorder() {},
    };
    const { tokens } = await drain(beamSearch(model, { prompt: [9], end: [0, 1, 2], maxLength: 2, beams: 2 }));
    expect(tokens).toEqual([4]); // the likeliest first token is 3, then come those that end, then 4, which ends for sure
  });

  test("yields a token once all hypotheses agree on it, before the search has ended", async () => {
    let steps = 0;
    const sure: SearchModel = {
      // The first two tokens are beyond doubt, those after them are not.
      async step(tokens) {
        const row = steps++ < 2 ? [0, 50, 0, 0] : [1, 0, 0.5, -9];
        return { logits: { data: Float32Array.from(tokens.flatMap(() => row)), dims: [tokens.length, VOCABULARY] } };
      },
      reorder() {},
    };
    const search = beamSearch(sure, { prompt: [0], end: END, maxLength: 40, beams: 2 });
    expect((await search.next()).value).toEqual({ token: 1 });
    expect(steps).toBeLessThan(10);
    await search.return([]);
  });

  test("says where the model looked for each token of every hypothesis", async () => {
    const search = beamSearch(makeModel(5), { ...options, end: 99, beams: 3, weights: true });
    const found = [];
    for await (const each of search) found.push(each.weights?.[0].data);
    expect(found.map((data) => [...(data ?? [])])).toEqual([2, 3, 4, 5, 6].map((length) => [length, -length]));
  });
});

describe("map requests", () => {
  const layer = { dModel: 8, nhead: 2, dimFeedforward: 8, numLayers: 2 };
  const decoder = new TransformerDecoder(layer);
  const head = new Linear({ inFeatures: 8, outFeatures: VOCABULARY });
  const random = new Random(3);
  const table = normal(random, [VOCABULARY, 8]);
  const memory = normal(random, [1, 5, 8]);

  async function start(): Promise<SearchModel> {
    const state = await decoder.start(memory);
    return {
      async step(tokens, run) {
        const token = { data: embedding(table, [...tokens]), dims: [1, tokens.length, 8] };
        const { output, weights } = await decoder.step(token, state, run);
        return { logits: await head.forward(output), weights };
      },
      reorder: (parents) => state.reorder(parents),
    };
  }
  const asked = { prompt: [1, 2, 3], end: 99, maxLength: 4 };
  async function found<Asked extends boolean | MapOptions>(name: "greedy" | "beam", weights: Asked) {
    const model = await start();
    const search =
      name === "greedy" ? greedy(model, { ...asked, weights }) : beamSearch(model, { ...asked, beams: 3, weights });
    const maps = [];
    for await (const each of search) maps.push(...(each.weights ?? []));
    expect(maps).toHaveLength(4 * 2);
    return maps;
  }

  test.each(["greedy", "beam"] as const)("give the parts and reductions of what %s search looked at", async (name) => {
    const whole = await found(name, true);
    const [second, mean] = [await found(name, { heads: [1] }), await found(name, { reduce: "mean" })];
    const [entropy, top] = [await found(name, { reduce: "entropy" }), await found(name, { topK: 2 })];
    whole.forEach(({ data, dims }, i) => {
      expect(dims).toEqual([2, 5]);
      const heads = [data.slice(0, 5), data.slice(5)];
      expect(second[i]).toMatchObject({ dims: [1, 5], data: heads[1] });
      expect(mean[i].dims).toEqual([5]);
      heads[0].forEach((w, key) => {
        expect(mean[i].data[key]).toBeCloseTo((w + heads[1][key]) / 2, 5);
      });
      expect(entropy[i].dims).toEqual([2]);
      const { weights, indices } = top[i];
      expect([weights.dims, indices.dims]).toEqual([
        [2, 2],
        [2, 2],
      ]);
      heads.forEach((row, head) => {
        expect(entropy[i].data[head]).toBeCloseTo(-row.reduce((sum, w) => sum + w * Math.log(w), 0), 5);
        expect(weights.data[2 * head]).toBeCloseTo(Math.max(...row), 5);
        expect(row[indices.data[2 * head]]).toBeCloseTo(Math.max(...row), 5);
      });
    });
  });
});

describe("both", () => {
  const searches = [
    ["greedy", (model: SearchModel, more: object) => greedy(model, { ...options, ...more })],
    ["beam", (model: SearchModel, more: object) => beamSearch(model, { ...options, beams: 2, ...more })],
  ] as const;

  test.each(searches)("stop with the signal's reason: %s", async (_, search) => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const run = (async () => {
      for await (const _ of search(makeModel(1), { end: 99, maxLength: 1e9, signal: controller.signal })) {
        controller.abort(reason);
      }
    })();
    await expect(run).rejects.toBe(reason);
  });

  test.each(searches)("refuse wrong options before any step: %s", async (_, search) => {
    const never: SearchModel = { step: () => expect.fail("a step"), reorder() {} };
    const wrong: [object, string][] = [
      [{ prompt: [] }, '"prompt.length" expected at least 1, got 0'],
      [{ prompt: 3 }, '"prompt" expected an array (integers), got 3'],
      [{ prompt: [-1] }, '"prompt[0]" expected an integer of at least 0, got -1'],
      [{ end: undefined }, '"end" expected an integer of at least 0'],
      [{ end: [1, -1] }, '"end[1]" expected an integer of at least 0, got -1'],
      [{ maxLength: 1.5 }, '"maxLength" expected an integer of at least 0, got 1.5'],
      [{ weights: 1 }, '"weights" expected a boolean or { heads, keys, reduce, over, topK }, got 1'],
      [
        { weights: { reduce: "sum", over: "queries" } },
        '"weights.reduce" expected "mean" or "entropy" (a sum mixes tokens), got "sum"',
      ],
      [{ signal: 1 }, '"signal" expected an AbortSignal, got 1'],
      [{ maxlength: 1 }, 'did you mean "maxLength"?'],
    ];
    for (const [more, message] of wrong) await expect(search(never, more).next()).rejects.toThrow(message);
  });

  test("beam search refuses what only it takes", async () => {
    const model = makeModel(1);
    await expect(beamSearch(model, { ...options, beams: 0 }).next()).rejects.toThrow('"beams" expected');
    await expect(beamSearch(model, { ...options, beams: 2, lengthPenalty: NaN }).next()).rejects.toThrow(
      '"lengthPenalty"',
    );
    await expect(beamSearch({ step: model.step }, { ...options, beams: 2 }).next()).rejects.toThrow('"model.reorder"');
  });
});
