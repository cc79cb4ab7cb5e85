import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import type { Activation, WeightType } from "../src/blocks/index.js";
import { Conv1d, Linear } from "../src/blocks/index.js";
import {
  activations,
  conv1d,
  inSteps,
  linear,
  nearestBfloat16,
  nearestInt8,
  STEPS,
  type Sums,
} from "./blocks-oracle.js";
import { bytesOf } from "./compare.js";
import { Random } from "./random.js";
import { type FloatType, normal, numbersOf, type Tensor, tensor } from "./tensors.js";

const U = 2 ** -24;
const TYPES: WeightType[] = ["float32", "bfloat16", "int8", "int8-dynamic"];
const ACTIVATIONS = Object.keys(activations) as Activation[];

/** Unit-normal x and bias; weights such that outputs are of about unit variance. */
function makeLinear(rows: number, inputs: number, outputs: number, type: FloatType = "float32") {
  const random = new Random(rows * 7919 + inputs * 104729 + outputs);
  const x = normal(random, [rows, inputs]).data as Float32Array;
  const factor = 1 / Math.sqrt(inputs);
  const weight = tensor(
    normal(random, [outputs, inputs]).data.map((w) => w * factor),
    [outputs, inputs],
    type,
  );
  return { x, weight, bias: normal(random, [outputs]) };
}

function rounded(weight: Tensor, type: WeightType): Float64Array {
  const numbers = numbersOf(weight);
  if (type === "float32") return numbers;
  if (type === "bfloat16") return numbers.map(nearestBfloat16);
  const inputs = weight.dims[1];
  const rows = Array.from({ length: weight.dims[0] }, (_, r) => numbers.slice(r * inputs, (r + 1) * inputs));
  return Float64Array.from(rows.flatMap((row) => nearestInt8([...row])));
}

/** What a layer of a type takes x for. */
function taken(x: Float32Array, inputs: number, type: WeightType): Float64Array {
  const steps = STEPS[type];
  if (steps === undefined) return Float64Array.from(x);
  const rows = Array.from({ length: x.length / inputs }, (_, r) => x.slice(r * inputs, (r + 1) * inputs));
  return Float64Array.from(rows.flatMap((row) => inSteps([...row], steps)));
}

/**
 * The roundings of K products are independent: they grow with sqrt(K) times the largest partial sum, and twice that
 * leaves room for the worst of many outputs. int8 multiplies once more.
 */
function tolerance(magnitude: number, inputs: number): number {
  return U * (2 * Math.sqrt(inputs) + 8) * magnitude;
}

function expectClose(actual: Float32Array, expected: Sums, inputs: number): void {
  expect(actual.length).toBe(expected.values.length);
  expected.values.forEach((value, at) => {
    const limit = tolerance(expected.magnitudes[at], inputs);
    if (!(Math.abs(actual[at] - value) <= limit))
      expect.fail(`[${at}] expected ${value} +- ${limit}, got ${actual[at]}`);
  });
}

/** Of a gated layer: what rounds in both halves, and the activation with slopes of up to 1.13 and 4 U of its own. */
function finished({ values, magnitudes }: Sums, rows: number, activation: Activation, gated: boolean, inputs: number) {
  const width = values.length / rows;
  const outputs = gated ? width / 2 : width;
  const expected: { value: number; limit: number }[] = [];
  for (let r = 0; r < rows; r++) {
    for (let o = 0; o < outputs; o++) {
      const main = r * width + o;
      const gate = gated ? main + outputs : main;
      const active = activations[activation](values[gate]);
      const error = 1.13 * tolerance(magnitudes[gate], inputs) + 8 * U * Math.abs(values[gate]);
      if (!gated) expected.push({ value: active, limit: error });
      else {
        const limit = error * Math.abs(values[main]) + tolerance(magnitudes[main], inputs) * (Math.abs(active) + error);
        expected.push({ value: active * values[main], limit: limit + U * Math.abs(active * values[main]) });
      }
    }
  }
  return expected;
}

const ROWS = [1, 2, 3, 5, 6, 7, 11, 12, 13, 25, 65];
const INPUTS = [1, 2, 3, 8, 15, 16, 17, 64, 127, 257, 520];
const OUTPUTS = [1, 3, 8, 16, 31, 32, 33, 64, 65, 129, 200];

describe("sizes", () => {
  test.each(ROWS)("%i rows agree with the oracle at any number of inputs and outputs", (rows) => {
    for (const inputs of INPUTS) {
      const outputs = OUTPUTS[(INPUTS.indexOf(inputs) + ROWS.indexOf(rows)) % OUTPUTS.length];
      const { x, weight, bias } = makeLinear(rows, inputs, outputs);
      const expected = linear(x, weight.data, bias.data, { rows, inputs, outputs });
      expectClose(new Linear(weight, bias).applySync(x), expected, inputs);
    }
  });

  test.each(OUTPUTS)("%i outputs agree with the oracle for one row and for many", (outputs) => {
    for (const inputs of [5, 64, 300]) {
      for (const rows of [1, 14]) {
        const { x, weight } = makeLinear(rows, inputs, outputs);
        const expected = linear(x, weight.data, undefined, { rows, inputs, outputs });
        expectClose(new Linear(weight).applySync(x), expected, inputs);
      }
    }
  });

  test("no rows give no rows", async () => {
    const { weight } = makeLinear(1, 4, 3);
    expect(new Linear(weight).applySync(new Float32Array(0)).length).toBe(0);
    expect((await new Linear(weight).apply(new Float32Array(0))).length).toBe(0);
  });
});

describe("weights", () => {
  test.each(TYPES)("of type %s agree with the oracle on weights rounded alike", (type) => {
    for (const [rows, inputs, outputs] of [
      [1, 64, 40],
      [1, 67, 200],
      [4, 33, 65],
      [30, 301, 130],
      [70, 600, 33],
    ]) {
      const { x, weight, bias } = makeLinear(rows, inputs, outputs);
      const expected = linear(taken(x, inputs, type), rounded(weight, type), bias.data, { rows, inputs, outputs });
      const layer = new Linear(weight, bias, { type });
      expect(layer).toMatchObject({ inputs, outputs, type });
      expectClose(layer.applySync(x), expected, inputs);
    }
  });

  test.each(["float16", "bfloat16"] as const)("may be given as %s tensors", (type) => {
    const { x, weight, bias } = makeLinear(3, 20, 7, type);
    const expected = linear(x, numbersOf(weight), bias.data, { rows: 3, inputs: 20, outputs: 7 });
    expectClose(new Linear(weight, bias).applySync(x), expected, 20);
  });

  test("may be given as a transposed view", () => {
    const { x, weight } = makeLinear(3, 20, 7);
    const turned = Float32Array.from({ length: 140 }, (_, at) => weight.data[(at % 7) * 20 + Math.floor(at / 7)]);
    const view = { data: turned, dims: [7, 20], strides: [1, 7] };
    expect(new Linear(view).applySync(x)).toEqual(new Linear(weight).applySync(x));
  });

  test.each(TYPES)("of type %s are the layer's own once it is made", (type) => {
    const { x, weight, bias } = makeLinear(2, 16, 8);
    const layer = new Linear(weight, bias, { type });
    const before = layer.applySync(x);
    weight.data.fill(1);
    bias.data.fill(1);
    expect(layer.applySync(x)).toEqual(before);
  });

  test("of zeros give the bias in int8 too", () => {
    const weight = tensor(new Float32Array(15), [3, 5]);
    const layer = new Linear(weight, tensor([1, 2, 3], [3]), { type: "int8" });
    expect([...layer.applySync(new Float32Array(5).fill(9))]).toEqual([1, 2, 3]);
  });
});

describe.each(["int8", "int8-dynamic"] as const)("%s", (type) => {
  test("gives NaN for a row with NaN or an infinity, and leaves the others alone", () => {
    const { x, weight, bias } = makeLinear(4, 70, 9);
    const layer = new Linear(weight, bias, { type });
    const before = layer.applySync(x);
    x[70 + 3] = NaN;
    x[2 * 70 + 69] = -Infinity;
    const after = layer.applySync(x);
    for (const row of [0, 3]) expect(after.slice(row * 9, row * 9 + 9)).toEqual(before.slice(row * 9, row * 9 + 9));
    expect(after.slice(9, 27).every(Number.isNaN)).toBe(true);
  });

  test("of zeros gives the bias", () => {
    const { weight, bias } = makeLinear(1, 70, 9);
    const layer = new Linear(weight, bias, { type });
    expect(layer.applySync(new Float32Array(70))).toEqual(bias.data);
  });

  test.each([511, 512, 513, 516, 517, 1100])("holds the largest sums of %i inputs", (inputs) => {
    for (const rows of [1, 7]) {
      const layer = new Linear(tensor(new Float32Array(inputs).fill(1), [1, inputs]), undefined, { type });
      for (const y of layer.applySync(new Float32Array(rows * inputs).fill(-1))) expect(y).toBeCloseTo(-inputs, 2);
    }
  });

  // With 16 bits, all but the first are the step of 1 * 256 - 128.
  test("holds the sum of the most inputs that it takes, and refuses more", () => {
    const most = 132_104; // 127 * 128 * most < 2^31
    const layer = new Linear(tensor(new Float32Array(most).fill(1), [1, most]), undefined, { type });
    for (const x of [-1, 1, -128 / 32639, 128 / 32639]) {
      const row = new Float32Array(most).fill(x);
      row[0] = 1;
      const sum = 1 + (most - 1) * (type === "int8-dynamic" && Math.abs(x) < 1 ? 0 : x);
      expect(Math.abs(layer.applySync(row)[0] / sum - 1)).toBeLessThan(1e-4);
    }
    const wide = tensor(new Float32Array(most + 1), [1, most + 1]);
    expect(() => new Linear(wide, undefined, { type })).toThrow(
      new RangeError(`"weight" expected at most ${most} inputs (for ${type}), got ${most + 1}`),
    );
  });
});

test("int8 takes each step of 16 bits for what it is", () => {
  const steps = Array.from({ length: 2 * 32639 + 1 }, (_, i) => i - 32639);
  const layer = new Linear(tensor([127, 0], [1, 2]), undefined, { type: "int8" });
  const y = layer.applySync(Float32Array.from(steps.flatMap((step) => [step, 32639])));
  steps.forEach((step, row) => {
    if (y[row] !== 127 * step) expect.fail(`of ${step}: expected ${127 * step}, got ${y[row]}`);
  });
});

describe("activations", () => {
  const kinds = ACTIVATIONS.flatMap((activation) => [false, true].map((gated) => ({ activation, gated })));

  test.each(kinds)("$activation with gated $gated agrees with the oracle", ({ activation, gated }) => {
    for (const type of TYPES) {
      for (const [rows, inputs, outputs] of [
        [1, 32, 40],
        [9, 65, 66],
        [26, 130, 300],
      ]) {
        const { x, weight, bias } = makeLinear(rows, inputs, outputs);
        const sums = linear(taken(x, inputs, type), rounded(weight, type), bias.data, { rows, inputs, outputs });
        const y = new Linear(weight, bias, { type, activation, gated }).applySync(x);
        finished(sums, rows, activation, gated, inputs).forEach(({ value, limit }, at) => {
          if (!(Math.abs(y[at] - value) <= limit)) expect.fail(`[${at}] expected ${value} +- ${limit}, got ${y[at]}`);
        });
      }
    }
  });

  test.each(ACTIVATIONS)("%s is right from far below zero to far above", (activation) => {
    const x = Float32Array.from({ length: 4001 }, (_, i) => (i - 2000) / 20);
    const y = new Linear(tensor([1], [1, 1]), undefined, { activation }).applySync(x);
    x.forEach((value, at) => {
      const error = Math.abs(y[at] - activations[activation](value));
      if (!(error <= 8 * U * Math.max(Math.abs(value), 1e-3))) expect.fail(`of ${value}: got ${y[at]}`);
    });
  });

  test.each(ACTIVATIONS)("%s of NaN is NaN", (activation) => {
    const y = new Linear(tensor([1], [1, 1]), undefined, { activation }).applySync(new Float32Array([NaN, 1]));
    expect(y[0]).toBeNaN();
    expect(y[1]).not.toBeNaN();
  });
});

describe("bits", () => {
  test.each(TYPES)("of a row do not depend on the other rows, the threads or the form (%s)", async (type) => {
    const [rows, inputs, outputs] = [67, 530, 300];
    const { x, weight, bias } = makeLinear(rows, inputs, outputs);
    const layer = new Linear(weight, bias, { type, activation: "gelu" });
    const whole = layer.applySync(x, { threads: 1 });
    for (const threads of [2, 7]) {
      expect(bytesOf(layer.applySync(x, { threads })).equals(bytesOf(whole))).toBe(true);
      expect(bytesOf(await layer.apply(x, { threads })).equals(bytesOf(whole))).toBe(true);
    }
    if (process.env.XATTN_BACKEND === "js") return; // its order of summation for one row is another
    for (const count of [1, 2, 5, 13]) {
      const some = layer.applySync(x.subarray(7 * inputs, (7 + count) * inputs));
      expect(bytesOf(some).equals(bytesOf(whole.slice(7 * outputs, (7 + count) * outputs)))).toBe(true);
    }
  });

  test("of int8 are the same on CPUs that do not multiply bytes", () => {
    const url = new URL("../lib/blocks/index.js", import.meta.url);
    const script = `
      import { Linear } from "${url}";
      const some = (length, seed) => Float32Array.from({ length }, (_, i) => Math.sin(i * i * 0.37 + seed));
      for (const type of ["int8", "int8-dynamic"]) {
        const layer = new Linear({ data: some(70 * 509, 1), dims: [70, 509] }, undefined, { type });
        for (const rows of [1, 7]) console.log(Buffer.from(layer.applySync(some(rows * 509, 2)).buffer).toString("hex"));
      }`;
    const [own, words] = ["", "words"].map((XATTN_INT8) => {
      const env = { ...process.env, XATTN_INT8 };
      return spawnSync(process.execPath, ["--input-type=module", "-e", script], { env, encoding: "utf8" });
    });
    expect(own.stderr).toBe("");
    expect(own.stdout.split("\n").map((line) => line.length)).toEqual([560, 7 * 560, 560, 7 * 560, 0]);
    expect(words.stdout).toBe(own.stdout);
  });
});

describe("a residual", () => {
  const sizes = [
    [1, 64, 40, false],
    [7, 65, 66, true],
    [26, 130, 300, false],
  ] as const;

  test.each(TYPES)("is added to what a layer of type %s gives, in memory of its own or the output's", async (type) => {
    for (const [rows, inputs, outputs, gated] of sizes) {
      const { x, weight, bias } = makeLinear(rows, inputs, gated ? 2 * outputs : outputs);
      const layer = new Linear(weight, bias, { type, activation: "silu", gated });
      const residual = normal(new Random(5), [rows, outputs]).data as Float32Array;
      const plain = layer.applySync(x);
      const summed = layer.applySync(x, { residual });
      plain.forEach((y, at) => {
        const sum = y + residual[at];
        expect(Math.abs(summed[at] - sum), `[${at}]`).toBeLessThanOrEqual(2 * U * Math.max(Math.abs(y), Math.abs(sum)));
      });
      const own = residual.slice();
      expect(await layer.apply(x, { residual: own, out: own })).toBe(own);
      expect(own).toEqual(summed);
    }
  });
});

describe("calls", () => {
  test("write to out and nowhere else", async () => {
    const { x, weight } = makeLinear(5, 30, 21);
    const layer = new Linear(weight);
    const memory = new Float32Array(5 * 21 + 40).fill(7);
    const out = memory.subarray(20, 20 + 5 * 21);
    expect(layer.applySync(x, { out })).toBe(out);
    expect([...out]).toEqual([...layer.applySync(x)]);
    expect(await layer.apply(x, { out })).toBe(out);
    expect(new Set([...memory.subarray(0, 20), ...memory.subarray(20 + 5 * 21)])).toEqual(new Set([7]));
  });

  test("reject with the reason of a signal that has aborted", async () => {
    const { x, weight } = makeLinear(5, 30, 21);
    const reason = new Error("enough");
    await expect(new Linear(weight).apply(x, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  test("reject with the reason of a signal that aborts while they run", async () => {
    const { x, weight } = makeLinear(2000, 1000, 1000);
    const aborting = new AbortController();
    const call = new Linear(weight).apply(x, { signal: aborting.signal });
    aborting.abort(new Error("enough"));
    await expect(call).rejects.toThrow("enough");
  });

  test("many in flight give what each gives alone", async () => {
    const { x, weight, bias } = makeLinear(40, 200, 300);
    const layer = new Linear(weight, bias);
    const alone = layer.applySync(x);
    const all = await Promise.all(Array.from({ length: 20 }, () => layer.apply(x)));
    for (const y of all) expect(bytesOf(y).equals(bytesOf(alone))).toBe(true);
  });
});

describe("convolutions", () => {
  const SIZES = [
    { length: 10, inputs: 1, outputs: 4, kernel: 3, stride: 1, padding: 0 },
    { length: 700, inputs: 1, outputs: 33, kernel: 127, stride: 64, padding: 0 },
    { length: 19, inputs: 20, outputs: 70, kernel: 7, stride: 3, padding: 0 },
    { length: 12, inputs: 5, outputs: 8, kernel: 3, stride: 2, padding: 1 },
    { length: 2, inputs: 3, outputs: 2, kernel: 5, stride: 1, padding: 4 },
    { length: 3, inputs: 2, outputs: 2, kernel: 3, stride: 5, padding: 0 },
  ];

  test.each(SIZES)("of length $length, kernel $kernel, stride $stride and padding $padding agree", async (sizes) => {
    const { length, inputs, outputs, kernel, stride, padding } = sizes;
    const random = new Random(length + kernel);
    const x = normal(random, [length, inputs]).data as Float32Array;
    const weight = normal(random, [outputs, inputs, kernel]);
    const bias = normal(random, [outputs]);
    const expected = conv1d(x, weight.data, bias.data, sizes);
    const conv = new Conv1d(weight, bias, { stride, padding });
    expect(conv).toMatchObject({ inputs, outputs, kernel, stride, padding });
    expectClose(conv.applySync(x), expected, inputs * kernel);
    expect(await conv.apply(x)).toEqual(conv.applySync(x));
  });

  test("take the options of a Linear", () => {
    const random = new Random(1);
    const [x, weight] = [normal(random, [9, 4]).data as Float32Array, normal(random, [6, 4, 3])];
    const plain = new Conv1d(weight).applySync(x);
    const relu = new Conv1d(weight, undefined, { activation: "relu" }).applySync(x);
    expect(relu).toEqual(plain.map((y) => Math.max(y, 0)));
    expect(new Conv1d(weight, undefined, { gated: true }).outputs).toBe(3);
    expect(new Conv1d(weight, undefined, { type: "int8" }).type).toBe("int8");
  });
});
