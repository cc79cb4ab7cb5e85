// @ts-check
// One set of keys, in shared memory, over four worker threads: each attends a quarter, and merge() makes them one.
import { once } from "node:events";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { attentionSync, merge } from "xattn";

const [HEADS, TQ, TK, D, WORKERS] = [8, 4, 20_000, 64, 4];

/** @param {number} rows @returns {import("xattn").TensorLike & { data: Float32Array }} of random numbers */
function randomTensor(rows) {
  const data = new Float32Array(new SharedArrayBuffer(4 * HEADS * rows * D));
  for (let i = 0; i < data.length; i++) data[i] = 2 * Math.random() - 1;
  return { data, dims: [HEADS, rows, D] };
}

/** The rows from..to of every head, where they lie. @param {{ data: Float32Array }} whole @param {number} from @param {number} to */
function slice({ data }, from, to) {
  return { data: data.subarray(from * D), dims: [HEADS, to - from, D], strides: [TK * D, D, 1] };
}

if (isMainThread) {
  const [query, key, value] = [TQ, TK, TK].map(randomTensor);
  const parts = await Promise.all(
    Array.from({ length: WORKERS }, async (_, n) => {
      const worker = new Worker(new URL(import.meta.url), { workerData: { query, key, value, n } });
      const [part] = await once(worker, "message");
      return part;
    }),
  );
  const { output } = merge(parts);
  const whole = attentionSync(query, key, value).output.data;
  const differences = whole.map((x, i) => Math.abs(x - Number(output.data[i])));
  console.log(
    `${WORKERS} workers, ${TK / WORKERS} keys each; the whole differs by at most ${Math.max(...differences)}`,
  );
} else {
  const { query, key, value, n } = workerData;
  const [from, to] = [n, n + 1].map((i) => (i * TK) / WORKERS);
  parentPort?.postMessage(
    attentionSync(query, slice(key, from, to), slice(value, from, to), { lse: true, threads: 1 }),
  );
}
