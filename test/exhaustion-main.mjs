// What the child process of exhaustion.test.ts does: comes to the end of its address space in the way that it is told, says
// what the library says to that, and whether the library still works afterwards.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { attention, attentionSync } from "../lib/index.js";

const MB = 2 ** 20;

function tensor(dims, strides) {
  const length = strides ? dims.at(-1) : dims.reduce((a, b) => a * b);
  return { data: new Float32Array(length).fill(0.5), dims, strides };
}

/** From here on the process gets so much more address space and no more. */
function limit(bytes) {
  const now = Number(/VmSize:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))[1]) * 1024;
  const { status, stderr } = spawnSync("prlimit", [`--pid=${process.pid}`, `--as=${now + bytes}`], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`prlimit: ${stderr}`);
}

const query = tensor([4, 300, 32]);
const memory = tensor([4, 700, 32]);

// A row for all queries, or all keys, lies in memory once.
const manyQueries = tensor([4e6, 64], [0, 1]);
const few = tensor([9, 64]);
const wide = tensor([1, 3e7]);
const one = tensor([1, 1]);
const manyKeys = tensor([8192, 1], [0, 1]);
const wideValues = tensor([8192, 8e6], [0, 1]);

/** Address space that is left, and the call. */
const tasks = {
  output: [500 * MB, () => attentionSync(manyQueries, few, few)],
  "output of an asynchronous call": [500 * MB, () => attention(manyQueries, few, few)],
  weights: [500 * MB, () => attention(tensor([4e6, 1], [0, 1]), tensor([900, 1]), tensor([900, 1]), { weights: true })],
  scratch: [100 * MB, () => attentionSync(wide, wide, one)],
  "scratch of an asynchronous call": [100 * MB, () => attention(wide, wide, one)],
  partials: [330 * MB, () => attentionSync(one, manyKeys, wideValues)],
  "partials of an asynchronous call": [330 * MB, () => attention(one, manyKeys, wideValues)],
  threads: [2 * MB, () => attention(query, memory, memory)],
};

const [bytes, call] = tasks[process.argv[2]];
const before = attentionSync(query, memory, memory, { threads: 1 }).output.data;
limit(bytes);
try {
  await call();
  console.log("no error");
} catch (error) {
  console.log(error.message);
}
const after = attentionSync(query, memory, memory, { threads: 1 }).output.data;
console.log(Buffer.from(after.buffer).equals(Buffer.from(before.buffer)) ? "works on" : "works no more");
