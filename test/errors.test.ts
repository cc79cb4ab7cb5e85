import { afterEach, describe, expect, it, vi } from "vitest";
import { loadFailure } from "../src/errors.js";
import { attention, attentionSync, explain } from "../src/index.js";
import { type Arguments, asOptions, key, OUTPUT, query, tensor, value } from "./wrong-calls.js";
import { masks, outs } from "./wrong-masks.js";
import { options } from "./wrong-options.js";
import { shapes, tensors } from "./wrong-tensors.js";

const run = attentionSync as (...args: Arguments) => unknown;
const start = attention as (...args: Arguments) => Promise<unknown>;

function thrown(call: () => unknown): unknown {
  try {
    return call();
  } catch (error) {
    return error;
  }
}

function rejected(promise: Promise<unknown>): Promise<unknown> {
  return promise.catch((reason) => reason);
}

describe.each([
  ["tensors", tensors],
  ["shapes", shapes],
  ["options", options],
  ["masks", masks],
  ["out", outs],
])("Of wrong %s,", (_, rows) => {
  it.each(rows)("%s is refused by attentionSync", (_, kind, message, call) => {
    const error = thrown(() => run(...call()));
    expect(error).toBeInstanceOf(kind);
    expect(error).toHaveProperty("message", message);
  });

  it.each(rows)("%s is refused by attention, which does not throw", async (_, kind, message, call) => {
    const error = await rejected(start(...call()));
    expect(error).toBeInstanceOf(kind);
    expect(error).toHaveProperty("message", message);
  });
});

describe("A wrong call", () => {
  it("is refused by explain too", () => {
    expect(() => explain(query, key, tensor([2, 2, 4, 6]))).toThrow(
      new RangeError('"value.dims[2]" expected 5 (tk of "key"), got 4'),
    );
  });

  it("leaves out as it was", () => {
    const out = new Float32Array(OUTPUT).fill(7);
    expect(() => run(...asOptions({ out, softcap: NaN })())).toThrow(RangeError);
    expect(new Set(out)).toEqual(new Set([7]));
  });

  it("does not come from options that are undefined", () => {
    const names = ["layout", "heads", "scale", "mask", "keyLengths", "causal", "window", "alibi", "softcap"];
    const rest = ["sinks", "lse", "weights", "out", "threads", "signal"];
    const absent = Object.fromEntries([...names, ...rest].map((name) => [name, undefined]));
    expect(run(query, key, value, absent)).toEqual(run(query, key, value));
  });
});

describe("A signal", () => {
  it("is refused by attentionSync", () => {
    const { signal } = new AbortController();
    const message = '"signal" expected nothing (attentionSync cannot abort), got an AbortSignal';
    expect(thrown(() => run(...asOptions({ signal })()))).toEqual(new TypeError(message));
  });

  it("must be one", async () => {
    const error = await rejected(start(...asOptions({ signal: "stop" })()));
    expect(error).toEqual(new TypeError('"signal" expected an AbortSignal, got "stop"'));
  });

  it("that was aborted before the call rejects with its reason", async () => {
    const reason = new Error("enough");
    const out = new Float32Array(OUTPUT).fill(7);
    expect(await rejected(start(...asOptions({ signal: AbortSignal.abort(reason), out })()))).toBe(reason);
    expect(new Set(out)).toEqual(new Set([7]));
    const none = tensor([0, 8]);
    expect(await rejected(attention(none, none, none, { signal: AbortSignal.abort(reason) }))).toBe(reason);
  });
});

describe("A buffer", () => {
  const Resizable = ArrayBuffer as new (length: number, options: { maxByteLength: number }) => ArrayBuffer;
  const Growable = SharedArrayBuffer as new (length: number, options: { maxByteLength: number }) => SharedArrayBuffer;
  const bytes = key.data.byteLength;

  // Holds what it takes away: native threads still read it, and freed memory would crash the process.
  const taken: ArrayBufferLike[] = [];
  const take = ({ data }: { data: Float32Array }) => {
    taken.push(structuredClone(data.buffer, { transfer: [data.buffer as ArrayBuffer] }));
  };

  it.each([
    ["A resizable one", () => new Resizable(bytes, { maxByteLength: 2 * bytes })],
    ["A growable one", () => new Growable(bytes, { maxByteLength: 2 * bytes })],
  ])("%s is refused by attention alone", async (_, make) => {
    const resizable = { data: new Float32Array(make(), 0, key.data.length), dims: key.dims };
    const message = '"key.data" expected a buffer of fixed length in an asynchronous call, got a resizable one';
    expect(await rejected(attention(query, resizable, value))).toEqual(new TypeError(message));
    expect(attentionSync(query, resizable, value)).toEqual(attentionSync(query, key, value));
  });

  it("that can be resized is refused as out", async () => {
    const out = new Float32Array(new Resizable(OUTPUT * 4, { maxByteLength: OUTPUT * 8 }), 0, OUTPUT);
    const message = '"out" expected a buffer of fixed length in an asynchronous call, got a resizable one';
    expect(await rejected(attention(query, key, value, { out }))).toEqual(new TypeError(message));
  });

  it("that shrank below its array is refused", () => {
    const buffer = new Resizable(bytes, { maxByteLength: bytes });
    const shrunk = { data: new Float32Array(buffer, 0, key.data.length), dims: key.dims };
    (buffer as ArrayBuffer & { resize(length: number): void }).resize(8);
    expect(() => attentionSync(query, shrunk, value)).toThrow(
      new RangeError('"key.data.length" expected 160 (dims [2, 2, 5, 8]), got 0'),
    );
  });

  // A small call runs at once; a large one is in flight when its buffer goes.
  it.each([
    ["small", 5, 3],
    ["large", 1024, 512],
  ])("transferred during a %s call rejects the promise at its end", async (_, tk, tq) => {
    const keys = tensor([8, tk, 64]);
    const mine = tensor([8, tk, 64]);
    const promise = attention(tensor([8, tq, 64]), keys, mine);
    take(mine);
    expect(await rejected(promise)).toEqual(
      new TypeError('"value.data" expected memory that has not been transferred, got a detached buffer'),
    );
  });

  it("transferred after an abort leaves the signal's reason", async () => {
    const controller = new AbortController();
    const mine = tensor([8, 1024, 64]);
    const reason = new Error("enough");
    const promise = attention(tensor([8, 512, 64]), tensor([8, 1024, 64]), mine, { signal: controller.signal });
    controller.abort(reason);
    take(mine);
    expect(await rejected(promise)).toBe(reason);
  });
});

describe("A backend", () => {
  afterEach(() => {
    vi.unstubAllEnvs();
    vi.doUnmock("../src/native.js");
    vi.restoreAllMocks();
    vi.resetModules();
  });

  it("of an unknown name is an error of the first call, not of the import", async () => {
    vi.resetModules();
    vi.stubEnv("XATTN_BACKEND", "sse2");
    const fresh = await import("../src/index.js");
    const names = fresh.backends.map((name) => `"${name}"`).join(", ");
    const error = thrown(() => fresh.attentionSync(query, key, value));
    expect(error).toBeInstanceOf(RangeError);
    expect((error as Error).message).toMatch(`"XATTN_BACKEND" expected one of ${names}, got "sse2"`);
    expect(await rejected(fresh.attention(query, key, value))).toEqual(error);
  });

  it("asked for by name is the one that runs, and explain says so", async () => {
    vi.resetModules();
    vi.stubEnv("XATTN_BACKEND", "js");
    const { backends, explain } = await import("../src/index.js");
    const { backend, reasons } = explain(query, key, value);
    expect(backend).toBe("js");
    const faster = backends.slice(0, -1).join(", ");
    if (faster) expect(reasons).toContain(`"js" was asked for (XATTN_BACKEND); faster here: ${faster}`);
  });

  it("that cannot be loaded gives one warning with the remedy, and explain repeats it", async () => {
    vi.resetModules();
    vi.stubEnv("XATTN_BACKEND", "");
    const failure = loadFailure(new Error("no such file"));
    vi.doMock("../src/native.js", () => ({ nativeBackends: () => [], loadError: () => failure }));
    const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    const fresh = await import("../src/index.js");
    expect(fresh.backends).toEqual(["js"]);
    expect(warn).not.toHaveBeenCalled();
    fresh.attentionSync(query, key, value);
    await fresh.attention(query, key, value);
    const remedy = 'with a C++ compiler and Python installed, run "npx xattn build"';
    const why = `the native addon could not be loaded (no such file); to build it, ${remedy}`;
    expect(warn.mock.calls.map(([message]) => message)).toEqual([
      `xattn uses its "js" backend, which is many times slower: ${why}`,
    ]);
    expect(fresh.explain(query, key, value)).toMatchObject({ backend: "js", reasons: [why] });
  });
});
