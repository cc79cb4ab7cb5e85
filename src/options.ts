import {
  allocateIntegers,
  arrayClass,
  checkAttached,
  type Extent,
  extentOf,
  type FloatArray,
  lengthOf,
  overlaps,
} from "./arrays.js";
import { overlapping, wrongKind, wrongValue } from "./errors.js";
import type { LayoutName, Sizes } from "./layout.js";
import type { MapOptions } from "./maps.js";
import { type ElementType, holders, holds, product, type TensorLike, type View } from "./tensor.js";
import { checkNames, entries, integer, wrong } from "./values.js";

/** Options of one call. `undefined` is the same as leaving an option out; an unknown name is an error. */
export interface AttentionOptions<
  Lse extends boolean = boolean,
  Weights extends boolean | MapOptions = boolean | MapOptions,
> {
  /** Order of dims: "bhtd" `[batch, heads, t, d]` (the default) or "bthd" `[batch, t, heads, d]`. */
  layout?: "bhtd" | "bthd" | undefined;
  /** Heads of a query `[batch, tq, heads * d]`; keys are `[batch, tk, kvHeads * d]`. Not together with `layout`. */
  heads?: number | undefined;
  /** Factor of q.k, finite; 1 / sqrt(d) by default. */
  scale?: number | undefined;
  /**
   * Broadcasts from the right to `[batch, heads, tq, tk]` in every layout. Booleans and bytes: nonzero = attend. Floats
   * are added to the scores; -Infinity takes the key away.
   */
  mask?: TensorLike | undefined;
  /** Per batch entry, 0..tk: keys from that index on are not there. */
  keyLengths?: ArrayLike<number> | ArrayLike<bigint> | undefined;
  /**
   * Query i sees the keys j <= i + offset. "top-left": offset 0; "bottom-right": (keyLengths[b] or tk) - tq;
   * `{ offset }`: an int32, or one per batch entry.
   */
  causal?: false | "top-left" | "bottom-right" | { offset: number | ArrayLike<number> } | undefined;
  /** `[l, r]`: query i sees the keys from i + offset - l to i + offset + r; -1 opens that side. */
  window?: ArrayLike<number> | undefined;
  /** Slope per head, positive and finite: adds -slope * abs(i + offset - j). */
  alibi?: ArrayLike<number> | undefined;
  /** Scores x become softcap * tanh(x / softcap). Positive and finite. */
  softcap?: number | undefined;
  /** Per head, a logit that takes weight and gives nothing: finite, or -Infinity for none. */
  sinks?: ArrayLike<number> | undefined;
  /** Also return the natural logarithm of the sum of exponentials. */
  lse?: Lse | undefined;
  /** Also return the weights, heads * tq * tk floats per batch entry, or a part or a reduction of them. */
  weights?: Weights | undefined;
  /** Takes the output: of its exact length and type, apart from all inputs. Its content is undefined after an abort. */
  out?: FloatArray | undefined;
  /** At most so many threads, the caller's included; the pool's size by default. */
  threads?: number | undefined;
  /** Aborts an asynchronous call, which then rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** What an option means when it is left out, as a Problem says it. */
export const DEFAULTS = {
  layout: "bhtd",
  heads: undefined,
  scale: undefined,
  mask: undefined,
  keyLengths: undefined,
  causal: false,
  window: [-1, -1],
  alibi: undefined,
  softcap: 0,
  sinks: undefined,
  lse: false,
  weights: false,
  out: undefined,
  threads: 0,
  signal: undefined,
} as const satisfies Record<keyof AttentionOptions, unknown>;

const KNOWN: ReadonlySet<string> = new Set(Object.keys(DEFAULTS));
const INT32 = 2 ** 31;

/** Every option read once, as readGroup() does. Written out: a loop over names takes 100 ns. */
export function readOptions(options: AttentionOptions): AttentionOptions {
  checkNames(options, KNOWN, "options");
  const { layout, heads, scale, mask, keyLengths, causal, window, alibi, softcap } = options;
  const { sinks, lse, weights, out, threads, signal } = options;
  // biome-ignore format: in the order of DEFAULTS
  return { layout, heads, scale, mask, keyLengths, causal, window, alibi, softcap,
    sinks, lse, weights, out, threads, signal };
}

export function layoutName({ layout, heads }: Pick<AttentionOptions, "layout" | "heads">): LayoutName {
  if (heads !== undefined) {
    if (layout !== undefined) throw wrongValue("layout", 'to be left out together with "heads"', layout);
    integer("heads", heads, 1);
    return "heads";
  }
  if (layout === undefined || layout === "bhtd" || layout === "bthd") return layout ?? DEFAULTS.layout;
  throw wrong("layout", '"bhtd" or "bthd"', layout, "string");
}

export function scaleOf({ scale }: AttentionOptions, { d }: Sizes): number {
  if (scale === undefined) return 1 / Math.sqrt(d);
  if (typeof scale === "number" && Number.isFinite(Math.fround(scale))) return scale;
  throw wrong("scale", "a finite number", scale);
}

export function softcapOf({ softcap }: AttentionOptions): number {
  if (softcap === undefined) return DEFAULTS.softcap;
  if (isPositive(softcap)) return softcap;
  throw wrong("softcap", "a positive finite number", softcap);
}

export function threadsOf({ threads }: AttentionOptions): number {
  return threads === undefined ? DEFAULTS.threads : integer("threads", threads, 1);
}

export function keyLengthsOf(
  { keyLengths }: Pick<AttentionOptions, "keyLengths">,
  { batch, tk }: Pick<Sizes, "batch" | "tk">,
  keys = 'tk of "key"',
): Int32Array | undefined {
  if (keyLengths === undefined) return DEFAULTS.keyLengths;
  const list = entries("keyLengths", keyLengths, batch, "one per batch entry");
  const lengths = new Int32Array(batch);
  for (let b = 0; b < batch; b++) {
    const entry = list[b];
    const length = typeof entry === "bigint" ? Number(entry) : (entry as number);
    if (!Number.isInteger(length) || length < 0 || length > tk) {
      throw wrong(`keyLengths[${b}]`, `an integer from 0 to ${tk} (${keys})`, entry);
    }
    lengths[b] = length;
  }
  return lengths;
}

export function isCausal({ causal }: AttentionOptions): boolean {
  if (causal === undefined || causal === false) return DEFAULTS.causal;
  const hasOffset = typeof causal === "object" && causal !== null;
  if (hasOffset || causal === "top-left" || causal === "bottom-right") return true;
  const forms =
    '"top-left" (query i sees keys j <= i), "bottom-right" (the last query sees every key), { offset } or false';
  throw wrong("causal", forms, causal, "string");
}

/** Key positions of the first query, per batch entry. Without causal they are 0, for window and alibi too. */
export function offsetsOf({ causal }: AttentionOptions, keyLengths: Int32Array | undefined, sizes: Sizes) {
  if (causal === undefined || causal === false || causal === "top-left") return undefined;
  const { batch, tq, tk } = sizes;
  const offsets = allocateIntegers("causal.offset", batch);
  if (causal === "bottom-right") {
    for (let b = 0; b < batch; b++) offsets[b] = (keyLengths?.[b] ?? tk) - tq;
    return offsets;
  }
  const { offset } = causal;
  if (typeof offset === "number") return offsets.fill(integer("causal.offset", offset, -INT32, INT32 - 1));
  const list = entries("causal.offset", offset, batch, "one per batch entry");
  for (let b = 0; b < batch; b++) offsets[b] = integer(`causal.offset[${b}]`, list[b], -INT32, INT32 - 1);
  return offsets;
}

/** Reach to the left and to the right. */
export function windowOf({ window }: AttentionOptions): readonly [number, number] {
  if (window === undefined) return DEFAULTS.window;
  const [left, right] = entries("window", window, 2, "[l, r]") as [unknown, unknown];
  return [integer("window[0]", left, -1), integer("window[1]", right, -1)];
}

export function alibiOf({ alibi }: AttentionOptions, { heads }: Sizes): Float32Array | undefined {
  return alibi === undefined ? DEFAULTS.alibi : perHead("alibi", alibi, heads, isPositive, "a positive finite number");
}

export function sinksOf({ sinks }: AttentionOptions, { heads }: Sizes): Float32Array | undefined {
  return sinks === undefined ? DEFAULTS.sinks : perHead("sinks", sinks, heads, isLogit, "a finite number or -Infinity");
}

/** The caller's array for the output: of its exact length and type, apart from everything that is read. */
export function checkOut(options: AttentionOptions, type: ElementType, dims: number[], inputs: readonly View[]): void {
  const { out, keyLengths, alibi, sinks, causal } = options;
  if (!holds(out, type)) throw wrongKind("out", `a ${holders(type)} (type of "query")`, out);
  const length = lengthOf(out);
  if (length === 0) checkAttached("out", out);
  const needed = product(dims);
  if (length !== needed) throw wrongValue("out.length", `${needed} (output dims [${dims.join(", ")}])`, length);
  const extent = extentOf(out);
  for (let i = 0; i < inputs.length; i++) checkApart(extent, inputs[i].name, inputs[i].data);
  checkApart(extent, "keyLengths", keyLengths);
  checkApart(extent, "alibi", alibi);
  checkApart(extent, "sinks", sinks);
  if (typeof causal === "object") checkApart(extent, "causal.offset", causal.offset);
}

function checkApart(out: Extent, name: string, input: unknown): void {
  if (input === undefined || arrayClass(input) === undefined) return; // most are left out
  if (overlaps(out, input as ArrayBufferView)) throw overlapping("out", name);
}

// Kernels hold these numbers as float32.
function isPositive(x: unknown): boolean {
  return typeof x === "number" && Math.fround(x) > 0 && Math.fround(x) < Infinity;
}

function isLogit(x: unknown): boolean {
  return typeof x === "number" && Math.fround(x) < Infinity;
}

function perHead(name: string, given: unknown, heads: number, valid: (x: unknown) => boolean, expected: string) {
  const list = entries(name, given, heads, "one per head");
  const values = new Float32Array(heads);
  for (let h = 0; h < heads; h++) {
    const entry = list[h];
    if (!valid(entry)) throw wrong(`${name}[${h}]`, expected, entry);
    values[h] = entry as number;
  }
  return values;
}
