import { checkViews } from "./call.js";
import { wrongValue } from "./errors.js";
import { READABLE, readRows } from "./read.js";
import { type ElementType, floatView, pack, type TensorLike, type View } from "./tensor.js";
import { flag, indicesOf, integer, readGroup } from "./values.js";

export interface AlignmentOptions {
  /** Heads to look at; all by default. Speech models name some that follow the audio. */
  heads?: ArrayLike<number> | undefined;
  /** Keys that the median is taken over: odd, 1 for no filter, 7 by default. */
  median?: number | undefined;
  /** Whether each key's weights are brought to mean 0 and variance 1 over the queries first; true by default. */
  normalize?: boolean | undefined;
}

/** Which keys belong to which query. */
export interface Alignment {
  /** Per query, its first key. */
  starts: Int32Array;
  /** Per query, the key after its last one. */
  ends: Int32Array;
  /** The path from the first query and key to the last ones: at each step one of both grows by 1, or both do. */
  path: { queries: Int32Array; keys: Int32Array };
}

const DEFAULTS = { heads: undefined, median: 7, normalize: true } as const satisfies Record<
  keyof AlignmentOptions,
  unknown
>;
const KNOWN: ReadonlySet<string> = new Set(Object.keys(DEFAULTS));

/**
 * The monotonic alignment of queries to keys that agrees best with where the queries looked: how speech recognisers take
 * the times of words from the weights of cross-attention (Radford et al., "Robust speech recognition via large-scale weak
 * supervision", 2022, and the timestamps of openai/whisper).
 *
 * Each head's weights are normalised over the queries, so that keys which every query looks at say nothing, smoothed along
 * the keys by a median, mirrored at the ends, and averaged over the heads. Through the resulting map dynamic time warping
 * (Sakoe and Chiba 1978) takes the path of the largest sum, of both steps at once where sums are equal.
 *
 * Dims: `[tq, tk]`, `[heads, tq, tk]` or `[1, heads, tq, tk]`, one sequence at a time; float32, float16 or bfloat16. To
 * leave out tokens, padding or other entries of a batch, pass a view with `strides`. Takes 17 bytes for each of tq * tk.
 * Synchronous, on the caller's thread.
 *
 * @throws TypeError for an argument of the wrong kind and RangeError for a wrong value, before any work, and for a weight
 * that is NaN or infinite
 * @example
 * const { weights } = await attention(query, key, value, { weights: { heads: [3, 5] } }); // [2, tq, tk]
 * const { starts } = alignment(weights);
 * const seconds = Array.from(starts, (key) => key * 0.02); // where a key is 20 ms of audio
 */
export function alignment(weights: TensorLike, options: AlignmentOptions = {}): Alignment {
  const { view, tq, tk, heads, median, normalize } = check(weights, options);
  const map = new Float64Array(tq * tk);
  for (const h of heads) {
    const head = readHead(view, h, tq * tk);
    if (normalize) normalizeKeys(head, tq, tk);
    for (let at = 0; at < head.length; at += tk) addMedians(map, head.subarray(at, at + tk), at, median);
  }
  return follow(warp(map, tq, tk), tq, tk);
}

function check(weights: TensorLike, given: AlignmentOptions) {
  const options = readGroup<AlignmentOptions>(given, KNOWN);
  const view = floatView("weights", weights);
  const [count, tq, tk] = sizesOf(view);
  const heads = indicesOf("heads", options.heads, count);
  const median = options.median === undefined ? DEFAULTS.median : integer("median", options.median, 1);
  if (median % 2 === 0) throw wrongValue("median", "an odd integer", median);
  const normalize = flag("normalize", options.normalize, DEFAULTS.normalize);
  checkViews([view]);
  return { view: pack(view), tq, tk, heads, median, normalize };
}

function sizesOf({ field, dims }: View): number[] {
  const rank = dims.length;
  if (rank < 2 || rank > 4) {
    throw wrongValue(`weights.${field}`, "[tq, tk] or [heads, tq, tk] or [1, heads, tq, tk]", dims);
  }
  if (rank === 4 && dims[0] !== 1) throw wrongValue(`weights.${field}[0]`, "1 (one sequence at a time)", dims[0]);
  const sizes = [1, ...dims].slice(-3);
  if (sizes[1] > 0 && sizes[2] === 0) throw wrongValue(`weights.${field}[${rank - 1}]`, "at least 1 (tk)", 0);
  return sizes;
}

/** [tq, tk] of one head. */
function readHead({ data, type }: View, h: number, size: number): Float64Array {
  const head = new Float64Array(size);
  for (let at = 0; at < size; at += READABLE) {
    const count = Math.min(READABLE, size - at);
    const rows = readRows({ data, type: type as ElementType, row: count }, h * size + at, 1, count);
    head.set(rows.data.subarray(rows.start, rows.start + count), at);
  }
  const wrong = head.findIndex((weight) => !Number.isFinite(weight));
  if (wrong >= 0) throw wrongValue(`weights.data[${h * size + wrong}]`, "a finite number", head[wrong]);
  return head;
}

/** Mean 0 and variance 1 over the queries for each key; 0 where all queries have one weight. */
function normalizeKeys(head: Float64Array, tq: number, tk: number): void {
  for (let j = 0; j < tk; j++) {
    // Less the first one, so that equal weights have a mean and a variance of exactly 0.
    const origin = head[j];
    let sum = 0;
    for (let at = j; at < head.length; at += tk) sum += head[at] - origin;
    const mean = sum / tq;
    let squares = 0;
    for (let at = j; at < head.length; at += tk) squares += (head[at] - origin - mean) ** 2;
    const deviation = Math.sqrt(squares / tq);
    for (let at = j; at < head.length; at += tk) {
      head[at] = deviation === 0 ? 0 : (head[at] - origin - mean) / deviation;
    }
  }
}

/** Adds the median of `width` neighbours of each key, mirrored at the ends; the keys themselves where they are too few. */
function addMedians(map: Float64Array, row: Float64Array, at: number, width: number): void {
  const last = row.length - 1;
  const half = last < (width - 1) / 2 ? 0 : (width - 1) / 2;
  const sorted = new Float64Array(2 * half + 1);
  for (let j = 0; j <= last; j++) {
    for (let n = 0; n < sorted.length; n++) {
      const x = row[last - Math.abs(last - Math.abs(j - half + n))];
      let place = n;
      for (; place > 0 && sorted[place - 1] > x; place--) sorted[place] = sorted[place - 1];
      sorted[place] = x;
    }
    map[at + j] += sorted[half];
  }
}

// The last step of the best path to a place of the map.
const [BOTH, KEY, QUERY] = [0, 1, 2];

/** Dynamic time warping: the last step of the best path to each place, [tq, tk]. */
function warp(map: Float64Array, tq: number, tk: number): Uint8Array {
  const steps = new Uint8Array(tq * tk);
  const best = new Float64Array(tk).fill(-Infinity); // to the keys of one query
  for (let i = 0, at = 0; i < tq; i++) {
    let diagonal = i === 0 ? 0 : -Infinity;
    let left = -Infinity;
    for (let j = 0; j < tk; j++, at++) {
      const above = best[j];
      const most = Math.max(diagonal, left, above);
      steps[at] = most === diagonal ? BOTH : most === left ? KEY : QUERY;
      left = most + map[at];
      best[j] = left;
      diagonal = above;
    }
  }
  return steps;
}

/** Back from the last query and key to the first. */
function follow(steps: Uint8Array, tq: number, tk: number): Alignment {
  const [queries, keys]: number[][] = [[], []];
  const [starts, ends] = [new Int32Array(tq), new Int32Array(tq)];
  for (let i = tq - 1, j = tk - 1; i >= 0 && j >= 0; ) {
    queries.push(i);
    keys.push(j);
    starts[i] = j;
    ends[i] ||= j + 1;
    const step = steps[i * tk + j];
    if (step !== KEY) i--;
    if (step !== QUERY) j--;
  }
  return { starts, ends, path: { queries: Int32Array.from(queries.reverse()), keys: Int32Array.from(keys.reverse()) } };
}
