// npm run bench:transcribe -- [--clip FILE] [--passes n]
// examples/transcribe beside onnxruntime-node and the int8 graphs that its weights come from, both on one thread: tokens
// are compared first, then both take turns. Then where the time of xattn goes.
import fs from "node:fs";
import { parseArgs } from "node:util";
import { FOLDER, fetchModel } from "../../examples/transcribe/fetch.mjs";
import { Moonshine, RATE, TOKENS_A_SECOND } from "../../examples/transcribe/model.mjs";
import { readWav } from "../../examples/transcribe/wav.mjs";
import { line, time } from "../kit/format.mjs";
import { timeKinds } from "../kit/kinds.mjs";
import { measure } from "../kit/measure.mjs";
import { OnnxMoonshine } from "./moonshine.mjs";

const { values: arg } = parseArgs({
  options: { clip: { type: "string", default: "jfk.wav" }, passes: { type: "string", default: "60" } },
});

const WIDTHS = [20, 10, 10, 10];
const clips = new URL("../../../shared/audio/", import.meta.url);
const { cases } = JSON.parse(fs.readFileSync(new URL("moonshine-tiny-expected.json", clips), "utf8"));
const { tokens: expected } = cases.find(({ file }) => file === arg.clip);
const { samples } = readWav(fs.readFileSync(new URL(arg.clip, clips)));
const run = { threads: 1 };

await fetchModel(FOLDER);
const [ours, theirs] = [await Moonshine.read(FOLDER), await OnnxMoonshine.read(run.threads)];
const most = Math.floor((samples.length / RATE) * TOKENS_A_SECOND);
const contenders = [
  { name: "xattn", run: transcribe },
  { name: "onnxruntime-node", run: () => theirs.transcribe(samples, most) },
];
for (const { name, run } of contenders) {
  const tokens = await run();
  if (tokens.join() !== expected.join()) throw new Error(`${name} says other tokens: ${tokens}`);
}
const [xattn, onnx] = await measure(contenders, { seconds: Infinity, turns: Number(arg.passes), turn: 0 });
console.log(`${arg.clip}, one thread: ${(xattn.best / onnx.best).toFixed(3)} of onnxruntime-node's time`);
console.log(line(["", "best", "median"], WIDTHS));
for (const { name, best, median } of [xattn, onnx]) console.log(line([name, time(best), time(median)], WIDTHS));

const encoder = await fastest(() => ours.encode(samples, run));
const whole = await fastest(transcribe);
const steps = expected.length; // the last gives the end token
console.log(line(["", "encoder", "decoder", "a token"], WIDTHS));
for (const kind of Object.keys(whole)) {
  const decoder = whole[kind] - encoder[kind];
  const cells = [time(encoder[kind]), time(decoder), time(decoder / steps)];
  console.log(line([kind, ...cells], WIDTHS));
}

/** Tokens with the one that starts. */
async function transcribe() {
  const tokens = [expected[0]];
  for await (const { token } of ours.transcribe(samples, run)) tokens.push(token);
  return tokens;
}

/** Of some runs the fastest one's kinds. */
async function fastest(run) {
  const runs = [];
  for (let i = 0; i < Number(arg.passes); i++) runs.push(await timeKinds(run));
  return runs.reduce((a, b) => (b.all < a.all ? b : a));
}
