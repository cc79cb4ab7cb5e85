// @ts-check
// Native against js: two worker threads with an XATTN_BACKEND each do the same work, one after the other. Results are
// compared before anything is timed.
import { once } from "node:events";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { attentionSync, explain } from "xattn";
import { Translator } from "./model.mjs";
import { readModel } from "./weights.mjs";

/**
 * @typedef {{ ids: number[][], output: Float32Array }} Results translations, and the output of the large call
 * @typedef {object} Timing
 * @property {string} backend
 * @property {number} threads that the large call runs on
 * @property {number} translation milliseconds for all phrases
 * @property {number} large milliseconds of the large call
 */

// Cross-attention of a speech recogniser: 224 tokens of text ask 1500 frames of audio.
const LARGE = { batch: 1, heads: 8, tq: 224, tk: 1500, d: 64, dv: 64 };
export const LARGE_FLOPS = 2 * LARGE.batch * LARGE.heads * LARGE.tq * LARGE.tk * (LARGE.d + LARGE.dv);
export const LARGE_NAME = Object.values(LARGE).join(", ");

// Outputs are means of values from -1 to 1: float32 has them to a few units of 1e-7 at worst.
const TOLERANCE = 1e-6;

export const ROUNDS = 8;

/**
 * @param {string[]} backends
 * @param {number[][]} sources ids of the phrases
 * @param {(rounds: number) => void} progress told before the first round and after each how many are done
 * @returns {Promise<{ timings: Timing[], tokens: number, difference: number }>} tokens of all translations; the largest
 *   difference of the backends' results
 */
export async function compare(backends, sources, progress) {
  const workers = backends.map((backend) => {
    const env = { ...process.env, XATTN_BACKEND: backend };
    return new Worker(new URL(import.meta.url), { workerData: sources, env });
  });
  try {
    /** @type {Results[]} */
    const results = [];
    for (const worker of workers) results.push(await ask(worker, "results"));
    const difference = largestDifference(results);
    /** @type {Timing[][]} by worker */
    const rounds = workers.map(() => []);
    progress(0);
    // In turns, so that a busy moment of the machine does not fall on one of them alone.
    for (let round = 1; round <= ROUNDS; round++) {
      for (const [i, worker] of workers.entries()) rounds[i].push(await ask(worker, "timing"));
      progress(round);
    }
    const timings = rounds.map(fastestOf);
    return { timings, tokens: results[0].ids.flat().length, difference };
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

/** @param {Worker} worker @param {"results" | "timing"} what */
async function ask(worker, what) {
  worker.postMessage(what);
  const [answer] = await once(worker, "message");
  return answer;
}

/** Throws where translations differ or numbers do by too much. @param {Results[]} results */
function largestDifference([first, ...others]) {
  let largest = 0;
  for (const { ids, output } of others) {
    if (String(ids) !== String(first.ids)) throw new Error("the backends translate differently");
    largest = output.reduce((most, value, i) => Math.max(most, Math.abs(value - first.output[i])), largest);
  }
  if (!(largest <= TOLERANCE)) throw new Error(`the backends differ by ${largest}, more than ${TOLERANCE}`);
  return largest;
}

/** @param {Timing[]} rounds of one worker @returns {Timing} */
function fastestOf(rounds) {
  const least = (/** @type {"translation" | "large"} */ part) => Math.min(...rounds.map((round) => round[part]));
  return { ...rounds[0], translation: least("translation"), large: least("large") };
}

/** The work of one worker. @param {number[][]} sources */
async function serve(sources) {
  const translator = new Translator(await readModel());
  const call = largeCall();
  const tasks = {
    /** @returns {Promise<Results>} */
    results: async () => ({ ids: await translateAll(translator, sources), output: attentionSync(...call).output.data }),
    /** @returns {Promise<Timing>} */
    timing: async () => {
      const { backend, threads } = explain(...call);
      const translation = await fastest(() => translateAll(translator, sources));
      return { backend, threads, translation, large: await fastest(() => attentionSync(...call)) };
    },
  };
  parentPort?.on("message", async (/** @type {"results" | "timing"} */ what) =>
    parentPort?.postMessage(await tasks[what]()),
  );
}

/** @param {Translator} translator @param {number[][]} sources */
async function translateAll(translator, sources) {
  const ids = [];
  for (const source of sources) ids.push((await translator.translate(source)).ids);
  return ids;
}

/** Milliseconds of the fastest run in at least a tenth of a second. @param {() => unknown} run */
async function fastest(run) {
  const begin = performance.now();
  let best = Infinity;
  do {
    const start = performance.now();
    await run();
    best = Math.min(best, performance.now() - start);
  } while (performance.now() - begin < 100);
  return best;
}

/** @returns {Parameters<typeof attentionSync<{ data: Float32Array, dims: number[] }>>} */
function largeCall() {
  const { batch, heads, tq, tk, d, dv } = LARGE;
  const tensor = (/** @type {number} */ rows, /** @type {number} */ width, /** @type {number} */ step) => {
    const data = Float32Array.from({ length: batch * heads * rows * width }, (_, i) => Math.sin(step * i * i));
    return { data, dims: [batch, heads, rows, width] };
  };
  return [tensor(tq, d, 0.7), tensor(tk, d, 1.3), tensor(tk, dv, 2.1)];
}

if (!isMainThread) serve(workerData);
