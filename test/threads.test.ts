import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { describe, expect, onTestFinished, test } from "vitest";
import { attention, attentionSync, backends, explain } from "../src/index.js";
import { bytesOf, expectSameBits } from "./compare.js";
import { filled } from "./filled.js";
import { Random } from "./random.js";

const native = backends.length > 1;
if (!native) console.warn("Skipped: what concerns native threads, because the addon is not built.");

/** They keep freed memory. */
const sanitized = /[at]san/.test(process.env.LD_PRELOAD ?? "");

const MAIN = new URL("threads-main.mjs", import.meta.url);

function inputs(heads: number, tq: number, tk: number, d: number, dv = d) {
  return [filled([heads, tq, d], 1), filled([heads, tk, d], 2), filled([heads, tk, dv], 3)] as const;
}

/** A millisecond or so of one core, some tens, and some hundreds. */
const SHORT = inputs(4, 300, 200, 32);
const MIDDLE = inputs(4, 512, 2048, 64);
const LONG = inputs(2, 16384, 8192, 64, 1);

/** Heads, tq, tk, d: many tiles of queries; few with many keys; one query; sizes that no tile divides. */
const SHAPES = [
  [4, 300, 200, 32],
  [2, 64, 9000, 64],
  [2, 1, 20000, 64],
  [3, 77, 1999, 40],
] as const;

function newWorker(task: string): Worker {
  const worker = new Worker(MAIN, { workerData: task });
  onTestFinished(async () => void (await worker.terminate()));
  return worker;
}

/** What a process of its own prints, and how it ends. */
function runProcess(task: string, env: NodeJS.ProcessEnv = {}) {
  const child = spawnSync(process.execPath, [fileURLToPath(MAIN), task], {
    env: { ...process.env, ...env },
    encoding: "utf8",
    timeout: 30_000,
  });
  return { code: child.status, signal: child.signal, output: child.stdout.trim(), errors: child.stderr.trim() };
}

describe.runIf(native)("calls", () => {
  test.each(SHAPES)("give the same bits at 1, 2 and 7 threads: %i heads, tq %i, tk %i, d %i", async (...shape) => {
    const call = inputs(...shape);
    const options = { lse: true, weights: true } as const;
    const alone = attentionSync(...call, { ...options, threads: 1 });
    for (const threads of [2, 7]) {
      expect(explain(...call, { threads }).threads).toBe(threads);
      const shared = { ...options, threads };
      for (const result of [attentionSync(...call, shared), await attention(...call, shared)]) {
        const { output, lse, weights } = result;
        expectSameBits(output, alone.output);
        expectSameBits(lse, alone.lse);
        expectSameBits(weights, alone.weights);
      }
    }
  });

  test("leave the event loop free", async () => {
    const start = performance.now();
    let last = start;
    let longestTurn = 0;
    const timer = setInterval(() => {
      longestTurn = Math.max(longestTurn, performance.now() - last);
      last = performance.now();
    }, 1);
    await attention(...LONG);
    clearInterval(timer);
    expect(longestTurn).toBeLessThan((performance.now() - start) / 2);
    expect(last).toBeGreaterThan(start);
  });

  test("are a thousand at once, and need no more memory than their results", async () => {
    const call = inputs(...SHAPES[2]);
    const expected = bytesOf(attentionSync(...call).output.data);
    const before = process.memoryUsage().rss;
    const results = await Promise.all(Array.from({ length: 1000 }, () => attention(...call)));
    if (!sanitized) expect(process.memoryUsage().rss - before).toBeLessThan(32e6);
    for (const { output } of results) expect(bytesOf(output.data).equals(expected)).toBe(true);
  });

  test("that are short do not wait for the end of long ones", async () => {
    const ended: string[] = [];
    const calls = [1, 2, 3].map(() => attention(...LONG).then(() => ended.push("long")));
    await delay(10);
    calls.push(attention(...SHORT).then(() => ended.push("short")));
    await Promise.all(calls);
    expect(ended).toEqual(["short", "long", "long", "long"]);
  });

  test("are under way a few at a time, with memory for these alone, and the others wait in order", async () => {
    // One query and 65536 keys and values that are one row each: 0.4 MB of partial results, 15 ms of one core, or a second
    // of a sanitizer's.
    const width = sanitized ? 60 : 6000;
    const row = (width: number) => ({ data: filled([width], 1).data, dims: [65536, width], strides: [0, 1] });
    const call = [filled([1, 1], 1), row(1), row(width)] as const;
    const most = explain(...call).threads + 16;
    await attention(...call);
    const before = process.memoryUsage.rss();
    let peak = 0;
    const settled: number[] = [];
    const calls = Array.from({ length: 16 * most }, async (_, at) => {
      await attention(...call);
      peak = Math.max(peak, process.memoryUsage.rss() - before);
      settled.push(at);
    });
    await Promise.all(calls);
    if (!sanitized) expect(peak).toBeLessThan(50e6);
    for (const [place, at] of settled.entries()) expect(at - place).toBeLessThan(most);
  });

  test("that wait for their turn are aborted at once, and a hundred share one listener", async () => {
    const warnings: Error[] = [];
    const warn = (warning: Error) => warnings.push(warning);
    process.on("warning", warn);
    const [crowd, late] = [new AbortController(), new AbortController()];
    const settled = Array.from({ length: 100 * explain(...LONG).threads }, () =>
      attention(...LONG, { signal: crowd.signal }).catch((reason) => reason),
    );
    const pending = attention(...LONG, { signal: late.signal });
    const start = performance.now();
    late.abort("late");
    await expect(pending).rejects.toBe("late");
    expect(performance.now() - start).toBeLessThan(100); // a turn of each of the others takes 4 times as long
    crowd.abort("crowd");
    expect(new Set(await Promise.all(settled))).toEqual(new Set(["crowd"]));
    process.off("warning", warn);
    expect(warnings).toEqual([]);
  });

  test("live through a storm of aborts, and those that nobody aborts are right", async () => {
    const expected = attentionSync(...SHORT).output;
    const calls = Array.from({ length: 300 }, (_, at) => {
      const controller = new AbortController();
      const settled = attention(...SHORT, { signal: controller.signal }).then(
        ({ output }) => output,
        (reason) => reason,
      );
      return { at, controller, settled };
    });
    for (const { at, controller } of new Random(1).shuffle(calls)) {
      if (at % 3 !== 0) controller.abort(at);
      if (at % 10 === 0) await delay(1);
    }
    let aborted = 0;
    for (const { at, settled } of calls) {
      const outcome = await settled;
      if (outcome === at && at % 3 !== 0) aborted++;
      else expectSameBits(outcome, expected);
    }
    expect(aborted).toBeGreaterThan(0);
  });
});

describe.runIf(native)("a buffer that is transferred during a call", () => {
  test.each(["query.data", "key.data", "value.data", "out"])("rejects it and is named: %s", async (name) => {
    const [query, key, value] = structuredClone(MIDDLE);
    const out = new Float32Array(query.data.length);
    const pending = attention(query, key, value, { out }).catch((error) => error);
    const arrays: Record<string, Float32Array> = {
      "query.data": query.data,
      "key.data": key.data,
      "value.data": value.data,
      out,
    };
    const lost = arrays[name].buffer as ArrayBuffer;
    const kept = structuredClone(lost, { transfer: [lost] }); // where the memory lives on
    const error = await pending;
    expect(error).toBeInstanceOf(Error);
    expect(error.message).toContain(`"${name}"`);
    expect(kept.byteLength).toBeGreaterThan(0);
  });

  test.each(["query", "key", "value"])(
    "rejects it before any work when a signal of the caller's own does it: %s",
    async (name) => {
      const [query, key, value] = structuredClone(SHORT);
      const { buffer } = { query, key, value }[name as "query"].data;
      const signal = {
        throwIfAborted() {},
        addEventListener: () => void structuredClone(buffer, { transfer: [buffer as ArrayBuffer] }),
        removeEventListener() {},
      } as unknown as AbortSignal;
      await expect(attention(query, key, value, { signal })).rejects.toThrow(`"${name}.data"`);
    },
  );
});

describe.runIf(native)("workers", () => {
  test("call at once, eight of them, and all get the same bits", async () => {
    const workers = Array.from({ length: 8 }, () => newWorker("attend"));
    const answers = await Promise.all(workers.map((worker) => once(worker, "message")));
    const digests = new Set(answers.flat(2));
    expect(digests.size).toBe(1);
  });

  test("take turns with other threads, however many calls each has", async () => {
    const worker = newWorker("oneAfterAnother");
    await once(worker, "message");
    let settled = 0;
    const calls = Array.from({ length: 60 }, () => attention(...MIDDLE).then(() => settled++));
    worker.postMessage("go");
    await once(worker, "message");
    expect(settled).toBeLessThan(20); // 5, if both went on alike
    await Promise.all(calls);
  });

  test("are terminated with calls in flight, and nobody else notices", async () => {
    const expected = attentionSync(...SHORT).output;
    for (let round = 0; round < 5; round++) {
      const workers = [newWorker("endless"), newWorker("endless")];
      await Promise.all(workers.map((worker) => once(worker, "message")));
      const pending = Array.from({ length: 10 }, () => attention(...SHORT));
      await Promise.all(workers.map((worker) => worker.terminate()));
      for (const { output } of await Promise.all(pending)) expectSameBits(output, expected);
    }
  });

  test("are terminated in the midst of synchronous calls", async () => {
    const workers = [newWorker("endlessSync"), newWorker("endlessSync")];
    await Promise.all(workers.map((worker) => once(worker, "message")));
    const pending = attention(...SHORT);
    await delay(20);
    expect(await Promise.all(workers.map((worker) => worker.terminate()))).toEqual([1, 1]);
    expectSameBits((await pending).output, attentionSync(...SHORT).output);
  });

  test("may all leave, though the pool's threads stay", () => {
    const output = Array(3).fill("worker left with 0, 1 addon stays").join("\n");
    expect(runProcess("lastWorker")).toEqual({ code: 0, signal: null, output, errors: "" });
  });
});

describe.runIf(native)("a process", () => {
  test("stays until its calls have settled", () => {
    expect(runProcess("finish")).toEqual({ code: 0, signal: null, output: "settled", errors: "" });
  });

  test("exits when it wants to, with calls in flight", () => {
    for (let i = 0; i < 3; i++) expect(runProcess("exit")).toEqual({ code: 7, signal: null, output: "", errors: "" });
  });

  test("goes on when a worker has called process.exit() with calls in flight", () => {
    expect(runProcess("exitInWorker")).toEqual({ code: 0, signal: null, output: "7", errors: "" });
  });

  test("ends in good order when nobody handles a rejection, with calls in flight", () => {
    const { code, signal, errors } = runProcess("unhandled");
    expect([code, signal]).toEqual([1, null]);
    expect(errors).toContain('"scale" expected a finite number, got NaN');
  });

  test("goes on when nobody handles a rejection in a worker with calls in flight", () => {
    const output = '"scale" expected a finite number, got NaN 4,300,32';
    expect(runProcess("unhandledInWorker")).toEqual({ code: 0, signal: null, output, errors: "" });
  });

  test("may be forked after use, and its child gets the same bits", () => {
    expect(runProcess("fork")).toEqual({ code: 0, signal: null, output: "0 same bits", errors: "" });
  });

  test("takes no CPU when there is nothing to do", () => {
    expect(Number(runProcess("idle").output)).toBeLessThan(0.2);
  });

  test("has as many threads as XATTN_NUM_THREADS says, and is warned of a number that cannot be", () => {
    expect(runProcess("threads", { XATTN_NUM_THREADS: "3" })).toMatchObject({ output: "3", errors: "" });
    const { errors } = runProcess("threads", { XATTN_NUM_THREADS: "many" });
    expect(errors).toContain('"XATTN_NUM_THREADS" expected an integer from 1 to 1024');
  });
});
