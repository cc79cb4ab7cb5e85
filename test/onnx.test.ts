// The backend tests of ONNX for its operator Attention: all of them can be said with the options of xattn.
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { attentionSync } from "../src/index.js";
import { readSafetensors } from "../src/safetensors.js";
import { type Attributes, type CallOptions, matmulOutput, type Stored, toCall, unfold } from "./onnx.js";
import { numbersOf } from "./tensors.js";

const folder = new URL("../../shared/conformance/onnx-attention/", import.meta.url);
const isThere = existsSync(folder);
if (!isThere) console.warn("The ONNX cases are skipped: ../shared/conformance/onnx-attention is not there.");

interface Entry {
  name: string;
  file: string;
  attributes: Attributes;
  inputs: Record<string, unknown>;
}

const entries: Entry[] = isThere ? JSON.parse(readFileSync(new URL("index.json", folder), "utf8")).cases : [];

// ONNX's own for float32. Its half outputs were computed in half precision.
const TOLERANCES: Record<string, { rtol: number; atol: number }> = {
  float32: { rtol: 1e-3, atol: 1e-7 },
  float16: { rtol: 2e-3, atol: 1e-3 },
  bfloat16: { rtol: 1.6e-2, atol: 8e-3 },
};

function expectWithin(type: string, got: ArrayLike<number>, wanted: Float64Array): void {
  const { rtol, atol } = TOLERANCES[type];
  expect(got.length).toBe(wanted.length);
  for (const [at, x] of wanted.entries()) {
    if (got[at] !== x) expect(Math.abs(got[at] - x), `[${at}] of ${x}`).toBeLessThanOrEqual(atol + rtol * Math.abs(x));
  }
}

describe.skipIf(!isThere)("ONNX", () => {
  test("has 57 cases", () => {
    expect(entries.length).toBe(57);
  });

  test.each(entries)("$name gives what ONNX expects", async ({ file, attributes, inputs }) => {
    const tensors = Object.fromEntries(await readSafetensors(new URL(file, folder))) as Record<string, Stored>;
    const given = Object.fromEntries(Object.keys(inputs).map((name) => [name, tensors[name]]));
    const { query, key, value, options } = toCall(given, attributes);
    const { output } = attentionSync(query, key, value, options);
    const { Y, present_key, present_value, qk_matmul_output } = tensors;
    expect(output.dims).toEqual(Y.dims);
    expect(output.type).toBe(Y.type);
    expectWithin(Y.type, numbersOf(output), numbersOf(Y));

    if (present_key !== undefined) {
      expect(unfold(key, attributes.kv_num_heads)).toEqual(present_key);
      expect(unfold(value, attributes.kv_num_heads)).toEqual(present_value);
    }
    if (qk_matmul_output !== undefined) {
      const run = (stage: CallOptions) => {
        const { lse, weights } = attentionSync(query, key, value, { ...stage, lse: true, weights: true });
        return { lse: lse.data, weights: weights.data };
      };
      const scores = matmulOutput(attributes.qk_matmul_output_mode ?? 0, options, run);
      expectWithin(qk_matmul_output.type, scores, numbersOf(qk_matmul_output));
    }
  });
});
