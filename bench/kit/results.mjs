// @ts-check
// bench/results.json: what was measured, one section a command. A shape that is measured again replaces its rows.
import fs from "node:fs";
import os from "node:os";
import { layers } from "./layer-shapes.mjs";
import { shapes } from "./shapes.mjs";

export const RESULTS = new URL("../results.json", import.meta.url);

/**
 * @typedef {{ shape: string, threads: number, [column: string]: string | number | null }} Row
 * @typedef {"attention" | "blocks" | "peers" | "pairs" | "scaling"} Section
 * @typedef {{ machine: { cpu: string, node: string } } & { [section in Section]: Row[] }} Results
 */

/** @param {string | URL} file @returns {Results} */
export function readResults(file = RESULTS) {
  return fs.existsSync(file) ? { ...empty(), ...JSON.parse(fs.readFileSync(file, "utf8")) } : empty();
}

/** @returns {Results} */
function empty() {
  return { machine: machine(), attention: [], blocks: [], peers: [], pairs: [], scaling: [] };
}

/** Results of another machine do not mix: they are dropped. @param {string | URL} file @param {Section} section @param {Row[]} rows */
export function saveResults(file, section, rows) {
  const here = machine();
  let results = readResults(file);
  if (results.machine.cpu !== here.cpu) results = empty();
  const group = (/** @type {Row} */ { shape, threads, extra = "" }) => `${shape} ${threads} ${extra}`;
  const measured = new Set(rows.map(group));
  const kept = results[section].filter((row) => !measured.has(group(row)));
  const all = [...kept, ...rows.map(rounded)].sort((a, b) => place(a) - place(b) || a.threads - b.threads);
  const sections = { ...results, machine: here, [section]: all };
  fs.writeFileSync(file, text(sections));
}

/** In the order of shapes.json or blocks.json. @param {Row} row */
function place({ shape }) {
  return [...shapes, ...layers].findIndex(({ name }) => name === shape);
}

/** One row a line. @param {Results} results */
function text({ machine, ...sections }) {
  const lists = Object.entries(sections).map(([name, rows]) => {
    const lines = rows.map((row) => `\n    ${JSON.stringify(row)}`).join(",");
    return `  ${JSON.stringify(name)}: [${lines}${rows.length > 0 ? "\n  " : ""}]`;
  });
  return `{\n  "machine": ${JSON.stringify(machine)},\n${lists.join(",\n")}\n}\n`;
}

/** Four digits are more than a measurement repeats. NaN becomes null. @param {Row} row @returns {Row} */
function rounded(row) {
  const round = (/** @type {Row[string]} */ x) => {
    if (typeof x !== "number" || Number.isInteger(x)) return x;
    return Number.isFinite(x) ? Number(x.toPrecision(4)) : null;
  };
  return /** @type {Row} */ (Object.fromEntries(Object.entries(row).map(([column, x]) => [column, round(x)])));
}

function machine() {
  return { cpu: cpuName(), node: process.version };
}

/** With the generation where Linux tells it: virtual machines of several have one name. */
function cpuName() {
  const name = os.cpus()[0].model.trim();
  const file = "/proc/cpuinfo";
  const info = fs.existsSync(file) ? fs.readFileSync(file, "utf8") : "";
  const [family, model] = ["cpu family", "model"].map(
    (key) => info.match(new RegExp(`^${key}\\s*: (\\d+)$`, "m"))?.[1],
  );
  return family === undefined ? name : `${name} (family ${family}, model ${model})`;
}
