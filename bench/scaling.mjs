// @ts-check
// npm run bench:scaling -- [--most-keys n] [--seconds s] [--json FILE]
// Time and extra memory against tk, at one query and at 64, and against tq. Each point has a process of its own, whose
// peak of resident memory starts afresh.
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { line, progress, time } from "./kit/format.mjs";
import { saveResults } from "./kit/results.mjs";
import { complete, flops } from "./kit/shapes.mjs";

/** @typedef {import("./kit/shapes.mjs").Shape} Shape */

const { values: arg } = parseArgs({
  options: {
    "most-keys": { type: "string", default: String(2 ** 18) },
    seconds: { type: "string", default: "1" },
    json: { type: "string" },
  },
});

const WIDTHS = [18, 10, 11, 8, 11];
const HEADS = { heads: 4, d: 64 };

const mostKeys = Number(arg["most-keys"]);
const keys = [10, 12, 14, 16, 18].map((power) => 2 ** power).filter((tk) => tk <= mostKeys);
const points = [
  ...keys.map((tk) => ({ tq: 1, tk })),
  ...keys.map((tk) => ({ tq: 64, tk })),
  ...[256, 1024, 4096, 16384].map((tq) => ({ tq, tk: 1024 })),
];

console.log(line(["tq x tk", "best", "a pair", "GFLOP/s", "extra"], WIDTHS));
for (const { tq, tk } of points) {
  const shape = complete({ name: `${tq} x ${tk}`, ...HEADS, tq, tk });
  progress(shape.name);
  const { best, extra } = await measureAlone(shape);
  const row = {
    shape: shape.name,
    threads: 1,
    tq,
    tk,
    best,
    pair: best / (tq * tk),
    gflops: (1e-9 * flops(shape)) / best,
    memory: extra,
  };
  progress("");
  const cells = [
    row.shape,
    time(best),
    `${(row.pair * 1e9).toFixed(2)} ns`,
    row.gflops.toFixed(0),
    `${(extra / 1e6).toFixed(1)} MB`,
  ];
  console.log(line(cells, WIDTHS));
  if (arg.json !== undefined) saveResults(arg.json, "scaling", [row]);
}

/** @param {Shape} shape @returns {Promise<{ best: number, extra: number }>} seconds, bytes */
function measureAlone(shape) {
  const child = fork(fileURLToPath(new URL("kit/alone.mjs", import.meta.url)));
  child.send({ shape, seconds: Number(arg.seconds) });
  return new Promise((resolve, reject) => {
    child.on("message", (/** @type {{ best: number, extra: number }} */ measured) => resolve(measured));
    child.on("exit", (code) => reject(new Error(`measuring ${shape.name} ended with code ${code}`)));
  });
}
