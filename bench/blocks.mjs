// @ts-check
// npm run bench:blocks -- [--shape a,b*] [--backend x,y] [--threads n] [--seconds s] [--json FILE]
// Every backend over the layers of blocks.json: checked against the oracle, then timed in turns.
import { parseArgs } from "node:util";
import { backends } from "xattn";
import { compare } from "./kit/compare.mjs";
import { line, percent, progress, time } from "./kit/format.mjs";
import { layerFlops, layers, layerText } from "./kit/layer-shapes.mjs";
import { layerCall, MOST_LAYER_ERROR, makeLayer, sampleLayer } from "./kit/layers.mjs";
import { loadProbe } from "./kit/probe.mjs";
import { saveResults } from "./kit/results.mjs";
import { selectFrom } from "./kit/shapes.mjs";

const { values: arg } = parseArgs({
  options: {
    shape: { type: "string" },
    backend: { type: "string" },
    threads: { type: "string", default: "1" },
    seconds: { type: "string", default: "1" },
    json: { type: "string" },
  },
});

const WIDTHS = [16, 20, 8, 10, 10, 9, 6, 8, 9];

const threads = Number(arg.threads);
const names = arg.backend?.split(",") ?? backends;
const probe = loadProbe();

console.log(
  line(["layer", "rows, in, out", "backend", "best", "median", "GFLOP/s", "limit", "of js", "error"], WIDTHS),
);
for (const shape of selectFrom(layers, arg.shape)) {
  const rows = await measureLayer(shape);
  progress("");
  for (const row of rows) console.log(printed(shape, row));
  if (arg.json !== undefined) saveResults(arg.json, "blocks", rows);
}

/** @param {import("./kit/layer-shapes.mjs").LayerShape} shape */
async function measureLayer(shape) {
  progress(`${shape.name}: oracle`);
  const inputs = makeLayer(shape);
  const samples = sampleLayer(shape, inputs);
  const calls = names.map((backend) => layerCall(shape, inputs, { backend, threads, probe }));
  const how = { seconds: Number(arg.seconds), flops: layerFlops(shape), mostError: MOST_LAYER_ERROR };
  const rows = await compare(shape.name, calls, samples, how);
  return rows.map((row) => ({ shape: shape.name, threads, ...row }));
}

/** @param {import("./kit/layer-shapes.mjs").LayerShape} shape @param {Awaited<ReturnType<typeof measureLayer>>[number]} row */
function printed(shape, { backend, best, median, gflops, share, overJs, error }) {
  const times = Number.isNaN(overJs) ? "" : `${overJs.toFixed(1)}x`;
  const numbers = [time(best), time(median), gflops.toFixed(1), percent(share), times, error.toExponential(1)];
  return line([shape.name, layerText(shape), backend, ...numbers], WIDTHS);
}
