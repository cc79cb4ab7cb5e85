// What attention means, in float64 and in the order of the definition. It imports nothing of src, so that an agreement
// of the two is one of independent readings of the same sentences. Slow on purpose: made to be read.

/** A tensor as the public API takes it. A Uint16Array holds what its tag says: "float16" or "bfloat16". */
export interface Tensor {
  data: ArrayLike<number | boolean>;
  dims?: ArrayLike<number> | undefined;
  shape?: ArrayLike<number> | undefined;
  type?: string | undefined;
  dtype?: string | undefined;
  strides?: ArrayLike<number> | undefined;
}

/** The options that change numbers. */
export interface Options {
  layout?: "bhtd" | "bthd" | undefined;
  heads?: number | undefined;
  scale?: number | undefined;
  mask?: Tensor | undefined;
  keyLengths?: ArrayLike<number> | ArrayLike<bigint> | undefined;
  causal?: false | "top-left" | "bottom-right" | { offset: number | ArrayLike<number> } | undefined;
  window?: ArrayLike<number> | undefined;
  alibi?: ArrayLike<number> | undefined;
  softcap?: number | undefined;
  sinks?: ArrayLike<number> | undefined;
}

export interface Result {
  data: Float64Array;
  dims: number[];
}

export interface Results {
  output: Result;
  lse: Result;
  weights: Result;
}

/** Output, lse and weights of one call, with the dims that the library gives them. */
export function oracle(query: Tensor, key: Tensor, value: Tensor, options: Options = {}): Results {
  const layout = options.heads === undefined ? (options.layout ?? "bhtd") : "heads";
  const q = operand(query, layout, options.heads);
  const k = operand(key, layout, (size(key).at(-1) as number) / q.columns);
  const v = operand(value, layout, k.heads);
  const batch = q.batch === 1 ? k.batch : q.batch;
  const results = zeros(layout, size(query).length, [batch, q.heads, q.rows, k.rows, v.columns]);
  const scoreOf = scorer(q, k, options);
  const isSeen = visibility(batch, q.rows, k.rows, options);
  const keys = Array.from({ length: k.rows }, (_, j) => j);

  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < q.heads; h++) {
      for (let i = 0; i < q.rows; i++) {
        const seen = keys.filter((j) => isSeen(b, h, i, j));
        const scores = seen.map((j) => scoreOf(b, h, i, j));
        const { lse, weights } = softmax(scores, options.sinks?.[h] ?? -Infinity);

        const row = (b * q.heads + h) * q.rows + i;
        results.lse.data[row] = lse;
        const outputRow = layout === "bhtd" ? row : (b * q.rows + i) * q.heads + h;
        const output = results.output.data.subarray(outputRow * v.columns, (outputRow + 1) * v.columns);
        seen.forEach((j, n) => {
          results.weights.data[row * k.rows + j] = weights[n];
          const from = rowOf(v, b, h, j, q.heads);
          for (let c = 0; c < v.columns; c++) output[c] += weights[n] * v.data[from + c];
        });
      }
    }
  }
  return results;
}

/** What the option `weights` may ask for beside true and false. */
export interface MapOptions {
  heads?: readonly number[];
  keys?: readonly number[];
  reduce?: "mean" | "entropy" | "sum";
  over?: "queries";
  topK?: number;
}

/** A map of weights [batch, heads, tq, tk], of which lower ranks leave out batch, then heads; so does the map. */
export function reduced({ data, dims }: Result, { heads, keys, reduce, topK }: MapOptions) {
  const [batch, n, tq, tk] = [1, 1, ...dims].slice(-4);
  const chosenHeads = heads ?? Array.from({ length: n }, (_, h) => h);
  const chosenKeys = keys ?? Array.from({ length: tk }, (_, j) => j);
  const weight = (b: number, h: number, i: number, j: number) => data[((b * n + h) * tq + i) * tk + j];
  const batches = Array.from({ length: batch }, (_, b) => b);
  const queries = Array.from({ length: tq }, (_, i) => i);
  const rank = dims.length;
  const result = (numbers: number[], [b, h, ...rest]: (number | undefined)[]) => ({
    data: Float64Array.from(numbers),
    dims: [...(rank > 3 ? [b] : []), ...(rank > 2 ? [h] : []), ...rest].filter((size) => size !== undefined),
  });
  const each = <T>(of: (b: number, h: number, i: number) => T | T[]): T[] =>
    batches.flatMap((b) => chosenHeads.flatMap((h) => queries.flatMap((i) => of(b, h, i))));

  if (topK !== undefined) {
    const lists = each((b, h, i) => {
      const seen = chosenKeys.map((j) => ({ j, w: weight(b, h, i, j) })).filter(({ w }) => w > 0);
      const sorted = seen.sort((x, y) => y.w - x.w || x.j - y.j);
      return Array.from({ length: topK }, (_, k) => sorted[k] ?? { j: -1, w: 0 });
    });
    const sizes = [batch, chosenHeads.length, tq, topK];
    return {
      weights: result(
        lists.map(({ w }) => w),
        sizes,
      ),
      indices: result(
        lists.map(({ j }) => j),
        sizes,
      ),
    };
  }
  if (reduce === "mean") {
    const means = batches.flatMap((b) =>
      queries.flatMap((i) =>
        chosenKeys.map((j) => sum(chosenHeads.map((h) => weight(b, h, i, j))) / chosenHeads.length),
      ),
    );
    return { weights: result(means, [batch, undefined, tq, chosenKeys.length]) };
  }
  if (reduce === "sum") {
    const sums = batches.flatMap((b) =>
      chosenHeads.flatMap((h) => chosenKeys.map((j) => sum(queries.map((i) => weight(b, h, i, j))))),
    );
    return { weights: result(sums, [batch, chosenHeads.length, chosenKeys.length]) };
  }
  if (reduce === "entropy") {
    const term = (w: number) => (w === 0 ? 0 : -w * Math.log(w));
    const entropies = each((b, h, i) => sum(chosenKeys.map((j) => term(weight(b, h, i, j)))));
    return { weights: result(entropies, [batch, chosenHeads.length, tq]) };
  }
  const chosen = each((b, h, i) => chosenKeys.map((j) => weight(b, h, i, j)));
  return { weights: result(chosen, [batch, chosenHeads.length, tq, chosenKeys.length]) };
}

type Layout = "bhtd" | "bthd" | "heads";

/** The output has the query's rank and layout. The maps are whole, but for the lower ranks of the default layout. */
function zeros(layout: Layout, rank: number, [batch, heads, tq, tk, dv]: number[]): Results {
  const left = layout === "bhtd" ? 4 - rank : 0;
  const output = { bhtd: [batch, heads, tq, dv], bthd: [batch, tq, heads, dv], heads: [batch, tq, heads * dv] }[layout];
  const result = (dims: number[]) => ({ data: new Float64Array(dims.reduce((a, b) => a * b, 1)), dims });
  return {
    output: result(layout === "bthd" && rank === 2 ? [tq, dv] : output.slice(-rank)),
    lse: result([batch, heads, tq].slice(left)),
    weights: result([batch, heads, tq, tk].slice(left)),
  };
}

/** Scores before keys are taken away: scale * q.k, then soft cap, then alibi, then the additive mask. */
function scorer(q: Operand, k: Operand, options: Options) {
  const { softcap, alibi } = options;
  const scale = options.scale ?? 1 / Math.sqrt(q.columns);
  const bias = isAdditive(options.mask) ? broadcast(options.mask) : () => 0;
  const offsets = offsetsOf(options, q.rows, k.rows);

  return (b: number, h: number, i: number, j: number): number => {
    const qFrom = rowOf(q, b, h, i, q.heads);
    const kFrom = rowOf(k, b, h, j, q.heads);
    let x = 0;
    for (let c = 0; c < q.columns; c++) x += q.data[qFrom + c] * k.data[kFrom + c];
    x *= scale;
    if (softcap !== undefined) x = softcap * Math.tanh(x / softcap);
    if (alibi !== undefined) x -= alibi[h] * Math.abs(i + offsets(b) - j);
    return x + bias(b, h, i, j);
  };
}

/** Which keys causal, window, lengths and masks leave to a query. -Infinity in a float mask counts as a 0 in a boolean one. */
function visibility(batch: number, tq: number, tk: number, options: Options) {
  const { causal, window } = options;
  const [left, right] = [window?.[0] ?? -1, window?.[1] ?? -1];
  const mask = options.mask === undefined ? () => 1 : broadcast(options.mask);
  const removes = isAdditive(options.mask) ? -Infinity : 0;
  const lengths = Array.from({ length: batch }, (_, b) => Number(options.keyLengths?.[b] ?? tk));
  const offsets = offsetsOf(options, tq, tk);

  return (b: number, h: number, i: number, j: number): boolean => {
    const here = i + offsets(b);
    if (j >= lengths[b]) return false;
    if (causal && j > here) return false;
    if (left !== -1 && j < here - left) return false;
    if (right !== -1 && j > here + right) return false;
    return mask(b, h, i, j) !== removes;
  };
}

/** Key position of query 0, per batch entry. */
function offsetsOf({ causal, keyLengths }: Options, tq: number, tk: number): (b: number) => number {
  if (causal === "bottom-right") return (b) => Number(keyLengths?.[b] ?? tk) - tq;
  if (typeof causal !== "object") return () => 0;
  const { offset } = causal;
  return typeof offset === "number" ? () => offset : (b) => offset[b];
}

/** Weights, and the natural-log sum of exponentials. The sink takes weight and gives nothing. */
function softmax(scores: number[], sink: number) {
  const m = scores.reduce((a, b) => Math.max(a, b), sink);
  if (m === -Infinity) return { lse: -Infinity, weights: [] }; // nothing to see
  const exps = scores.map((x) => Math.exp(x - m));
  const l = sum(exps) + Math.exp(sink - m);
  return { lse: m + Math.log(l), weights: exps.map((p) => p / l) };
}

function sum(terms: number[]): number {
  return terms.reduce((a, b) => a + b, 0);
}

// --- tensors ---

/** A query, key or value as [batch, heads, rows, columns], row-major, decoded. */
interface Operand {
  data: Float64Array;
  batch: number;
  heads: number;
  rows: number;
  columns: number;
}

/** Where row t for query head h starts. A batch of 1 is shared, and so is a key head by heads / kvHeads query heads. */
function rowOf({ batch, heads, rows, columns }: Operand, b: number, h: number, t: number, queryHeads: number): number {
  const head = Math.floor(h / (queryHeads / heads));
  return (((batch === 1 ? 0 : b) * heads + head) * rows + t) * columns;
}

function operand(tensor: Tensor, layout: Layout, heads = 1): Operand {
  let sizes = size(tensor);
  let strides = stridesOf(tensor);
  if (layout === "heads") {
    // [.., heads * columns] as [.., heads, columns]
    const last = sizes.length - 1;
    const columns = sizes[last] / heads;
    sizes = [...sizes.slice(0, last), heads, columns];
    strides = [...strides.slice(0, last), columns * strides[last], strides[last]];
  }
  const names = layout === "bhtd" ? "bhtd".slice(-sizes.length) : ["td", "thd", "bthd"][sizes.length - 2];
  const axis = (name: string) => {
    const at = names.indexOf(name);
    return at < 0 ? { size: 1, stride: 0 } : { size: sizes[at], stride: strides[at] };
  };
  const [b, h, t, d] = [axis("b"), axis("h"), axis("t"), axis("d")];
  const element = decoder(tensor);
  const data = new Float64Array(b.size * h.size * t.size * d.size);
  let at = 0;
  for (let ib = 0; ib < b.size; ib++) {
    for (let ih = 0; ih < h.size; ih++) {
      for (let it = 0; it < t.size; it++) {
        for (let id = 0; id < d.size; id++) {
          data[at++] = element(ib * b.stride + ih * h.stride + it * t.stride + id * d.stride);
        }
      }
    }
  }
  return { data, batch: b.size, heads: h.size, rows: t.size, columns: d.size };
}

/** A mask as a function of [batch, heads, tq, tk], to which it broadcasts from the right. */
function broadcast(mask: Tensor) {
  const sizes = size(mask);
  const strides = stridesOf(mask);
  const left = 4 - sizes.length;
  const element = decoder(mask);
  return (...index: number[]): number => {
    let at = 0;
    for (let axis = 0; axis < sizes.length; axis++) {
      if (sizes[axis] !== 1) at += index[axis + left] * strides[axis];
    }
    return element(at);
  };
}

function isAdditive(mask: Tensor | undefined): mask is Tensor {
  return mask !== undefined && !(mask.data instanceof Uint8Array) && (mask.type ?? mask.dtype) !== "bool";
}

function decoder({ data, type, dtype }: Tensor): (index: number) => number {
  if (!(data instanceof Uint16Array)) return (index) => Number(data[index]);
  return (type ?? dtype) === "bfloat16" ? (index) => bfloat16(data[index]) : (index) => float16(data[index]);
}

/** 1 sign, 5 exponent and 10 fraction bits. */
export function float16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

const word = new Uint32Array(1);
const float32 = new Float32Array(word.buffer);

/** The upper half of a float32. */
export function bfloat16(bits: number): number {
  word[0] = bits << 16;
  return float32[0];
}

function size({ dims, shape }: Tensor): number[] {
  return Array.from((dims ?? shape) as ArrayLike<number>);
}

function stridesOf(tensor: Tensor): number[] {
  if (tensor.strides !== undefined) return Array.from(tensor.strides);
  const sizes = size(tensor);
  return sizes.map((_, axis) => sizes.slice(axis + 1).reduce((a, b) => a * b, 1));
}
