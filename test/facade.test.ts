import { describe, expect, it } from "vitest";
import { attention, attentionSync, backends, explain, type TensorLike } from "../src/index.js";
import { expectClose, filled } from "./filled.js";

describe("Masks", () => {
  const query = filled([2, 2, 3, 8]);
  const key = filled([2, 2, 4, 8], 2);
  const lower = [1, 0, 1, 1];
  const masked = attentionSync(query, key, key, { mask: { data: Uint8Array.from(lower), dims: [4] } }).output.data;

  it.each<[string, TensorLike]>([
    ["bytes tagged bool", { data: Uint8Array.from(lower), dims: [4], type: "bool" }],
    ["bytes tagged uint8, any nonzero", { data: Uint8Array.of(7, 0, 255, 1), dims: [4], type: "uint8" }],
    ["booleans tagged bool", { data: lower.map(Boolean), dims: [4], type: "bool" }],
    ["floats of -Infinity", { data: Float32Array.of(0, -Infinity, 0, 0), dims: [4] }],
    ["float16", { data: Uint16Array.of(0, 0xfc00, 0, 0), dims: [4], dtype: "float16" }],
    ["bfloat16", { data: Uint16Array.of(0, 0xff80, 0, 0), dims: [4], type: "bfloat16" }],
    ["ones in front", { data: Uint8Array.from(lower), shape: [1, 1, 1, 4] }],
    ["every query", { data: Uint8Array.of(...lower, ...lower, ...lower), dims: [3, 4] }],
    ["strides", { data: Uint8Array.of(1, 9, 0, 9, 1, 9, 1), dims: [3, 4], strides: [0, 2] }],
  ])("take a key away in any form: %s", (_, mask) => {
    expectClose(attentionSync(query, key, key, { mask }).output.data, masked);
  });

  it("of one number are for all", () => {
    const { output } = attentionSync(query, key, key, { mask: { data: Uint8Array.of(0), dims: [] } });
    expect(new Set(output.data)).toEqual(new Set([0]));
  });

  it("count dimensions from the right: heads, then batch", () => {
    const open = attentionSync(query, key, key).output.data;
    const head = attentionSync(query, key, key, { mask: { data: Uint8Array.of(1, 0), dims: [2, 1, 1] } }).output.data;
    const batch = attentionSync(query, key, key, { mask: { data: Uint8Array.of(1, 0), dims: [2, 1, 1, 1] } }).output
      .data;
    expectClose(
      head,
      open.map((x, i) => (Math.floor(i / 24) % 2 ? 0 : x)),
    );
    expectClose(
      batch,
      open.map((x, i) => (i < 48 ? x : 0)),
    );
  });

  it("may be key lengths, in any kind of integers", () => {
    const padding = Uint8Array.of(1, 1, 1, 0, 1, 1, 0, 0);
    const { output } = attentionSync(query, key, key, { mask: { data: padding, dims: [2, 1, 1, 4] } });
    for (const keyLengths of [[3, 2], Int32Array.of(3, 2), BigInt64Array.of(3n, 2n)]) {
      expectClose(attentionSync(query, key, key, { keyLengths }).output.data, output.data);
    }
  });

  it("may be causal from either corner, or from an offset", () => {
    const see = (mask: number[]) =>
      attentionSync(query, key, key, { mask: { data: Uint8Array.from(mask), dims: [3, 4] } });
    const topLeft = see([1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0]).output.data;
    const bottomRight = see([1, 1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 1]).output.data;
    expectClose(attentionSync(query, key, key, { causal: "top-left" }).output.data, topLeft);
    expectClose(attentionSync(query, key, key, { causal: { offset: 0 } }).output.data, topLeft);
    expectClose(attentionSync(query, key, key, { causal: "bottom-right" }).output.data, bottomRight);
    const { output } = attentionSync(query, key, key, { causal: { offset: [0, 1] } });
    expectClose(output.data, Float32Array.of(...topLeft.slice(0, 48), ...bottomRight.slice(48)));
    const ended = attentionSync(query, key, key, { causal: "bottom-right", keyLengths: [3, 4] });
    expectClose(ended.output.data, output.data);
  });
});

describe("Empty dimensions", () => {
  it.each([
    ["no queries", [2, 0, 8], [2, 5, 8], [2, 5, 6], [2, 0, 6]],
    ["no columns in the values", [2, 3, 8], [2, 5, 8], [2, 5, 0], [2, 3, 0]],
    ["no heads", [0, 3, 8], [0, 5, 8], [0, 5, 6], [0, 3, 6]],
    ["no batch", [0, 2, 3, 8], [1, 2, 5, 8], [1, 2, 5, 6], [0, 2, 3, 6]],
  ])("give an empty output: %s", async (_, q, k, v, dims) => {
    const { output } = await attention(filled(q), filled(k), filled(v));
    expect(output).toEqual({ data: new Float32Array(0), dims, type: "float32" });
  });

  it("of the keys give zeros, an lse of -Infinity or the sink, and no weights", async () => {
    const [query, key, value] = [filled([2, 3, 8]), filled([2, 0, 8]), filled([2, 0, 6])];
    const out = new Float32Array(36).fill(NaN);
    const result = await attention(query, key, value, { out, lse: true, weights: true, sinks: [1, -Infinity] });
    expect(result).toEqual({
      output: { data: new Float32Array(36), dims: [2, 3, 6], type: "float32" },
      lse: { data: Float32Array.of(1, 1, 1, -Infinity, -Infinity, -Infinity), dims: [2, 3], type: "float32" },
      weights: { data: new Float32Array(0), dims: [2, 3, 0], type: "float32" },
    });
    expect(attentionSync(query, key, value, { lse: true }).lse.data).toEqual(new Float32Array(6).fill(-Infinity));
  });

  it("of the values leave lse and weights as they are", () => {
    const [query, key, none] = [filled([2, 3, 8]), filled([2, 5, 8], 2), filled([2, 5, 0])];
    const { lse, weights } = attentionSync(query, key, none, { lse: true, weights: true });
    const whole = attentionSync(query, key, key, { lse: true, weights: true });
    expectClose(lse.data, whole.lse.data);
    expectClose(weights.data, whole.weights.data);
  });
});

describe("Results", () => {
  const query = filled([2, 3, 8]);
  const key = filled([2, 5, 8], 2);

  it("hold what was asked for and nothing else", async () => {
    expect(Object.keys(await attention(query, key, key))).toEqual(["output"]);
    expect(Object.keys(attentionSync(query, key, key, { weights: true, lse: false }))).toEqual(["output", "weights"]);
  });

  it("go to out, which is the output's data", async () => {
    const wanted = attentionSync(query, key, key).output.data;
    const out = new Float32Array(48);
    expect(attentionSync(query, key, key, { out }).output.data).toBe(out);
    expectClose(out, wanted);
    out.fill(0);
    expect((await attention(query, key, key, { out })).output.data).toBe(out);
    expectClose(out, wanted);
  });
});

describe("backends and explain", () => {
  const query = filled([2, 3, 8]);

  it("list names, js last", () => {
    expect(Array.isArray(backends)).toBe(true);
    expect(backends.at(-1)).toBe("js");
    expect(new Set(backends).size).toBe(backends.length);
  });

  it("tell how a call would run, with a backend of the list", () => {
    const { backend, kernel, threads, inline, reasons } = explain(query, query, query, { lse: true, weights: true });
    expect(backends).toContain(backend);
    expect(kernel).toMatch(/./);
    expect(threads).toBeGreaterThanOrEqual(1);
    expect(typeof inline).toBe("boolean");
    expect(Array.isArray(reasons)).toBe(true);
  });

  it("say that rows with gaps are copied, and that there is nothing to do", () => {
    const gappy = { data: new Float32Array(96), dims: [2, 3, 8], strides: [48, 16, 2] };
    expect(explain(query, gappy, query).reasons).toContain(
      '"key" is copied first: the stride of its last dimension is not 1',
    );
    expect(explain(query, filled([2, 0, 8]), filled([2, 0, 8])).kernel).toBe("none");
  });
});
