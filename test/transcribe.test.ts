import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { FOLDER } from "../examples/transcribe/fetch.mjs";
import { Moonshine } from "../examples/transcribe/model.mjs";
import { readWav } from "../examples/transcribe/wav.mjs";
import { timedWords } from "../examples/transcribe/words.mjs";

const clips = new URL("../../shared/audio/", import.meta.url);
const isThere = existsSync(join(FOLDER, "model.safetensors")) && existsSync(clips);
if (!isThere) {
  const missing = existsSync(clips) ? `${FOLDER} (run node examples/transcribe/fetch.mjs)` : "../shared/audio";
  console.warn(`Transcription is skipped: ${missing} is not there.`);
}

interface Expected {
  file: string;
  encoderFrames: number;
  text: string;
  /** With the start token. */
  tokens: number[];
}

const cases: Expected[] = isThere
  ? JSON.parse(readFileSync(new URL("moonshine-tiny-expected.json", clips), "utf8")).cases
  : [];

describe.skipIf(!isThere)("Moonshine", () => {
  let model: Moonshine;
  beforeAll(async () => {
    model = await Moonshine.read(FOLDER);
  });

  test.each(cases)("hears in $file what onnxruntime hears", async ({ file, tokens, text, encoderFrames }) => {
    const { samples, rate } = readWav(readFileSync(new URL(file, clips)));
    expect(rate).toBe(16_000);
    expect((await model.encode(samples, {})).dims).toEqual([1, encoderFrames, 288]);
    const found = [];
    for await (const each of model.transcribe(samples)) found.push(each);
    expect(found.map(({ token }) => token)).toEqual(tokens.slice(1));
    expect(found.map((each) => each.text).join("")).toBe(text);
  });

  test("says when each word of jfk.wav was said", async () => {
    const { samples } = readWav(readFileSync(new URL("jfk.wav", clips)));
    const tokens = [];
    for await (const token of model.transcribe(samples, { weights: true })) tokens.push(token);
    const words = timedWords(tokens);
    expect(words.map(({ text }) => text).join(" ")).toBe(cases[0].text);
    const starts = words.map(({ start }) => start);
    expect(starts).toEqual(starts.toSorted((a, b) => a - b));
    // The pauses of the speech, by ear: it stops after "Americans", and goes on at 3.3 s and at 8.1 s with "ask".
    expect(words.find(({ text }) => text === "Americans,")?.end).toBeLessThan(3);
    const [first, second] = words.filter(({ text }) => text === "ask");
    expect(Math.abs(first.start - 3.3)).toBeLessThan(0.3);
    expect(Math.abs(second.start - 8.1)).toBeLessThan(0.3);
    expect(words.at(-1)?.end).toBeLessThan(samples.length / 16_000);
  });

  test("can be stopped", async () => {
    const { samples } = readWav(readFileSync(new URL(cases[0].file, clips)));
    const controller = new AbortController();
    const reason = new Error("enough");
    const heard = (async () => {
      for await (const _ of model.transcribe(samples, { signal: controller.signal })) controller.abort(reason);
    })();
    await expect(heard).rejects.toBe(reason);
  });
});
