// What workers and child processes of memory-threads.test.ts do: the task that they are told.
import { createHash } from "node:crypto";
import { once } from "node:events";
import { setTimeout as delay, setImmediate as nextTurn } from "node:timers/promises";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { attention, attentionSync, KeyValueMemory } from "../lib/index.js";

function input(dims, seed = 1) {
  const length = dims.reduce((a, b) => a * b);
  return { data: Float32Array.from({ length }, (_, i) => Math.sin(i * i * 0.37 + seed)), dims };
}

const QUERY = input([4, 64, 32]);
const [KEY, VALUE] = [input([4, 700, 32], 2), input([4, 700, 32], 3)];
const ROW = input([4, 1, 32], 4);

// A memory of it takes 100 KiB: ten thousand that stay are a GiB.
const SMALL = input([2, 200, 32]);
const SMALL_ROW = input([2, 1, 32]);

const digest = ({ output }) => createHash("sha256").update(output.data).digest("hex");

function newWorker(task) {
  return new Worker(new URL(import.meta.url), { workerData: task });
}

/** MiB that the process holds, once the garbage of this turn is gone. */
async function residentMiB() {
  for (let i = 0; i < 5; i++) {
    global.gc();
    await nextTurn();
  }
  return process.memoryUsage.rss() / 2 ** 20;
}

/** Growth of the process over 10,000 rounds, in MiB: after a tenth of them it has what it needs. */
async function growth(round) {
  for (let i = 0; i < 1000; i++) await round(i);
  const before = await residentMiB();
  for (let i = 0; i < 9000; i++) await round(i);
  console.log((await residentMiB()) - before);
}

// Finalizers run between turns of the event loop.
async function turn(i) {
  if (i % 100 !== 99) return;
  global.gc();
  await nextTurn();
}

const tasks = {
  async drop() {
    await growth(async (i) => {
      const memory = new KeyValueMemory(SMALL, SMALL);
      if (i % 10 === 0) attentionSync(SMALL, memory);
      await turn(i);
    });
  },

  async dispose() {
    await growth(async () => new KeyValueMemory(SMALL, SMALL)[Symbol.dispose]());
  },

  /** In one turn: only dispose() can free them. */
  async grow() {
    await growth(async () => {
      const memory = new KeyValueMemory(SMALL, SMALL);
      memory.append(SMALL_ROW, SMALL_ROW);
      memory.evict(0, 100);
      memory[Symbol.dispose]();
    });
  },

  async share() {
    await growth(async (i) => {
      const memory = new KeyValueMemory(SMALL, SMALL);
      const other = KeyValueMemory.from(structuredClone(memory.share()));
      memory[Symbol.dispose]();
      other[Symbol.dispose]();
      await turn(i);
    });
  },

  /** Attends what it is sent, before and after rows of its own. */
  async reader() {
    const [descriptor] = await once(parentPort, "message");
    const memory = KeyValueMemory.from(descriptor);
    const first = digest(await attention(QUERY, memory));
    memory.append(ROW, ROW);
    parentPort.postMessage({ first, second: digest(await attention(QUERY, memory)), length: memory.length });
  },

  /** Two threads attend one memory; what each appends is its own. */
  async both() {
    const memory = new KeyValueMemory(KEY, VALUE, { type: "bfloat16" });
    const first = digest(attentionSync(QUERY, memory));
    const worker = newWorker("reader");
    worker.postMessage(memory.share());
    const [answer] = await once(worker, "message");
    const still = digest(attentionSync(QUERY, memory));
    memory.append(ROW, ROW);
    const second = digest(attentionSync(QUERY, memory));
    console.log(answer.first === first, answer.second === second, answer.length, still === first, memory.length);
  },

  /** Appends rows of its own to what others append to at the same time; says whether they are there in the end. */
  async appender() {
    const [{ descriptor, seed }] = await once(parentPort, "message");
    const memory = KeyValueMemory.from(descriptor);
    const expected = new KeyValueMemory(KEY, VALUE);
    const row = input([4, 1, 32], seed);
    let right = true;
    for (let i = 0; i < 60; i++) {
      const pending = attention(QUERY, memory);
      const was = digest(attentionSync(QUERY, expected));
      for (const each of [memory, expected]) each.append(row, row);
      right &&= digest(await pending) === was;
    }
    parentPort.postMessage(right && digest(attentionSync(QUERY, memory)) === digest(attentionSync(QUERY, expected)));
  },

  /** Spare rows are one thread's. */
  async race() {
    const memory = new KeyValueMemory(KEY, VALUE);
    memory.append(ROW, ROW); // room for as many again
    memory.truncate(700);
    const workers = Array.from({ length: 4 }, () => newWorker("appender"));
    const answers = workers.map((worker) => once(worker, "message"));
    for (const [n, worker] of workers.entries()) worker.postMessage({ descriptor: memory.share(), seed: 10 + n });
    console.log(...(await Promise.all(answers)).flat());
  },

  /** Holds a memory, with calls in flight, until it is stopped. */
  async holder() {
    const [descriptor] = await once(parentPort, "message");
    const memory = KeyValueMemory.from(descriptor);
    for (;;) {
      const calls = Array.from({ length: 20 }, () => attention(QUERY, memory));
      parentPort.postMessage("in flight");
      await Promise.all(calls);
    }
  },

  /** A worker that is stopped does not take the memory along, and lets go of it. */
  async terminate() {
    await growth(async (i) => {
      if (i % 500 !== 0) return;
      const memory = new KeyValueMemory(KEY, VALUE);
      const expected = digest(attentionSync(QUERY, memory));
      const worker = newWorker("holder");
      worker.postMessage(memory.share());
      await once(worker, "message");
      await worker.terminate();
      if (digest(await attention(QUERY, memory)) !== expected) throw new Error("the memory has changed");
      memory[Symbol.dispose]();
    });
  },

  async exit() {
    const memories = Array.from({ length: 10 }, () => new KeyValueMemory(KEY, VALUE));
    for (const memory of memories) {
      memory.share();
      attention(QUERY, memory);
    }
    await delay(5);
    process.exit(7);
  },

  async end() {
    globalThis.memories = Array.from({ length: 10 }, () => new KeyValueMemory(KEY, VALUE));
    for (const memory of globalThis.memories) memory.share();
    attention(QUERY, globalThis.memories[0]).then(() => console.log("settled"));
  },
};

await tasks[isMainThread ? process.argv[2] : workerData]();
