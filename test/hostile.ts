// Calls that go wrong: a small right one, and what can be done to it.
import type { Random } from "./random.js";

/** A call as an attacker sees it. */
export interface Target {
  query: Fields;
  key: Fields;
  value: Fields;
  options: Fields;
}

type Fields = Record<string, unknown>;
type Attack = (target: Target, random: Random, thing: unknown) => void;

/** What accessors of the attacker throw. */
export class Hostile extends Error {}

const Resizable = ArrayBuffer as unknown as new (bytes: number, options: { maxByteLength: number }) => ArrayBuffer;

/** A call that is right, in memory of all kinds. */
export function rightCall(random: Random): Target {
  const [batch, heads, tq, tk, d, dv] = [1, 2, random.integer(1, 20), random.integer(1, 20), 8, random.integer(1, 9)];
  const tensor = (...dims: number[]) => ({ data: memory(random, dims), dims });
  const options = { lse: random.chance(0.3), weights: random.chance(0.3) };
  return { query: tensor(batch, heads, tq, d), key: tensor(batch, 1, tk, d), value: tensor(batch, 1, tk, dv), options };
}

function memory(random: Random, dims: number[]): Float32Array {
  const bytes = 4 * dims.reduce((a, b) => a * b);
  const plain = () => new ArrayBuffer(bytes);
  const buffer = random.pick([
    plain,
    plain,
    plain,
    () => new Resizable(bytes, { maxByteLength: 2 * bytes }),
    () => new SharedArrayBuffer(bytes),
  ])();
  return new Float32Array(buffer as ArrayBuffer).fill(0.25);
}

const TENSORS = ["query", "key", "value"] as const;
const FIELDS = ["data", "dims", "shape", "strides", "type", "dtype"];
const OPTIONS =
  "layout heads scale mask keyLengths causal window alibi softcap sinks lse weights out threads signal".split(" ");
const TYPES = ["float32", "float16", "bfloat16", "bool", "uint8", "int64"];

// Their products overflow; what fits into memory would be computed, for hours.
const SIZES = [0, 1, 2, 3, -1, 0.5, NaN, 2 ** 36, 2 ** 40, 2 ** 53 - 1, 2 ** 53, 1e300, Infinity];

/** Takes memory away, from whoever has it. */
function havoc(target: Target, random: Random): void {
  const data = target[random.pick(TENSORS)].data;
  if (!(data instanceof Float32Array) || data.buffer.byteLength === 0) return;
  const buffer = data.buffer as ArrayBuffer & { resizable?: boolean; resize(bytes: number): void };
  if (buffer.resizable) buffer.resize(4 * random.integer(0, data.length));
  else if (buffer instanceof ArrayBuffer) structuredClone(buffer, { transfer: [buffer] });
}

/** Does something and answers, throws, or answers otherwise than before. */
function trap(target: Target, random: Random, honest: unknown, thing: unknown): () => unknown {
  let asked = 0;
  return random.pick([
    () => {
      havoc(target, random);
      return honest;
    },
    () => {
      throw new Hostile("by an accessor");
    },
    () => (asked++ === 0 ? honest : thing),
  ]);
}

function bugged(target: Target, random: Random, fields: Fields, name: string, thing: unknown): void {
  const get = trap(target, random, fields[name], thing);
  Object.defineProperty(fields, name, { get, enumerable: true, configurable: true });
}

function someList(target: Target, random: Random): unknown {
  const { query, key, value } = target;
  return random.pick([query.dims, key.dims, value.dims]);
}

/** An option that is right, or nearly. */
function nearlyRight(target: Target, random: Random): unknown {
  const { data } = target[random.pick(TENSORS)];
  return random.pick<() => unknown>([
    () => [random.pick(SIZES), random.pick(SIZES)],
    () => [random.pick(SIZES)],
    () => ({ offset: random.pick([random.pick(SIZES), [random.pick(SIZES)]]) }),
    () => ({ data, dims: someList(target, random), type: random.pick(TYPES) }),
    () => ({ data: Uint8Array.of(1), dims: [random.pick(SIZES)], strides: [0] }),
    () => data,
    () => random.pick(SIZES),
    () => random.pick(["bhtd", "bthd", "top-left", "bottom-right"]),
    () => random.chance(0.5),
  ])();
}

export const ATTACKS: Record<string, Attack> = {
  "a field of a tensor": (target, random, thing) => {
    target[random.pick(TENSORS)][random.pick(FIELDS)] = thing;
  },
  "a tensor": (target, random, thing) => {
    target[random.pick(TENSORS)] = thing as Fields;
  },
  "a type": (target, random) => {
    target[random.pick(TENSORS)].type = random.pick(TYPES);
  },
  sizes: (target, random) => {
    const tensor = target[random.pick(TENSORS)];
    const dims = Array.from({ length: random.integer(0, 6) }, () => random.pick(SIZES));
    tensor.dims = random.chance(0.3) ? dims : Object.assign([...(tensor.dims as number[])], { 0: dims[0] ?? 0 });
    if (random.chance(0.7)) tensor.strides = (tensor.dims as number[]).map(() => random.pick([0, 0, 1, ...SIZES]));
  },
  "data of another kind": (target, random) => {
    const tensor = target[random.pick(TENSORS)];
    const data = tensor.data as Float32Array;
    tensor.data = random.pick<() => unknown>([
      () => new Proxy(data, {}),
      () => new DataView(data.buffer),
      () => new Float64Array(data),
      () => Array.from(data),
      () => new (class extends Float32Array {})(data),
      () => Object.defineProperty(data, "length", { value: random.pick(SIZES) }),
      () => Object.defineProperty(data, "buffer", { value: new ArrayBuffer(4) }),
      () => Object.setPrototypeOf(data, random.pick([null, Array.prototype, Uint8Array.prototype])),
    ])();
  },
  "a length that fits and is not so": (target, random) => {
    const tensor = target[random.pick(TENSORS)];
    const [batch, heads, rows, columns] = tensor.dims as number[];
    tensor.dims = [batch, heads, 1e5 * rows, columns];
    Object.defineProperty(tensor.data, "length", { value: batch * heads * 1e5 * rows * columns });
  },
  "memory that is gone": (target, random) => havoc(target, random),
  "an accessor of a tensor": (target, random, thing) => {
    bugged(target, random, target[random.pick(TENSORS)], random.pick(FIELDS), thing);
  },
  "an accessor of dims": (target, random, thing) => {
    const dims = [...(target[random.pick(TENSORS)].dims as number[])];
    bugged(target, random, dims as unknown as Fields, random.pick(["0", "1", "length"].slice(0, 2)), thing);
    target[random.pick(TENSORS)].dims = dims;
  },
  "a proxy of a tensor": (target, random, thing) => {
    const name = random.pick(TENSORS);
    const answers = trap(target, random, undefined, thing);
    const whole = target[name];
    target[name] = new Proxy(whole, { get: (_, field) => answers() ?? whole[field as string] });
  },
  "an option": (target, random, thing) => {
    target.options[random.pick(OPTIONS)] = random.chance(0.5) ? thing : nearlyRight(target, random);
  },
  "an option that is nearly right": (target, random) => {
    target.options[random.pick(OPTIONS)] = nearlyRight(target, random);
  },
  "an option that nobody knows": (target, _, thing) => {
    target.options[String(typeof thing === "symbol" ? "symbol" : typeof thing)] = thing;
  },
  "an accessor of an option": (target, random, thing) => {
    bugged(target, random, target.options, random.pick(OPTIONS), thing);
  },
  "a list with an accessor": (target, random, thing) => {
    const list = [0, 0].slice(random.integer(0, 1));
    bugged(target, random, list as unknown as Fields, "0", thing);
    target.options[random.pick(["keyLengths", "window", "alibi", "sinks"])] = list;
  },
  "a proxy of options": (target, random, thing) => {
    const ask = trap(target, random, undefined, thing);
    const { options } = target;
    target.options = new Proxy(options, {
      ownKeys: () => {
        ask();
        return Reflect.ownKeys(options);
      },
      get: (_, name) => ask() ?? options[name as string],
    });
  },
  "options at all": (target, _, thing) => {
    target.options = thing as Fields;
  },
  "a signal of its own": (target, random, thing) => {
    const signal: Fields = { aborted: false };
    for (const name of ["throwIfAborted", "addEventListener", "removeEventListener"]) {
      signal[name] = random.chance(0.5) ? trap(target, random, undefined, thing) : () => {};
    }
    if (random.chance(0.5)) bugged(target, random, signal, random.pick(["aborted", "throwIfAborted"]), thing);
    target.options.signal = signal;
  },
  "an array for the output": (target, random) => {
    const { query, key, value } = target;
    const [sizes, columns] = [query.dims as number[], (value.dims as number[])?.at(-1) ?? 1];
    const length = sizes.slice(0, -1).reduce((a, b) => a * b, columns);
    const right = Number.isSafeInteger(length) && length >= 0 && length < 1e4 ? length : 1;
    target.options.out = random.pick([new Float32Array(right), new Float32Array(right + 1), query.data, key.data]);
  },
};
