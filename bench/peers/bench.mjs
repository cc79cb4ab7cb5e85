// npm run bench:peers -- [--shape a,b*] [--peer x,y*] [--threads 1,2] [--passes n] [--json FILE]
// xattn beside other packages: same inputs, results compared first, in turns, the same number of passes for everybody.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { callOf } from "../kit/contender.mjs";
import { digits, line, percent, progress, time } from "../kit/format.mjs";
import { makeInputs } from "../kit/inputs.mjs";
import { measure } from "../kit/measure.mjs";
import { assertClose, largestError, sampleRows } from "../kit/oracle.mjs";
import { loadProbe } from "../kit/probe.mjs";
import { saveResults } from "../kit/results.mjs";
import { flops, select } from "../kit/shapes.mjs";
import { peers } from "./peers.mjs";

const { values: arg } = parseArgs({
  options: {
    shape: { type: "string" },
    peer: { type: "string" },
    threads: { type: "string", default: "1,2" },
    passes: { type: "string", default: "20" },
    json: { type: "string" },
  },
});

const WIDTHS = [48, 10, 10, 9, 6, 7, 9];
/** Seconds of a pass: others' inputs were read last, and a core that rested takes some milliseconds to its full speed. */
const PASS = 30e-3;
/** Seconds before a pass: onnxruntime's threads, those of wasm most of all, spin for a while after a call. */
const REST = 100e-3;
/** A peer this many times slower, and above a second, is left at the one call that was checked. */
const FAR_BEHIND = 8;

const INSTALL = "cd bench/peers && ONNXRUNTIME_NODE_INSTALL=skip npm install --ignore-scripts";
if (!existsSync(new URL("node_modules", import.meta.url))) {
  console.error(`The peers are not installed, 740 MB: ${INSTALL}`);
  process.exit(1);
}

const counts = arg.threads.split(",");
if (counts.length > 1) oneProcessEach(counts);
else await measureAll(Number(arg.threads));
process.exit(); // wasm workers would keep it alive

/** onnxruntime-web takes its number of threads once in a process. */
function oneProcessEach(counts) {
  const { threads, ...rest } = arg;
  const options = Object.entries(rest).map(([name, value]) => `--${name}=${value}`);
  for (const count of counts) {
    const all = [fileURLToPath(import.meta.url), ...options, `--threads=${count}`];
    const { status } = spawnSync(process.execPath, all, { stdio: "inherit" });
    if (status !== 0) process.exit(status ?? 1);
  }
}

async function measureAll(threads) {
  const probe = loadProbe();
  for (const shape of select(arg.shape).filter(isForPeers)) {
    const { measured, failed } = await measureShape(shape, threads, probe);
    progress("");
    print(shape, threads, measured, failed);
    if (arg.json !== undefined) saveResults(arg.json, "peers", measured);
  }
}

/** Peers have no masks in common, nor keys that heads or batch entries share, nor memories. */
function isForPeers({ mask, batch, keyBatch, heads, kvHeads, memory }) {
  return mask === "none" && batch === keyBatch && heads === kvHeads && memory === undefined;
}

function isWanted({ name, threads: has, can }, shape, threads) {
  const patterns = arg.peer?.split(",") ?? ["*"];
  const named = patterns.some((p) => (p.endsWith("*") ? name.startsWith(p.slice(0, -1)) : name === p));
  return named && can(shape) && (has || threads === 1);
}

async function measureShape(shape, threads, probe) {
  const inputs = makeInputs(shape);
  const samples = sampleRows(shape, inputs);
  const call = {
    ...callOf(shape, inputs, { threads, probe }),
    name: "xattn",
    read: (output) => output,
  };
  const contenders = [await checked(call, shape, samples)];
  const failed = [];
  for (const peer of peers.filter((peer) => isWanted(peer, shape, threads))) {
    progress(`${shape.name}: checks ${peer.name}`);
    try {
      const instance = await peer.setup(shape, inputs, threads);
      contenders.push(await checked({ ...instance, name: peer.name, limit: call.limit }, shape, samples));
    } catch (error) {
      failed.push(`${peer.name} fails: ${String(error).split("\n")[0].slice(-100)}`); // the cause is at the end
    }
  }
  progress(`${shape.name}: in turns`);
  const [xattn] = contenders;
  const isFarBehind = ({ first }) => first > 1 && first > FAR_BEHIND * xattn.first;
  const near = contenders.filter((contender) => !isFarBehind(contender));
  const timings = await measure(near, {
    seconds: Infinity,
    turns: Number(arg.passes),
    turn: PASS,
    rest: threads > 1 ? REST : 0,
  });
  const measured = contenders.map((contender) => {
    const { name, first, error } = contender;
    const once = { name, best: first, median: first, share: Number.NaN, rounds: 1 };
    return rowOf(shape, threads, timings[near.indexOf(contender)] ?? once, error);
  });
  for (const { dispose } of contenders) await dispose?.();
  return { measured, failed };
}

/** Its first call, compared with the oracle. */
async function checked(contender, shape, samples) {
  const start = performance.now();
  const output = contender.read(await contender.run());
  const first = (performance.now() - start) / 1000;
  const { heads, tq, dv } = shape;
  const startByTime = (row) =>
    ((Math.floor(row / (heads * tq)) * tq + (row % tq)) * heads + (Math.floor(row / tq) % heads)) * dv;
  const error = largestError(samples, output, contender.byTime ? startByTime : undefined);
  assertClose(contender.name, error);
  return { ...contender, first, error };
}

function rowOf(shape, threads, { name, best, median, share, rounds }, error) {
  return {
    shape: shape.name,
    threads,
    peer: name,
    best,
    median,
    gflops: (1e-9 * flops(shape)) / best,
    share,
    error,
    rounds,
  };
}

function print(shape, threads, rows, failed) {
  const [xattn, ...others] = rows;
  const [rival] = others.toSorted((a, b) => a.best - b.best);
  const verdict = rival ? `${digits(rival.best / xattn.best)} times as fast as ${rival.peer}` : "no peer does it";
  console.log(`\n${shape.name}, ${threads} thread(s): ${verdict}`);
  for (const { peer, best, median, gflops, share, error, rounds } of rows) {
    const ratio = `${digits(best / xattn.best)}x`;
    const cells = [peer, time(best), time(median), gflops.toFixed(1), percent(share), ratio, error.toExponential(1)];
    console.log(`  ${line(cells, WIDTHS)}${rounds === 1 ? "  one call" : ""}`);
  }
  for (const failure of failed) console.log(`  ${failure}`);
}
