import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { Transliterator } from "../examples/transliterate/model.mjs";

const folder = new URL("../../shared/models/aren-transliteration/", import.meta.url);
const isThere = existsSync(folder);
if (!isThere) console.warn("Transliteration is skipped: ../shared/models/aren-transliteration is not there.");

/** What CTranslate2 publishes. */
interface Expected {
  tolerance: number;
  scoring: { source: string; target: string; tokenLogProbs: number[] }[];
  greedyAndBeam: [source: string, target: string][];
  prefix: [source: string, prefix: string, target: string][];
}

const expected: Expected = isThere
  ? JSON.parse(readFileSync(new URL("expected.json", folder), "utf8"))
  : { tolerance: 0, scoring: [], greedyAndBeam: [], prefix: [] };

describe.skipIf(!isThere)("CTranslate2's model", () => {
  let model: Transliterator;
  beforeAll(async () => {
    model = await Transliterator.read(fileURLToPath(folder));
  });

  test.each(expected.scoring)("gives $target for $source its log-probabilities", async (each) => {
    const scores = await model.score(each.source, each.target);
    expect(scores).toHaveLength(each.tokenLogProbs.length);
    for (const [i, score] of scores.entries()) {
      expect(Math.abs(score - each.tokenLogProbs[i])).toBeLessThanOrEqual(expected.tolerance);
    }
  });

  test.each([...expected.greedyAndBeam, ...expected.scoring.map(({ source, target }) => [source, target])])(
    "%s becomes %s, by greedy search and by beams",
    async (source, target) => {
      expect(await model.transliterate(source)).toBe(target);
      const best = await model.best(source, 4);
      expect(best).toHaveLength(4);
      expect(best[0].text).toBe(target);
    },
  );

  test.each(expected.prefix)("%s that begins with %s becomes %s", async (source, prefix, target) => {
    expect(await model.transliterate(source, prefix)).toBe(target);
  });

  test("a beam's score is the mean of the log-probabilities", async () => {
    for (const { source } of expected.scoring) {
      for (const { text, score } of await model.best(source, 4)) {
        const scores = await model.score(source, text);
        expect(score).toBeCloseTo(scores.reduce((sum, each) => sum + each) / scores.length, 4);
      }
    }
  });
});
