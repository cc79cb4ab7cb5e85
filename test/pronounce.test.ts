import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { Pronouncer } from "../examples/pronounce/model.mjs";

const folder = new URL("../../shared/models/bart-g2p/", import.meta.url);
const isThere = existsSync(folder);
if (!isThere) console.warn("Pronunciation is skipped: ../shared/models/bart-g2p is not there.");

const read = (name: string) => readFileSync(new URL(name, folder), "utf8");
const CLOSE = 1e-4;

function expectClose(got: ArrayLike<number>, wanted: number[]): void {
  for (const [i, x] of wanted.entries()) expect(Math.abs(got[i] - x)).toBeLessThanOrEqual(CLOSE);
}

describe.skipIf(!isThere)("BART", () => {
  let model: Pronouncer;
  beforeAll(async () => {
    model = await Pronouncer.read(fileURLToPath(folder));
  });

  test("has the encoder output and the first logits of transformers for clawdy", async () => {
    const { encoder_row0, first_logits } = JSON.parse(read("bart-numeric-reference.json"));
    const { data, dims } = await model.encode("clawdy");
    expect(dims).toEqual([1, 8, 128]);
    expectClose(data, encoder_row0);
    const { step } = await model.start("clawdy");
    const { logits } = await step([1], { weights: false, signal: undefined });
    expect(logits.data.length).toBe(first_logits.length);
    expectClose(logits.data, first_logits);
  });

  test.each([
    ["bart-reference.tsv", 25],
    ["greedy-reference-50.tsv", 50],
  ])("says every word of %s, %i, as transformers do", async (name, count) => {
    const words = read(name).trim().split("\n");
    expect(words).toHaveLength(count);
    for (const line of words) {
      const [word, phonemes] = line.split("\t");
      expect(await model.pronounce(word), word).toBe(phonemes);
    }
  });
});
