import { getEventListeners } from "node:events";
import { setTimeout as delay, setImmediate as nextTurn } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { attention } from "../src/index.js";
import { makeCase } from "./cases.js";
import { expectAgreement } from "./compare.js";

const COLUMNS = 64;
const QUERIES = process.env.XATTN_BACKEND === "js" ? 1 << 19 : 1 << 23;

/**
 * Work of a second at least, and on most machines of many, in little memory: all queries are one row of memory (a
 * stride of 0), and values have one column. No test waits for its end.
 */
function longCall() {
  const query = { data: new Float32Array(COLUMNS).fill(0.1), dims: [QUERIES, COLUMNS], strides: [0, 1] };
  const { key, value } = makeCase({ tk: 1024, d: COLUMNS, dv: 1 });
  return [query, { ...key, dims: [1024, COLUMNS] }, { ...value, dims: [1024, 1] }] as const;
}

async function expectRightAnswers(): Promise<void> {
  for (const sizes of [
    { tq: 3, tk: 50 },
    { batch: 2, heads: 3, tq: 65, tk: 200, d: 32 },
  ]) {
    const call = makeCase(sizes);
    const { query, key, value } = call;
    expectAgreement(await attention(query, key, value, { lse: true, weights: true }), call);
  }
}

describe("a signal that is aborted before the call", () => {
  test("rejects with its reason and leaves out alone", async () => {
    const { query, key, value } = makeCase({ tq: 3, tk: 5 });
    const reason = { why: "not wanted" };
    const out = new Float32Array(24).fill(7);
    await expect(attention(query, key, value, { out, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(out.every((x) => x === 7)).toBe(true);
  });
});

describe("a signal that is aborted during the call", () => {
  test("rejects with its reason long before the end, and out is not written any more", async () => {
    const controller = new AbortController();
    const out = new Float32Array(QUERIES);
    const pending = attention(...longCall(), { out, signal: controller.signal });
    const settled = pending.catch((reason) => reason);
    await delay(30);
    const reason = new Error("enough");
    controller.abort(reason);
    expect(await settled).toBe(reason);
    const written = out.slice();
    expect(written.includes(0)).toBe(true); // it had not come to the end
    await delay(50);
    expect(Buffer.from(out.buffer).equals(Buffer.from(written.buffer))).toBe(true);
    await expectRightAnswers();
  });

  test("works in the turn of the call, too", async () => {
    const controller = new AbortController();
    const pending = attention(...longCall(), { signal: controller.signal });
    controller.abort("at once");
    await expect(pending).rejects.toBe("at once");
  });

  test("may be a timeout's", async () => {
    const pending = attention(...longCall(), { signal: AbortSignal.timeout(20) });
    await expect(pending).rejects.toMatchObject({ name: "TimeoutError" });
  });

  test("ends all calls that have it and no other", async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const call = makeCase({ heads: 4, tq: 100, tk: 300, d: 32 });
    const aborted = Array.from({ length: 5 }, () => attention(...longCall(), { signal }).catch((reason) => reason));
    const other = attention(call.query, call.key, call.value, { signal: new AbortController().signal });
    await delay(10);
    controller.abort("all of them");
    expect(await Promise.all(aborted)).toEqual(Array(5).fill("all of them"));
    expectAgreement(await other, call);
    await expectRightAnswers();
  });

  test("may happen many times over", async () => {
    for (let round = 0; round < 20; round++) {
      const controller = new AbortController();
      const pending = attention(...longCall(), { signal: controller.signal });
      await nextTurn();
      controller.abort(round);
      await expect(pending).rejects.toBe(round);
    }
    await expectRightAnswers();
  });
});

describe("a signal that is not aborted", () => {
  test("changes nothing, and an abort after the end neither", async () => {
    const controller = new AbortController();
    const call = makeCase({ tq: 20, tk: 50 });
    const result = await attention(call.query, call.key, call.value, { signal: controller.signal });
    controller.abort();
    await nextTurn();
    expectAgreement(result, call);
  });
});

test("no listener stays at the signal, whatever the end of the call", async () => {
  const { query, key, value } = makeCase({ heads: 4, tq: 100, tk: 300, d: 32 });
  const controller = new AbortController();
  const { signal } = controller;
  await attention(query, key, value, { signal });
  await expect(attention(query, key, value, { signal, scale: NaN })).rejects.toThrow(RangeError);
  expect(getEventListeners(signal, "abort").length).toBe(0);
  const pending = attention(...longCall(), { signal });
  controller.abort("over");
  await expect(pending).rejects.toBe("over");
  expect(getEventListeners(signal, "abort").length).toBe(0);
});

test("the event loop turns while a call runs", async () => {
  const controller = new AbortController();
  let turns = 0;
  const pending = attention(...longCall(), { signal: controller.signal }).catch((reason) => reason);
  while (turns < 20) {
    await nextTurn();
    turns++;
  }
  controller.abort("seen enough");
  expect(await pending).toBe("seen enough"); // and not the result: all turns came before the end
});
