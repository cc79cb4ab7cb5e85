import { asOptions, key, OUTPUT, query, type Row, tensor, transferred, value } from "./wrong-calls.js";

const asMask = (mask: unknown) => asOptions({ mask });
const asOut = (out: unknown) => asOptions({ out });

const MASKS =
  "a Uint8Array, Float32Array, Float16Array or Uint16Array (convert other integers, nonzero = attend, with " +
  "Uint8Array.from(data, Number), and a Float64Array, which is added, with Float32Array.from(data))";
export const masks: Row[] = [
  ["null for a mask", TypeError, '"mask" expected a tensor { data, dims }, got null', asMask(null)],
  [
    "a mask of 64-bit integers",
    TypeError,
    `"mask.data" expected ${MASKS}, got a BigInt64Array`,
    asMask({ data: new BigInt64Array(5), dims: [5], type: "int64" }),
  ],
  [
    "a mask of 32-bit integers",
    TypeError,
    `"mask.data" expected ${MASKS}, got an Int32Array`,
    asMask({ data: new Int32Array(5), dims: [5] }),
  ],
  [
    "booleans without their type",
    TypeError,
    `"mask.data" expected ${MASKS}, got [true, false, true, true, true]`,
    asMask({ data: [true, false, true, true, true], dims: [5] }),
  ],
  [
    "a mask whose type contradicts its data",
    TypeError,
    '"mask.type" expected "bool" or "uint8" (its data is a Uint8Array), got "float32"',
    asMask({ data: new Uint8Array(5), dims: [5], type: "float32" }),
  ],
  [
    "a mask of another tk",
    RangeError,
    '"mask.dims[0]" expected 1 or 5 (tk of "key"), got 4',
    asMask({ data: new Uint8Array(4), dims: [4] }),
  ],
  [
    "a mask of another tq",
    RangeError,
    '"mask.shape[2]" expected 1 or 3 (tq of "query"), got 2',
    asMask({ data: new Uint8Array(10), shape: [1, 1, 2, 5] }),
  ],
  [
    "a mask per key head",
    RangeError,
    '"mask.dims[0]" expected 1 or 4 (heads of "query"), got 2',
    asMask({ data: new Uint8Array(10), dims: [2, 1, 5] }),
  ],
  [
    "a mask of rank 5",
    RangeError,
    '"mask.dims" expected at most 4 dimensions, got [1, 1, 1, 1, 5]',
    asMask({ data: new Uint8Array(5), dims: [1, 1, 1, 1, 5] }),
  ],
  [
    "a mask that is too short",
    RangeError,
    '"mask.data.length" expected 15 (dims [3, 5]), got 5',
    asMask({ data: new Uint8Array(5), dims: [3, 5] }),
  ],
];

const shared = new Float32Array(1024);
export const outs: Row[] = [
  [
    "an output of another class",
    TypeError,
    '"out" expected a Float32Array (type of "query"), got a Float64Array',
    asOut(new Float64Array(OUTPUT)),
  ],
  [
    "an output that is a tensor",
    TypeError,
    '"out" expected a Float32Array (type of "query"), got an object',
    asOut(tensor([2, 4, 3, 6])),
  ],
  [
    "a float output for float16",
    TypeError,
    '"out" expected a Float16Array or Uint16Array (type of "query"), got a Float32Array',
    () => [
      { data: new Uint16Array(192), dims: query.dims, type: "float16" },
      key,
      value,
      { out: new Float32Array(OUTPUT) },
    ],
  ],
  [
    "an output that is too long",
    RangeError,
    '"out.length" expected 144 (output dims [2, 4, 3, 6]), got 145',
    asOut(new Float32Array(145)),
  ],
  [
    "an output that is too short, its dims as the query's layout has them",
    RangeError,
    '"out.length" expected 144 (output dims [2, 3, 24]), got 0',
    () => [tensor([2, 3, 32]), tensor([2, 5, 16]), tensor([2, 5, 12]), { heads: 4, out: new Float32Array(0) }],
  ],
  [
    "an output that was transferred",
    TypeError,
    '"out" expected memory that has not been transferred, got a detached buffer',
    asOut(transferred(OUTPUT)),
  ],
  [
    "an output over the query",
    RangeError,
    '"out" expected memory apart from "query", got an overlap',
    () => [{ data: shared.subarray(0, 192), dims: query.dims }, key, value, { out: shared.subarray(191, 191 + 144) }],
  ],
  [
    "an output over the value",
    RangeError,
    '"out" expected memory apart from "value", got an overlap',
    () => [query, key, { data: shared.subarray(143, 143 + 120), dims: value.dims }, { out: shared.subarray(0, 144) }],
  ],
  [
    "an output over the mask",
    RangeError,
    '"out" expected memory apart from "mask", got an overlap',
    asOptions({ mask: { data: shared.subarray(20, 25), dims: [5] }, out: shared.subarray(0, 144) }),
  ],
  [
    "an output over the key lengths",
    RangeError,
    '"out" expected memory apart from "keyLengths", got an overlap',
    asOptions({ keyLengths: new Int32Array(shared.buffer, 16, 2), out: shared.subarray(0, 144) }),
  ],
  [
    "an output over the sinks",
    RangeError,
    '"out" expected memory apart from "sinks", got an overlap',
    asOptions({ sinks: shared.subarray(140, 144), out: shared.subarray(0, 144) }),
  ],
];
