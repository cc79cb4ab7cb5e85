// @ts-check
// npm run bench -- [--shape a,b*] [--backend x,y] [--threads n] [--seconds s] [--json FILE] [--readme]
// Every backend over the shapes of shapes.json: checked against the oracle, then timed in turns.
import { parseArgs } from "node:util";
import { backends } from "xattn";
import { compare } from "./kit/compare.mjs";
import { callOf } from "./kit/contender.mjs";
import { line, percent, progress, time } from "./kit/format.mjs";
import { makeInputs } from "./kit/inputs.mjs";
import { MOST_ERRORS, sampleRows } from "./kit/oracle.mjs";
import { loadProbe } from "./kit/probe.mjs";
import { RESULTS, saveResults } from "./kit/results.mjs";
import { flops, select } from "./kit/shapes.mjs";

/**
 * @typedef {import("./kit/contender.mjs").Call} Call
 * @typedef {import("./kit/results.mjs").Row} Row
 * @typedef {import("./kit/shapes.mjs").Shape} Shape
 */

const { values: arg } = parseArgs({
  options: {
    shape: { type: "string" },
    backend: { type: "string" },
    threads: { type: "string", default: "1" },
    seconds: { type: "string", default: "2" },
    json: { type: "string" },
    readme: { type: "boolean", default: false },
  },
});

const WIDTHS = [24, 8, 22, 10, 10, 9, 6, 7, 9];

const threads = Number(arg.threads);
const names = arg.backend?.split(",") ?? backends;
const probe = loadProbe();
const files = [...(arg.json === undefined ? [] : [arg.json]), ...(arg.readme ? [RESULTS] : [])];

console.log(line(["shape", "backend", "kernel", "best", "median", "GFLOP/s", "limit", "of js", "error"], WIDTHS));
for (const shape of select(arg.shape)) {
  const measured = await measureShape(shape);
  progress("");
  for (const row of measured) console.log(printed(row));
  for (const file of files) saveResults(file, "attention", measured);
}
if (arg.readme) await import("./report.mjs");

/** @param {Shape} shape @returns {Promise<Row[]>} */
async function measureShape(shape) {
  progress(`${shape.name}: oracle`);
  const inputs = makeInputs(shape);
  const samples = sampleRows(shape, inputs);
  const calls = names.map((backend) => callOf(shape, inputs, { backend, threads, probe }));
  const mostError = MOST_ERRORS[shape.memory ?? "float32"];
  const how = { seconds: Number(arg.seconds), flops: flops(shape), mostError };
  const rows = await compare(shape.name, calls, samples, how);
  return rows.map((row) => ({ shape: shape.name, threads, ...row }));
}

/** @param {Row} row */
function printed({ shape, backend, kernel, best, median, gflops, share, overJs, error }) {
  const numbers = [best, median, gflops, share, overJs, error].map(Number);
  const [b, m, g, s, o, e] = numbers;
  const times = Number.isNaN(o) ? "" : `${o.toFixed(1)}x`;
  return line(
    [shape, backend, kernel, time(b), time(m), g.toFixed(1), percent(s), times, e.toExponential(1)].map(String),
    WIDTHS,
  );
}
