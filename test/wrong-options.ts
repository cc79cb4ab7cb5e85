import { asOptions, type Row, tensor } from "./wrong-calls.js";

const NAMES =
  '"layout", "heads", "scale", "mask", "keyLengths", "causal", "window", "alibi", "softcap", "sinks", "lse", "weights", ' +
  '"out", "threads", "signal"';
const CAUSAL =
  '"top-left" (query i sees keys j <= i), "bottom-right" (the last query sees every key), { offset } or false';

export const options: Row[] = [
  ["options that are no object", TypeError, '"options" expected an object, got 8', asOptions(8)],
  ["null for options", TypeError, '"options" expected an object, got null', asOptions(null)],
  [
    "a misspelt option, naming the near one",
    TypeError,
    '"options.casual" expected a known option (did you mean "causal"?), got "casual"',
    asOptions({ casual: "top-left" }),
  ],
  [
    "a peer's name of an option, naming ours",
    TypeError,
    '"options.attnMask" expected a known option (did you mean "mask"?), got "attnMask"',
    asOptions({ attnMask: undefined }),
  ],
  [
    "an option that is nothing like ours",
    TypeError,
    `"options.dropout" expected a known option (one of ${NAMES}), got "dropout"`,
    asOptions({ dropout: 0.1 }),
  ],
  ["an unknown layout", RangeError, '"layout" expected "bhtd" or "bthd", got "bsnh"', asOptions({ layout: "bsnh" })],
  ["a layout that is no name", TypeError, '"layout" expected "bhtd" or "bthd", got 1', asOptions({ layout: 1 })],
  [
    "heads together with a layout",
    RangeError,
    '"layout" expected to be left out together with "heads", got "bthd"',
    asOptions({ heads: 4, layout: "bthd" }),
  ],
  ["no heads", RangeError, '"heads" expected an integer of at least 1, got 0', asOptions({ heads: 0 })],
  ["heads as a string", TypeError, '"heads" expected an integer of at least 1, got "4"', asOptions({ heads: "4" })],
  ["a scale of NaN", RangeError, '"scale" expected a finite number, got NaN', asOptions({ scale: NaN })],
  ["a scale beyond float32", RangeError, '"scale" expected a finite number, got 1e+39', asOptions({ scale: 1e39 })],
  ["a scale that is no number", TypeError, '"scale" expected a finite number, got null', asOptions({ scale: null })],
  ["a softcap of 0", RangeError, '"softcap" expected a positive finite number, got 0', asOptions({ softcap: 0 })],
  [
    "an endless softcap",
    RangeError,
    '"softcap" expected a positive finite number, got Infinity',
    asOptions({ softcap: Infinity }),
  ],
  [
    "an array that holds itself",
    TypeError,
    '"scale" expected a finite number, got an array of 1',
    () => {
      const scale: unknown[] = [];
      scale.push(scale);
      return asOptions({ scale })();
    },
  ],
  [
    "more offsets than any array can hold",
    RangeError,
    '"causal.offset" expected a size that can be allocated, got 35184372088832 elements',
    () => [
      { data: new Float32Array(1), dims: [2 ** 45, 1, 1, 1], strides: [0, 0, 0, 1] },
      tensor([1, 1, 1, 1]),
      tensor([1, 1, 1, 1]),
      { causal: "bottom-right" },
    ],
  ],
  ["no threads", RangeError, '"threads" expected an integer of at least 1, got 0', asOptions({ threads: 0 })],
  ["half a thread", RangeError, '"threads" expected an integer of at least 1, got 1.5', asOptions({ threads: 1.5 })],
  ["lse as a number", TypeError, '"lse" expected a boolean, got 1', asOptions({ lse: 1 })],
  [
    "weights as a string",
    TypeError,
    '"weights" expected a boolean or { heads, keys, reduce, over, topK }, got "mean"',
    asOptions({ weights: "mean" }),
  ],
  [
    "null for weights",
    TypeError,
    '"weights" expected a boolean or { heads, keys, reduce, over, topK }, got null',
    asOptions({ weights: null }),
  ],
  [
    "a misspelt part of a map",
    TypeError,
    '"weights.topk" expected a known option (did you mean "topK"?), got "topk"',
    asOptions({ weights: { topk: 3 } }),
  ],
  [
    "an unknown reduction",
    RangeError,
    '"weights.reduce" expected "mean", "entropy" or "sum", got "max"',
    asOptions({ weights: { reduce: "max" } }),
  ],
  [
    "a reduction that is no name",
    TypeError,
    '"weights.reduce" expected "mean", "entropy" or "sum", got null',
    asOptions({ weights: { reduce: null } }),
  ],
  [
    "a sum over nothing",
    RangeError,
    '"weights.over" expected "queries", got undefined',
    asOptions({ weights: { reduce: "sum" } }),
  ],
  [
    "a sum over keys",
    RangeError,
    '"weights.over" expected "queries", got "keys"',
    asOptions({ weights: { reduce: "sum", over: "keys" } }),
  ],
  [
    "a mean over queries",
    RangeError,
    '"weights.over" expected to be left out but with "sum", got "queries"',
    asOptions({ weights: { reduce: "mean", over: "queries" } }),
  ],
  [
    "a reduction together with topK",
    RangeError,
    '"weights.reduce" expected to be left out together with "topK", got "mean"',
    asOptions({ weights: { reduce: "mean", topK: 3 } }),
  ],
  [
    "no largest weights",
    RangeError,
    '"weights.topK" expected an integer of at least 1, got 0',
    asOptions({ weights: { topK: 0 } }),
  ],
  [
    "topK as a flag",
    TypeError,
    '"weights.topK" expected an integer of at least 1, got true',
    asOptions({ weights: { topK: true } }),
  ],
  [
    "a head that is not there",
    RangeError,
    '"weights.heads[1]" expected an integer from 0 to 3, got 4',
    asOptions({ weights: { heads: [0, 4] } }),
  ],
  [
    "no chosen heads",
    RangeError,
    '"weights.heads.length" expected at least 1, got 0',
    asOptions({ weights: { heads: [] } }),
  ],
  [
    "a key twice",
    RangeError,
    '"weights.keys[2]" expected an index that was not named before, got 1',
    asOptions({ weights: { keys: Int32Array.of(1, 0, 1) } }),
  ],
  [
    "a key as a number",
    TypeError,
    '"weights.keys" expected an array (distinct indices), got 2',
    asOptions({ weights: { keys: 2 } }),
  ],
  [
    "a map that no array can hold",
    RangeError,
    '"weights" expected a size that can be allocated, got 216172782113783780 elements',
    asOptions({ weights: { topK: Number.MAX_SAFE_INTEGER } }),
  ],
  [
    "key lengths that are a number",
    TypeError,
    '"keyLengths" expected an array (one per batch entry), got 5',
    asOptions({ keyLengths: 5 }),
  ],
  [
    "too few key lengths",
    RangeError,
    '"keyLengths.length" expected 2 (one per batch entry), got 1',
    asOptions({ keyLengths: [5] }),
  ],
  [
    "a key length beyond tk",
    RangeError,
    '"keyLengths[1]" expected an integer from 0 to 5 (tk of "key"), got 6',
    asOptions({ keyLengths: [5, 6] }),
  ],
  [
    "a negative key length of 64 bits",
    RangeError,
    '"keyLengths[0]" expected an integer from 0 to 5 (tk of "key"), got -1n',
    asOptions({ keyLengths: BigInt64Array.of(-1n, 1n) }),
  ],
  [
    "a key length that is no number",
    TypeError,
    '"keyLengths[0]" expected an integer from 0 to 5 (tk of "key"), got "5"',
    asOptions({ keyLengths: ["5", 5] }),
  ],
  ["causal: true, naming the two", TypeError, `"causal" expected ${CAUSAL}, got true`, asOptions({ causal: true })],
  ["an unknown corner", RangeError, `"causal" expected ${CAUSAL}, got "bottom"`, asOptions({ causal: "bottom" })],
  ["null for causal", TypeError, `"causal" expected ${CAUSAL}, got null`, asOptions({ causal: null })],
  [
    "causal without its offset",
    TypeError,
    '"causal.offset" expected an array (one per batch entry), got undefined',
    asOptions({ causal: {} }),
  ],
  [
    "an offset beyond 32 bits",
    RangeError,
    '"causal.offset" expected an integer from -2147483648 to 2147483647, got 2147483648',
    asOptions({ causal: { offset: 2 ** 31 } }),
  ],
  [
    "too many offsets",
    RangeError,
    '"causal.offset.length" expected 2 (one per batch entry), got 3',
    asOptions({ causal: { offset: [0, 1, 2] } }),
  ],
  [
    "a broken offset of one entry",
    RangeError,
    '"causal.offset[1]" expected an integer from -2147483648 to 2147483647, got 0.5',
    asOptions({ causal: { offset: [0, 0.5] } }),
  ],
  ["a window of one number", TypeError, '"window" expected an array ([l, r]), got 4', asOptions({ window: 4 })],
  [
    "a window of three numbers",
    RangeError,
    '"window.length" expected 2 ([l, r]), got 3',
    asOptions({ window: [1, 2, 3] }),
  ],
  [
    "an infinite window",
    RangeError,
    '"window[1]" expected an integer of at least -1, got Infinity',
    asOptions({ window: [0, Infinity] }),
  ],
  [
    "a window below -1",
    RangeError,
    '"window[0]" expected an integer of at least -1, got -2',
    asOptions({ window: [-2, 0] }),
  ],
  ["too few slopes", RangeError, '"alibi.length" expected 4 (one per head), got 2', asOptions({ alibi: [1, 1] })],
  [
    "a slope of 0",
    RangeError,
    '"alibi[3]" expected a positive finite number, got 0',
    asOptions({ alibi: Float32Array.of(1, 1, 1, 0) }),
  ],
  [
    "a slope that is no number",
    TypeError,
    '"alibi[0]" expected a positive finite number, got undefined',
    asOptions({ alibi: new Array(4) }),
  ],
  [
    "too many sinks",
    RangeError,
    '"sinks.length" expected 4 (one per head), got 5',
    asOptions({ sinks: [0, 0, 0, 0, 0] }),
  ],
  [
    "a sink of NaN",
    RangeError,
    '"sinks[2]" expected a finite number or -Infinity, got NaN',
    asOptions({ sinks: [0, 0, NaN, 0] }),
  ],
  [
    "a sink of Infinity",
    RangeError,
    '"sinks[0]" expected a finite number or -Infinity, got Infinity',
    asOptions({ sinks: [Infinity, 0, 0, 0] }),
  ],
];
