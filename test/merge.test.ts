import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { attentionSync, merge } from "../src/index.js";
import { allowedOf, calls, expectNear, POINTWISE, range, shard } from "./calls.js";
import { type Case, makeCase, OPTIONS } from "./cases.js";
import { expectSameBits } from "./compare.js";
import { Random } from "./random.js";
import { arrange, type FloatType, type Layout, numbersOf, scattered, type Tensor } from "./tensors.js";

fc.configureGlobal({ seed: 1, numRuns: 60 });

function run({ query, key, value, options }: Case) {
  return attentionSync(query, key, value, { ...options, lse: true });
}

/** The call over consecutive ranges of its keys that end at `ends`. */
function split(call: Case, ends: number[]) {
  const bounds = [0, ...ends, call.key.dims[2]].sort((a, b) => a - b);
  return range(1, bounds.length).map((n) => run(shard(call, bounds[n - 1], bounds[n])));
}

const POSITIONAL = ["a causal offset into the keys", "alibi and causal offsets", "a wide causal window", "key lengths"];

/** A call, and parts of it, of which some may be empty. */
const splits = fc
  .tuple(calls(...POINTWISE, ...POSITIONAL), fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 4 }))
  .map(([call, shares]) => ({
    call,
    parts: split(
      call,
      shares.map((share) => Math.round(share * call.key.dims[2])),
    ),
  }));

describe("Parts", () => {
  test("of any split of the keys merge to the whole, empty ones included", () => {
    fc.assert(
      fc.property(splits, ({ call, parts }) => {
        const whole = run(call);
        const { output, lse } = merge(parts);
        expect([output.dims, lse.dims, output.type]).toEqual([whole.output.dims, whole.lse.dims, whole.output.type]);
        const allowed = allowedOf(call, whole.lse.data);
        expectNear(lse.data, whole.lse.data, allowed, call);
        expectNear(output.data, whole.output.data, allowed, call);
      }),
    );
  });

  test("merge to within 1e-6 of the whole on data of unit variance", () => {
    const call = makeCase({ heads: 4, kvHeads: 2, tq: 33, tk: 1500, d: 64, dv: 40 });
    const whole = run(call);
    for (const ends of [[], [700], [1, 2, 800, 1499], range(1, 1500)]) {
      const { output, lse } = merge(split(call, ends));
      expectNear(output.data, whole.output.data, 1e-6, call);
      expectNear(lse.data, whole.lse.data, 1e-6 * Math.max(...whole.lse.data), call);
    }
  });

  test("give the same in any order and in any steps", () => {
    fc.assert(
      fc.property(splits, fc.integer(), ({ call, parts }, seed) => {
        const whole = merge(parts);
        const [first, ...rest] = new Random(seed).shuffle(parts);
        const stepwise = rest.reduce((merged, part) => merge([part, merged]), merge([first]));
        const [lse, value] = [whole.lse.data, call.value.data as Float32Array].map((data) =>
          data.reduce((most, x) => (Number.isFinite(x) ? Math.max(most, Math.abs(x)) : most), 0),
        );
        // What merge() states: by the error of the lse, and one rounding for each step.
        const allowed = 2 ** -23 * lse * value + parts.length * 2 ** -24 * value;
        expectNear(stepwise.output.data, whole.output.data, allowed, call);
        expectNear(stepwise.lse.data, whole.lse.data, parts.length * 2 ** -24 * lse, call);
        expectNear(merge([first, ...rest]).output.data, whole.output.data, 2 ** -24 * value, call);
      }),
    );
  });

  test("that are one come back with their bits, in memory of their own", () => {
    for (const type of ["float32", "float16", "bfloat16"] as const) {
      const part = run(makeCase({ batch: 2, tq: 5, tk: 9 }, OPTIONS["key lengths"], [type, type, type]));
      const merged = merge([part]);
      expectSameBits(merged.output, part.output);
      expectSameBits(merged.lse, part.lse);
      expect(merged.output.data.buffer).not.toBe(part.output.data.buffer);
    }
  });

  test("may have sinks, in one of them", () => {
    const call = makeCase({ heads: 3, tq: 7, tk: 50 }, OPTIONS.sinks);
    const [low, high] = [shard(call, 0, 20), shard(call, 20, 50)];
    const whole = run(call);
    const { output, lse } = merge([run({ ...low, options: {} }), run(high)]);
    expectNear(lse.data, whole.lse.data, 1e-6, call);
    expectNear(output.data, whole.output.data, 1e-6, call);
  });

  test("without tokens, heads or columns merge to as much", () => {
    for (const sizes of [{ tq: 0 }, { batch: 0 }, { dv: 0 }]) {
      const part = run(makeCase({ tq: 2, tk: 3, ...sizes }));
      expect(merge([part, part]).output).toEqual(part.output);
    }
  });
});

describe("Layouts", () => {
  const types: FloatType[] = ["float32", "float16", "bfloat16"];
  const cases = (
    [
      ["bhtd", 2],
      ["bhtd", 3],
      ["bhtd", 4],
      ["bthd", 2],
      ["bthd", 3],
      ["bthd", 4],
      ["heads", 2],
      ["heads", 3],
    ] as [Layout, number][]
  ).flatMap(([layout, rank]) => types.map((type) => [type, rank, layout] as const));

  test.each(cases)("of %s and rank %i merge: %s", (type, rank, layout) => {
    const batch = rank === 4 || (layout === "heads" && rank === 3) ? 2 : 1;
    const heads = rank === 2 && layout !== "heads" ? 1 : 3;
    const call = makeCase({ batch, heads, tq: 4, tk: 21, d: 8, dv: 5 }, undefined, [type, "float32", "float32"]);
    const place = (operand: Tensor) => arrange(operand, layout, rank);
    const options = layout === "heads" ? { heads } : { layout };
    const attend = ({ query, key, value }: Case) =>
      attentionSync(place(query), place(key), place(value), { ...options, lse: true });
    const whole = attend(call);
    const merged = merge([attend(shard(call, 0, 8)), attend(shard(call, 8, 21))], options);
    expect(merged.lse.dims).toEqual(whole.lse.dims);
    expect(merged.output.dims).toEqual(whole.output.dims);
    expect(merged.output.data.constructor).toBe(whole.output.data.constructor);
    // Parts and whole are rounded to the type: half an ulp each, of numbers below 4.
    const rounding = { float32: 0, float16: 2 ** -9, bfloat16: 2 ** -6 }[type];
    expectNear(numbersOf(merged.output), numbersOf(whole.output), 1e-6 + rounding, call);
    expectNear(merged.lse.data, whole.lse.data, 1e-6, call);
  });

  test("of views are read where their strides say", () => {
    const random = new Random(3);
    const call = makeCase({ batch: 2, heads: 3, tq: 4, tk: 21, d: 8, dv: 5 });
    const parts = split(call, [8]);
    const views = parts.map(({ output, lse }) => ({
      output: scattered(output as Tensor, random),
      lse: scattered(lse, random),
    }));
    expectSameBits(merge(views).output, merge(parts).output);
    expectSameBits(merge(views).lse, merge(parts).lse);
  });
});

describe("Rows", () => {
  const part = (output: number, lse: number) => ({
    output: { data: Float32Array.of(output), dims: [1, 1] },
    lse: { data: Float32Array.of(lse), dims: [1] },
  });
  const merged = (...rows: [number, number][]) => {
    const { output, lse } = merge(rows.map(([output, lse]) => part(output, lse)));
    return [output.data[0], lse.data[0]];
  };

  test("that no part has keys for are 0, and an empty part is never read", () => {
    expect(merged([NaN, -Infinity], [7, -Infinity])).toEqual([0, -Infinity]);
    expect(merged([NaN, -Infinity], [3, -2])).toEqual([3, -2]);
  });

  test("with an lse that is NaN or Infinity are NaN", () => {
    expect(merged([1, NaN], [3, 0])).toEqual([NaN, NaN]);
    expect(merged([1, Infinity], [3, 0])).toEqual([NaN, NaN]);
    expect(merged([1, Infinity], [3, -Infinity])).toEqual([NaN, NaN]);
  });

  test("with NaN in an output are NaN, however small its share", () => {
    expect(merged([NaN, -1e4], [3, 0])).toEqual([NaN, 0]);
  });

  test("of any size neither overflow nor vanish", () => {
    expect(merged([2, 3e38], [4, 3e38])).toEqual([3, Math.fround(3e38)]);
    expect(merged([2, -3e38], [4, -3e38])).toEqual([3, -Math.fround(3e38)]);
    expect(merged([3e38, 0], [3e38, 0])[0]).toBe(Math.fround(3e38));
  });
});

describe("A wrong call", () => {
  const tensor = (...dims: number[]) => ({ data: new Float32Array(dims.reduce((a, b) => a * b)), dims });
  const part = { output: tensor(2, 3, 4), lse: tensor(2, 3) };
  const half = { data: new Uint16Array(24), dims: [2, 3, 4], type: "float16" };
  const detached = new Float32Array(24);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });

  const rows: [string, typeof TypeError | typeof RangeError, string, unknown[]][] = [
    ["no array of parts", TypeError, '"parts" expected an array of { output, lse }, got an object', [part]],
    ["no parts", RangeError, '"parts.length" expected at least 1, got 0', [[]]],
    ["a part that is none", TypeError, '"parts[1]" expected { output, lse }, got undefined', [[part, undefined]]],
    [
      "a hole",
      TypeError,
      '"parts[0]" expected { output, lse }, got undefined',
      [Object.assign(new Array(2), { 1: part })],
    ],
    [
      "a part without lse",
      TypeError,
      '"parts[1].lse" expected a tensor (of a call with lse: true), got undefined',
      [[part, { output: part.output }]],
    ],
    [
      "a part without output",
      TypeError,
      '"parts[0].output" expected a tensor { data, dims }, got undefined',
      [[{ lse: part.lse }]],
    ],
    [
      "other dims",
      RangeError,
      '"parts[1].output.dims" expected [2, 3, 4] (dims of "parts[0].output"), got [2, 4, 3]',
      [[part, { ...part, output: tensor(2, 4, 3) }]],
    ],
    [
      "an lse of other dims",
      RangeError,
      '"parts[0].lse.dims" expected [2, 3] (of "parts[0].output"), got [3, 2]',
      [[{ ...part, lse: tensor(3, 2) }]],
    ],
    [
      "an lse of another type",
      TypeError,
      '"parts[0].lse.type" expected "float32", got "float16"',
      [[{ ...part, lse: half }]],
    ],
    [
      "outputs of two types",
      RangeError,
      '"parts[1].output.type" expected "float32" (type of "parts[0].output"), got "float16"',
      [[part, { ...part, output: half }]],
    ],
    [
      "a rank that no output has",
      RangeError,
      '"parts[0].output.dims" expected [tq, dv] or [heads, tq, dv] or [batch, heads, tq, dv], got [4]',
      [[{ ...part, output: tensor(4) }]],
    ],
    [
      "heads that do not divide the columns",
      RangeError,
      '"parts[0].output.dims[2]" expected a multiple of 3 (heads), got 4',
      [[part], { heads: 3 }],
    ],
    [
      "an option of attention()",
      TypeError,
      '"options.scale" expected a known option (one of "layout", "heads"), got "scale"',
      [[part], { scale: 1 }],
    ],
    ["an unknown layout", RangeError, '"layout" expected "bhtd" or "bthd", got "bsnh"', [[part], { layout: "bsnh" }]],
    [
      "memory that is gone",
      TypeError,
      '"parts[0].output.data" expected memory that has not been transferred, got a detached buffer',
      [[{ ...part, output: { data: detached, dims: [2, 3, 4] } }]],
    ],
    [
      "memory that goes while the call is checked",
      TypeError,
      '"parts[0].output.data" expected memory that has not been transferred, got a detached buffer',
      [[vanishing()]],
    ],
  ];

  /** Its output's buffer is transferred when the lse is asked for its dims. */
  function vanishing() {
    const output = tensor(2, 3, 4);
    return {
      output,
      lse: {
        data: new Float32Array(6),
        get dims() {
          structuredClone(output.data.buffer, { transfer: [output.data.buffer as ArrayBuffer] });
          return [2, 3];
        },
      },
    };
  }

  test.each(rows)("is refused: %s", (_, kind, message, args) => {
    const call = () => (merge as (...args: unknown[]) => unknown)(...args);
    expect(call).toThrow(message);
    expect(call).toThrow(kind);
  });
});

test("the example merges what four worker threads find in one set of keys", () => {
  const main = fileURLToPath(new URL("../examples/shards/main.mjs", import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [main], { encoding: "utf8", timeout: 30_000 });
  expect([status, stderr]).toEqual([0, ""]);
  const [, workers, difference] = /(\d+) workers.* differs by at most (\S+)\n/.exec(stdout) ?? [];
  expect(workers).toBe("4");
  expect(Number(difference)).toBeLessThan(1e-6);
});
