import { describe, expect, test } from "vitest";
import { Conv1d, embedding, Linear, layerNorm, Rotary, rmsNorm } from "../src/blocks/index.js";
import { tensor, transferred } from "./wrong-calls.js";

type Wrong = [what: string, kind: typeof TypeError | typeof RangeError, message: string, call: () => unknown];

// Arguments that TypeScript would refuse.
const any = (value: unknown) => value as never;
const x = (length: number) => new Float32Array(length);
const linear = () => new Linear(tensor([3, 4]));
const conv = () => new Conv1d(tensor([3, 2, 5]), undefined, { padding: 1 });
const holed = () => {
  const weight = tensor([2, 4]);
  weight.data[5] = NaN;
  return weight;
};

const layers: Wrong[] = [
  [
    "a weight that is no tensor",
    TypeError,
    '"weight" expected a tensor { data, dims }, got 3',
    () => new Linear(any(3)),
  ],
  [
    "a weight of rank 1",
    RangeError,
    '"weight.dims" expected [outputs, inputs], at least one of each, got [4]',
    () => new Linear(tensor([4])),
  ],
  [
    "a weight without rows",
    RangeError,
    '"weight.dims" expected [outputs, inputs], at least one of each, got [0, 4]',
    () => new Linear(tensor([0, 4])),
  ],
  [
    "a bias of another length",
    RangeError,
    '"bias.dims" expected [3] (one per row of "weight"), got [4]',
    () => new Linear(tensor([3, 4]), tensor([4])),
  ],
  [
    "an unknown type",
    RangeError,
    '"type" expected "float32" or "bfloat16" or "int8" or "int8-dynamic", got "int4"',
    () => new Linear(tensor([3, 4]), undefined, { type: any("int4") }),
  ],
  [
    "an activation that is no string",
    TypeError,
    '"activation" expected "none" or "relu" or "gelu" or "gelu-tanh" or "silu" or "tanh", got a function',
    () => new Linear(tensor([3, 4]), undefined, { activation: any(Math.tanh) }),
  ],
  [
    "a misspelt option",
    TypeError,
    '"options.activatoin" expected a known option (did you mean "activation"?), got "activatoin"',
    () => new Linear(tensor([3, 4]), undefined, any({ activatoin: "relu" })),
  ],
  [
    "an odd number of rows for gates",
    RangeError,
    '"weight" expected an even number of rows (hidden ones, then gates), got 3',
    () => new Linear(tensor([3, 4]), undefined, { gated: true }),
  ],
  [
    "NaN among weights for int8",
    RangeError,
    '"weight" expected finite weights (for int8; see row 1), got NaN',
    () => new Linear(holed(), undefined, { type: "int8" }),
  ],
  ["rows that are no array", TypeError, '"x" expected a Float32Array, got [1]', () => linear().applySync(any([1]))],
  [
    "a part of a row",
    RangeError,
    '"x.length" expected a multiple of 4 (inputs of "weight"), got 7',
    () => linear().applySync(x(7)),
  ],
  [
    "rows that were transferred",
    TypeError,
    '"x" expected memory that has not been transferred, got a detached buffer',
    () => linear().applySync(transferred(4)),
  ],
  [
    "an out of another length",
    RangeError,
    '"out.length" expected 6 (2 rows of 3), got 7',
    () => linear().applySync(x(8), { out: x(7) }),
  ],
  [
    "an out that overlaps x",
    RangeError,
    '"out" expected memory apart from "x", got an overlap',
    () => {
      const memory = x(8);
      return linear().applySync(memory.subarray(0, 4), { out: memory.subarray(3, 6) });
    },
  ],
  [
    "a residual of another length",
    RangeError,
    '"residual.length" expected 6 (2 rows of 3), got 7',
    () => linear().applySync(x(8), { residual: x(7) }),
  ],
  [
    "a residual that overlaps a part of out",
    RangeError,
    '"out" expected memory apart from "residual", got an overlap',
    () => {
      const memory = x(7);
      return linear().applySync(x(8), { residual: memory.subarray(0, 6), out: memory.subarray(1) });
    },
  ],
  [
    "no threads",
    RangeError,
    '"threads" expected an integer of at least 1, got 0',
    () => linear().applySync(x(4), { threads: 0 }),
  ],
  [
    "a signal for a synchronous call",
    TypeError,
    '"signal" expected nothing (applySync cannot abort), got an AbortSignal',
    () => linear().applySync(x(4), any({ signal: AbortSignal.timeout(1e6) })),
  ],
  [
    "a stride of 0",
    RangeError,
    '"stride" expected an integer of at least 1, got 0',
    () => new Conv1d(tensor([3, 2, 5]), undefined, { stride: 0 }),
  ],
  [
    "an input shorter than the kernel",
    RangeError,
    '"x.length" expected at least 6 (kernel 5, padding 1), got 4',
    () => conv().applySync(x(4)),
  ],
];

const rows: Wrong[] = [
  ["a width of 0", RangeError, '"width" expected an integer of at least 1, got 0', () => layerNorm(x(4), 0)],
  ["a row that is not whole", RangeError, '"x.length" expected a multiple of 3 (width), got 4', () => rmsNorm(x(4), 3)],
  [
    "a weight of another width",
    RangeError,
    '"weight.length" expected 4 (width), got 3',
    () => layerNorm(x(8), 4, { weight: x(3) }),
  ],
  [
    "a negative eps",
    RangeError,
    '"eps" expected a finite number of at least 0, got -1',
    () => layerNorm(x(8), 4, { eps: -1 }),
  ],
  [
    "a bias for rmsNorm",
    TypeError,
    '"options.bias" expected a known option (one of "weight", "eps", "out"), got "bias"',
    () => rmsNorm(x(8), 4, any({ bias: x(4) })),
  ],
  [
    "an out that overlaps a part of x",
    RangeError,
    '"out" expected memory apart from "x", got an overlap',
    () => {
      const memory = x(9);
      return layerNorm(memory.subarray(0, 8), 4, { out: memory.subarray(1) });
    },
  ],
  [
    "an id beyond the table",
    RangeError,
    '"ids[1]" expected an integer from 0 to 4 (entries of "table"), got 5',
    () => embedding(tensor([5, 2]), [0, 5]),
  ],
  [
    "a negative id",
    RangeError,
    '"ids[0]" expected an integer from 0 to 4 (entries of "table"), got -1n',
    () => embedding(tensor([5, 2]), [-1n]),
  ],
  [
    "one id without an array",
    TypeError,
    '"ids" expected an array of integers, got 3',
    () => embedding(tensor([5, 2]), any(3)),
  ],
  [
    "a table of rank 3",
    RangeError,
    '"table.dims" expected [entries, width], at least one of each, got [5, 2, 1]',
    () => embedding(tensor([5, 2, 1]), [0]),
  ],
  ["an odd number of dims", RangeError, '"dims" expected an even number, got 3', () => new Rotary(8, { dims: 3 })],
  [
    "more dims than a head has",
    RangeError,
    '"dims" expected an integer from 0 to 8, got 10',
    () => new Rotary(8, { dims: 10 }),
  ],
  ["a base of 0", RangeError, '"base" expected a positive finite number, got 0', () => new Rotary(8, { base: 0 })],
  [
    "heads that do not fit",
    RangeError,
    '"x.length" expected a multiple of 24 (3 heads of 8), got 16',
    () => new Rotary(8).apply(x(16), { heads: 3 }),
  ],
  [
    "positions for other rows",
    RangeError,
    '"positions.length" expected 2 (rows of "x"), got 3',
    () => new Rotary(8).apply(x(16), { positions: [0, 1, 2] }),
  ],
  [
    "a position below 0",
    RangeError,
    `"positions" expected an integer from 0 to ${2 ** 24 - 2}, got -1`,
    () => new Rotary(8).apply(x(16), { positions: -1 }),
  ],
];

describe.each([
  ["layers", layers],
  ["rows", rows],
])("Of wrong calls of %s,", (_, all) => {
  test.each(all)("%s is refused", (_, kind, message, call) => {
    let error: unknown;
    try {
      call();
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(kind);
    expect(error).toHaveProperty("message", message);
  });
});

describe("An asynchronous call", () => {
  test("rejects where the synchronous one throws", async () => {
    await expect(linear().apply(x(7))).rejects.toThrow('"x.length" expected a multiple of 4');
  });

  test("refuses a resizable buffer", async () => {
    const Resizable = ArrayBuffer as unknown as new (length: number, options: object) => ArrayBuffer;
    const memory = new Float32Array(new Resizable(16, { maxByteLength: 32 }));
    await expect(linear().apply(memory)).rejects.toThrow('"x" expected a buffer of fixed length');
    const residual = memory.subarray(0, 3);
    await expect(linear().apply(x(4), { residual })).rejects.toThrow('"residual" expected a buffer of fixed length');
  });

  test("rejects where its input was transferred on the way", async () => {
    const layer = new Linear(tensor([600, 600]));
    const rows = x(600 * 600);
    const call = layer.apply(rows);
    structuredClone(rows.buffer, { transfer: [rows.buffer] });
    await expect(call).rejects.toThrow('"x" expected memory that has not been transferred');
  });
});
