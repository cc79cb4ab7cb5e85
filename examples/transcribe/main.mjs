// @ts-check
// node examples/transcribe/main.mjs [--model FOLDER] [--threads N] [--timestamps] FILE.wav...
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { FOLDER } from "./fetch.mjs";
import { Moonshine, RATE } from "./model.mjs";
import { readWav, resample } from "./wav.mjs";
import { timedWords } from "./words.mjs";

const { values, positionals } = parseArgs({
  options: {
    model: { type: "string", default: FOLDER },
    threads: { type: "string" },
    timestamps: { type: "boolean", default: false },
  },
  allowPositionals: true,
});
if (positionals.length === 0)
  fail("node examples/transcribe/main.mjs [--model FOLDER] [--threads N] [--timestamps] FILE.wav...");
if (!existsSync(join(values.model, "model.safetensors")))
  fail("The model is not there: run node examples/transcribe/fetch.mjs first.");

const moonshine = await Moonshine.read(values.model);
const run = values.threads === undefined ? {} : { threads: Number(values.threads) };
for (const file of positionals) {
  const { samples, rate } = readWav(await readFile(file));
  const tokens = [];
  for await (const token of moonshine.transcribe(resample(samples, rate, RATE), {
    ...run,
    weights: values.timestamps,
  })) {
    process.stdout.write(token.text);
    tokens.push(token);
  }
  process.stdout.write("\n");
  if (!values.timestamps) continue;
  for (const { text, start, end } of timedWords(tokens)) console.log(`${start.toFixed(2)} ${end.toFixed(2)}  ${text}`);
}

/** @param {string} message */
function fail(message) {
  console.error(message);
  process.exit(2);
}
