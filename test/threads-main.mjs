// What workers and child processes of threads.test.ts do: the task that they are told.
import { fork } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

const library = () => import("../lib/index.js");

function input(dims) {
  const length = dims.reduce((a, b) => a * b);
  return { data: Float32Array.from({ length }, (_, i) => Math.sin(i * i * 0.37)), dims };
}

// Some milliseconds of work.
const QUERY = input([4, 300, 32]);
const MEMORY = input([4, 700, 32]);

const digest = ({ output }) => createHash("sha256").update(output.data).digest("hex");

function newWorker(task) {
  return new Worker(new URL(import.meta.url), { workerData: task });
}

function exitOf(worker) {
  return new Promise((resolve, reject) => worker.once("exit", resolve).once("error", reject));
}

const tasks = {
  /** Both forms, several at once: reports the different results, of which there should be one. */
  async attend() {
    const { attention, attentionSync } = await library();
    const digests = new Set();
    for (let round = 0; round < 5; round++) {
      const pending = Array.from({ length: 8 }, () => attention(QUERY, MEMORY, MEMORY));
      digests.add(digest(attentionSync(QUERY, MEMORY, MEMORY)));
      for (const result of await Promise.all(pending)) digests.add(digest(result));
    }
    parentPort.postMessage([...digests]);
  },

  /** Once told to, five calls of which each begins when the last has settled. */
  async oneAfterAnother() {
    const { attention } = await library();
    const [query, memory] = [input([4, 512, 64]), input([4, 2048, 64])];
    await attention(query, memory, memory);
    parentPort.once("message", async () => {
      let done = 0;
      for (; done < 5; done++) await attention(query, memory, memory);
      parentPort.postMessage(done);
      parentPort.close();
    });
    parentPort.postMessage("ready");
  },

  /** Has calls in flight until it is stopped. */
  async endless() {
    const { attention } = await library();
    const calls = Array.from({ length: 20 }, () => attention(QUERY, MEMORY, MEMORY));
    parentPort.postMessage("in flight");
    for (;;) {
      await calls.shift();
      calls.push(attention(QUERY, MEMORY, MEMORY));
    }
  },

  /** The same by synchronous calls. */
  async endlessSync() {
    const { attentionSync } = await library();
    parentPort.postMessage("about to call");
    for (;;) attentionSync(QUERY, MEMORY, MEMORY);
  },

  /** Nobody handles what one of the calls says. */
  async unhandled() {
    const { attention } = await library();
    for (let i = 0; i < 50; i++) attention(QUERY, MEMORY, MEMORY);
    attention(QUERY, MEMORY, MEMORY, { scale: NaN });
  },

  async unhandledInWorker() {
    const { attention } = await library();
    const pending = attention(QUERY, MEMORY, MEMORY);
    const worker = newWorker("unhandled");
    const [error] = await once(worker, "error");
    const { output } = await pending;
    console.log(error.message, output.dims.join());
  },

  /** A child of a process with calls in flight calls, too. */
  async fork() {
    const { attention } = await library();
    const pending = Array.from({ length: 50 }, () => attention(QUERY, MEMORY, MEMORY));
    const child = fork(fileURLToPath(import.meta.url), ["forked"]);
    const [[theirs], [code]] = await Promise.all([once(child, "message"), once(child, "exit")]);
    const own = new Set((await Promise.all(pending)).map(digest));
    console.log(code, own.size === 1 && own.has(theirs) ? "same bits" : "other bits");
  },

  async forked() {
    const { attention } = await library();
    process.send(digest(await attention(QUERY, MEMORY, MEMORY)));
    process.disconnect();
  },

  async exit() {
    const { attention } = await library();
    for (let i = 0; i < 50; i++) attention(QUERY, MEMORY, MEMORY);
    await delay(5);
    process.exit(7);
  },

  async exitInWorker() {
    console.log(await exitOf(newWorker("exit")));
  },

  /** Nobody waits for the promise, and yet the process stays until it has settled. */
  async finish() {
    const { attention } = await library();
    attention(QUERY, MEMORY, MEMORY).then(() => console.log("settled"));
  },

  /** Only workers load the addon, and each leaves before the next. */
  async lastWorker() {
    for (let i = 0; i < 3; i++) {
      const code = await exitOf(newWorker("attend"));
      const addons = process.report.getReport().sharedObjects.filter((path) => path.endsWith(".node"));
      console.log(`worker left with ${code}, ${addons.length} addon stays`);
    }
  },

  /** Share of a core that the process takes after its work. */
  async idle() {
    const { attention } = await library();
    await attention(QUERY, MEMORY, MEMORY);
    await delay(50);
    const before = process.cpuUsage();
    await delay(300);
    const { user, system } = process.cpuUsage(before);
    console.log((user + system) / 300e3);
  },

  async threads() {
    const { explain } = await library();
    console.log(explain(QUERY, MEMORY, MEMORY).threads);
  },
};

await tasks[isMainThread ? process.argv[2] : workerData]();
