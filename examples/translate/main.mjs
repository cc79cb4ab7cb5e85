// @ts-check
// Translates English dates, times, measures and amounts of money, with a Transformer of xattn/nn:
//   node main.mjs [--to fr|de|es|ja] [PHRASE...]
import { parseArgs } from "node:util";
import { backends, explain } from "xattn";
import { compare, LARGE_FLOPS, LARGE_NAME, ROUNDS } from "./bench.mjs";
import { LIST } from "./list.mjs";
import { Translator } from "./model.mjs";
import { fold, LANGUAGES, say } from "./phrases.mjs";
import { recognise } from "./recognise.mjs";
import { heatmap, left, table } from "./terminal.mjs";
import { Vocabulary } from "./tokens.mjs";
import { readModel } from "./weights.mjs";

const model = await readModel();
const translator = new Translator(model);
const vocabulary = new Vocabulary(model.vocabulary, model.config);

const { asked, languages } = orExit(readArguments);
const { backend, reasons } = orExit(explainBackend);
console.log(`It runs on "${backend}"; usable here: ${backends.join(", ")}.`);
for (const reason of reasons) console.log(reason);
await showTranslations();
await showHeatmap();
await showBenchmark();

/** Runs what may find fault with the arguments or the environment. @template T @param {() => T} run */
function orExit(run) {
  try {
    return run();
  } catch (error) {
    console.error(`${/** @type {Error} */ (error).message}\nusage: main.mjs [--to ${LANGUAGES.join("|")}] [PHRASE...]`);
    process.exit(2);
  }
}

function readArguments() {
  const { values, positionals } = parseArgs({ options: { to: { type: "string" } }, allowPositionals: true });
  if (values.to !== undefined && !LANGUAGES.includes(values.to)) {
    throw new RangeError(`--to expected one of ${LANGUAGES.join(", ")}, got ${values.to}`);
  }
  const texts = positionals.map(fold);
  if (texts.includes("")) throw new RangeError("PHRASE expected text, got none");
  const given = texts.map((source) => ({ source, phrase: recognise(source) }));
  const list = LIST.map((phrase) => ({ source: say("en-US", phrase), phrase }));
  return {
    asked: given.length > 0 ? given : list,
    languages: values.to === undefined ? LANGUAGES : [values.to],
  };
}

function explainBackend() {
  const one = { data: new Float32Array(1), dims: [1, 1] };
  return explain(one, one, one);
}

/** Each translation beside what ICU says, for the phrases that ICU can say. */
async function showTranslations() {
  let [known, equal] = [0, 0];
  for (const { source, phrase } of asked) {
    console.log(`\n${source}`);
    const unknown = vocabulary.unknown(source);
    if (unknown.length > 0) console.log(`    unknown to the model: ${unknown.join(" ").replaceAll("▁", "")}`);
    if (phrase === undefined) console.log("    no value that ICU says so: nothing to compare with");
    for (const language of languages) {
      const { ids } = await translator.translate(vocabulary.encode(source, language));
      const target = vocabulary.decode(ids);
      const icu = phrase && say(language, phrase);
      if (icu !== undefined) known++;
      if (icu === target) equal++;
      console.log(
        `  ${language}  ${icu === undefined ? target : `${left(target, 35)} ${icu === target ? "=" : "≠"} ${icu}`}`,
      );
    }
  }
  if (known > 0) console.log(`\n${equal} of ${known} equal what ICU ${process.versions.icu} says (right column).`);
}

/** Where the first translation looked: the mean over heads of the last layer's cross-attention. */
async function showHeatmap() {
  const sourceIds = vocabulary.encode(asked[0].source, languages[0]);
  const { ids, weights } = await translator.translate(sourceIds, true);
  const label = (/** @type {number} */ id) => vocabulary.tokens[id].replace("▁", "");
  const down = ids.map(label);
  const rows = weights.map((layers) => meanOverHeads(layers[layers.length - 1]));
  console.log(`\nWhere the decoder looked for each token of "${vocabulary.decode(ids)}"`);
  console.log("(cross-attention of the last layer, mean of its heads)\n");
  const colour = process.stdout.isTTY && process.stdout.hasColors(256);
  for (const line of heatmap(sourceIds.map(label), down, rows, colour)) console.log(line);
}

/** @param {import("./model.mjs").Tensor} weights [heads, source tokens] */
function meanOverHeads({ data, dims: [heads, keys] }) {
  return Array.from({ length: keys }, (_, j) => {
    let sum = 0;
    for (let h = 0; h < heads; h++) sum += data[h * keys + j];
    return sum / heads;
  });
}

/** Native against js. Without the addon js alone. */
async function showBenchmark() {
  const names = [...new Set([backend === "js" ? backends[0] : backend, "js"])];
  console.log(`\nBenchmark: ${names.join(" against ")}, the same input; the fastest of ${ROUNDS} rounds\n`);
  const sources = asked.map(({ source }) => vocabulary.encode(source, languages[0]));
  const { timings, tokens, difference } = await compare(names, sources, showProgress);
  const rows = [
    row("translation, ms per phrase", timings, ({ translation }) => translation / sources.length),
    row("translation, ms per token", timings, ({ translation }) => translation / tokens),
    row(`one call of ${LARGE_NAME}, ms`, timings, ({ large }) => large),
    row("the same in GFLOP/s", timings, ({ large }) => (1e-6 * LARGE_FLOPS) / large),
  ];
  const header = ["", ...names, ...(names.length > 1 ? ["ratio"] : [])];
  const threads = timings.map((timing) => `${timing.backend} on ${timing.threads}`).join(", ");
  for (const line of table([header, ...rows])) console.log(`  ${line}`);
  console.log(`\nThe call's sizes are batch, heads, tq, tk, d, dv. Threads: ${threads}.`);
  if (names.length > 1)
    console.log(`Compared first: equal translations; outputs differ by at most ${difference.toExponential(1)}.`);
  else console.log("The native addon is missing (see the first lines): there is nothing to compare with.");
}

/** On a terminal, over itself, until the last round is done. @param {number} rounds done */
function showProgress(rounds) {
  if (!process.stdout.isTTY) return;
  process.stdout.write(rounds < ROUNDS ? `\r  round ${rounds + 1} of ${ROUNDS}` : "\r\x1b[K");
}

/** @typedef {import("./bench.mjs").Timing} Timing */

/** @param {string} name @param {Timing[]} timings @param {(timing: Timing) => number} value */
function row(name, timings, value) {
  const values = timings.map(value);
  const [native, js] = values;
  const ratio = timings.length > 1 ? [`${Math.max(native / js, js / native).toFixed(1)}x`] : [];
  return [name, ...values.map((each) => each.toPrecision(3)), ...ratio];
}
