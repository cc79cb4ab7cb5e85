// @ts-check
// npm run bench:pairs -- [--of a,b*] [--seconds s] [--json FILE]
// What one call costs in terms of another, in turns: masks, beams, threads, memories and maps, against the most that
// pairs.json allows.
import fs from "node:fs";
import { parseArgs } from "node:util";
import { callOf } from "./kit/contender.mjs";
import { line, progress, time } from "./kit/format.mjs";
import { makeInputs } from "./kit/inputs.mjs";
import { measure } from "./kit/measure.mjs";
import { assertClose, largestError, MOST_ERRORS, sampleRows } from "./kit/oracle.mjs";
import { saveResults } from "./kit/results.mjs";
import { select, shapeOf } from "./kit/shapes.mjs";

/**
 * `of` with its threads, over a memory of a type or with a map of the weights, costs at most `most` times `to` on one.
 * @typedef {import("./kit/contender.mjs").Extras} Extras
 * @typedef {{ of: string, threads?: number, to: string, most: number } & Extras} Pair
 */

const { values: arg } = parseArgs({
  options: { of: { type: "string" }, seconds: { type: "string", default: "2" }, json: { type: "string" } },
});

const WIDTHS = [16, 16, 7, 10, 16, 10, 6, 6];

/** @type {Pair[]} */
const pairs = JSON.parse(fs.readFileSync(new URL("pairs.json", import.meta.url), "utf8"));
const wanted = select(arg.of).map(({ name }) => name);

console.log(line(["call", "with", "threads", "best", "against", "best", "ratio", "most"], WIDTHS));
for (const pair of pairs.filter(({ of }) => wanted.includes(of))) {
  const row = await measurePair(pair);
  progress("");
  const { shape, extra, threads, best, to, toBest, ratio, most } = row;
  const verdict = ratio <= most ? "" : "  over";
  console.log(line([shape, extra, threads, time(best), to, time(toBest), ratio.toFixed(2), most], WIDTHS) + verdict);
  if (arg.json !== undefined) saveResults(arg.json, "pairs", [row]);
}

/** @param {Pair} pair */
async function measurePair({ of, threads = 1, to, most, memory, weights }) {
  const extra = memory ? `${memory} memory` : weights ? Object.entries(weights).flat().join(" ") : "";
  progress(`${of} ${extra} against ${to}`);
  const calls = [checkedCall(of, threads, { memory, weights }), checkedCall(to, 1)];
  const [a, b] = await measure(calls, { seconds: Number(arg.seconds), turns: Infinity, turn: 0 });
  return { shape: of, extra, threads, to, best: a.best, toBest: b.best, ratio: a.best / b.best, most };
}

/** @param {string} name @param {number} threads @param {Extras} [extras] */
function checkedCall(name, threads, extras = {}) {
  const shape = shapeOf(name);
  const inputs = makeInputs(shape);
  const call = callOf(shape, inputs, { threads, ...extras });
  assertClose(call.name, largestError(sampleRows(shape, inputs), call.run()), MOST_ERRORS[extras.memory ?? "float32"]);
  return call;
}
