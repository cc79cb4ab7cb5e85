import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { Translator } from "../examples/translate/model.mjs";
import { fold, randomPhrases, say } from "../examples/translate/phrases.mjs";
import { recognise } from "../examples/translate/recognise.mjs";
import { columns, heatmap, WIDTH } from "../examples/translate/terminal.mjs";
import { split, Vocabulary } from "../examples/translate/tokens.mjs";
import { readModel } from "../examples/translate/weights.mjs";

/** What PyTorch computes in float32, to five decimals where there are many. */
interface Expected {
  language: string;
  source: string;
  target: string;
  sourceIds: number[];
  targetIds: number[];
  greedyIds: number[];
  /** Of every step, the end token's included. */
  logSumExp: number[];
  targetLogits: number[];
  firstStepLogits: number[];
}

const CLOSE = 1e-4;

const expectedFile = new URL("../examples/translate/model/expected.json", import.meta.url);
const { cases }: { cases: Expected[] } = JSON.parse(readFileSync(expectedFile, "utf8"));

// Made by `node examples/translate/phrases.mjs 500 20261124` on Node 20; other versions bring another ICU.
const recordedFile = new URL("data/phrases-500.tsv", import.meta.url);
const recorded = readFileSync(recordedFile, "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => line.split("\t"));

const model = await readModel();
const translator = new Translator(model);
const vocabulary = new Vocabulary(model.vocabulary, model.config);
const { bos, eos } = model.config;

describe.each(cases)("$source in $language", ({ language, source, target, ...expected }) => {
  test("becomes the ids and the translation that PyTorch finds", async () => {
    const sourceIds = vocabulary.encode(source, language);
    expect(sourceIds).toEqual(expected.sourceIds);
    const { ids } = await translator.translate(sourceIds);
    expect(ids).toEqual(expected.greedyIds);
    expect(vocabulary.decode(ids)).toBe(target);
  });

  test("has PyTorch's logits at every step", async () => {
    const rows = await logitsByStep(expected);
    expectClose(rows[0], expected.firstStepLogits);
    expectClose(rows.map(logSumExp), expected.logSumExp);
    const targets = [...expected.targetIds, eos];
    expectClose(
      rows.map((row, i) => row[targets[i]]),
      expected.targetLogits,
    );
  });

  test("has the same logits when the target is taken at once under a causal mask", async () => {
    const decoding = await translator.start(expected.sourceIds);
    const { logits } = await translator.advance(decoding, [bos, ...expected.targetIds]);
    const steps = await logitsByStep(expected);
    expectClose(
      [...logits.data],
      steps.flatMap((row) => [...row]),
    );
  });
});

test("the cross-attention of every token is a distribution over the source", async () => {
  const source = vocabulary.encode("last month", "de");
  const { ids, weights } = await translator.translate(source, true);
  expect(weights).toHaveLength(ids.length);
  for (const layer of weights.flat()) {
    expect(layer.dims).toEqual([model.config.nhead, source.length]);
    for (let h = 0; h < model.config.nhead; h++) {
      const row = layer.data.subarray(h * source.length, (h + 1) * source.length);
      expect(row.reduce((sum, weight) => sum + weight)).toBeCloseTo(1, 5);
    }
  }
});

test("all of 500 phrases become what ICU says", async () => {
  expect(recorded).toHaveLength(500);
  const wrong: string[] = [];
  for (const [language, source, target] of recorded) {
    const { ids } = await translator.translate(vocabulary.encode(source, language));
    const got = fold(vocabulary.decode(ids));
    if (got !== fold(target)) wrong.push(`${language}: ${source} became ${got}, not ${target}`);
  }
  expect(wrong).toEqual([]);
});

// By the ICU of the Node that runs, on both sides.
test("an English phrase is recognised, so that ICU can say it in the other languages", () => {
  for (const { language, source, target } of randomPhrases(300, 1)) {
    const phrase = recognise(source);
    expect(phrase && say(language, phrase), source).toBe(target);
  }
});

test("a phrase that ICU would not say is not recognised", () => {
  // The second is a Monday.
  for (const text of ["hello", "Saturday, September 30, 2143", "5 parsecs"]) expect(recognise(text)).toBeUndefined();
});

test("a heatmap of any phrase fits the terminal, and has colours only where asked", () => {
  for (const [language, source, target] of recorded) {
    const across = vocabulary.encode(source, language).map((id) => vocabulary.tokens[id]);
    const down = [...split(target), "</s>"];
    const weights = down.map(() => across.map((_, i) => i / across.length));
    const lines = heatmap(across, down, weights, false);
    expect(Math.max(...lines.map(columns)), source).toBeLessThanOrEqual(WIDTH);
    expect(lines.join()).not.toContain("\x1b");
    expect(heatmap(across, down, weights, true).join()).toContain("\x1b[48;5;");
  }
});

/** One token at a time, with cached keys and values. */
async function logitsByStep({ sourceIds, targetIds }: Pick<Expected, "sourceIds" | "targetIds">) {
  const decoding = await translator.start(sourceIds);
  const rows: Float32Array[] = [];
  for (const id of [bos, ...targetIds]) rows.push((await translator.advance(decoding, [id])).logits.data);
  return rows;
}

function logSumExp(logits: Float32Array): number {
  const largest = Math.max(...logits);
  return largest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
}

function expectClose(got: ArrayLike<number>, expected: ArrayLike<number>): void {
  expect(got.length).toBe(expected.length);
  for (let i = 0; i < got.length; i++) expect(Math.abs(got[i] - expected[i])).toBeLessThanOrEqual(CLOSE);
}
