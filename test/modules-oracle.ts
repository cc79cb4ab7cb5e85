// PyTorch's modules in naive float64, one batch entry at a time. Imports nothing of src.

/** Rows of numbers. */
export type Matrix = number[][];

/** A parameter by its name, as rows; a vector is one row. */
export type Parameters = (name: string) => Matrix;

/** What is added to the score of a query and a key of one head; -Infinity: the key is not there. */
export type Bias = (head: number, i: number, j: number) => number;

const open: Bias = () => 0;

export interface Attended {
  output: Matrix;
  /** Per head, [tq][tk]. */
  weights: Matrix[];
}

export interface MultiheadOptions {
  heads: number;
  bias?: Bias;
  addZeroAttn?: boolean;
}

/** torch.nn.MultiheadAttention. */
export function multihead(p: Parameters, [query, key, value]: Matrix[], options: MultiheadOptions): Attended {
  const { heads, bias = open, addZeroAttn = false } = options;
  const n = p("out_proj.weight")[0].length;
  const project = (x: Matrix, name: string, at: number) => {
    const fused = p("in_proj_weight");
    const weight = fused ? fused.slice(at * n, (at + 1) * n) : p(name);
    return affine(x, weight, p("in_proj_bias")?.[0].slice(at * n, (at + 1) * n));
  };
  const q = project(query, "q_proj_weight", 0);
  const extra = (row: number[] | undefined) => [...(row ? [row] : []), ...(addZeroAttn ? [Array(n).fill(0)] : [])];
  const k = [...project(key, "k_proj_weight", 1), ...extra(p("bias_k")?.[0])];
  const v = [...project(value, "v_proj_weight", 2), ...extra(p("bias_v")?.[0])];
  const d = n / heads;
  const weights = Array.from({ length: heads }, (_, h) =>
    q.map((row, i) =>
      softmax(
        k.map((other, j) => {
          const x = dot(row.slice(h * d, (h + 1) * d), other.slice(h * d, (h + 1) * d)) / Math.sqrt(d);
          return x + (j < key.length ? bias(h, i, j) : 0);
        }),
      ),
    ),
  );
  const joined = q.map((_, i) =>
    Array.from({ length: n }, (_, c) =>
      dot(
        weights[Math.floor(c / d)][i],
        v.map((row) => row[c]),
      ),
    ),
  );
  return { output: affine(joined, p("out_proj.weight"), p("out_proj.bias")?.[0]), weights };
}

export interface LayerOptions {
  heads: number;
  normFirst: boolean;
  activation: "relu" | "gelu";
  eps: number;
}

/** torch.nn.TransformerEncoderLayer. */
export function encoderLayer(p: Parameters, src: Matrix, options: LayerOptions, bias?: Bias): Matrix {
  const { heads } = options;
  const attend = (x: Matrix) => multihead(below(p, "self_attn."), [x, x, x], { heads, ...(bias && { bias }) }).output;
  return residual(p, "norm2", residual(p, "norm1", src, attend, options), feedForward(p, options), options);
}

/** torch.nn.TransformerDecoderLayer. */
export function decoderLayer(
  p: Parameters,
  tgt: Matrix,
  memory: Matrix,
  options: LayerOptions,
  biases: Bias[],
): Matrix {
  const { heads } = options;
  const [own, cross] = biases;
  const attend = (x: Matrix) => multihead(below(p, "self_attn."), [x, x, x], { heads, bias: own }).output;
  const ask = (x: Matrix) => multihead(below(p, "multihead_attn."), [x, memory, memory], { heads, bias: cross }).output;
  const crossed = residual(p, "norm2", residual(p, "norm1", tgt, attend, options), ask, options);
  return residual(p, "norm3", crossed, feedForward(p, options), options);
}

export function layerNorm(p: Parameters, name: string, x: Matrix, eps: number): Matrix {
  const [[weight], bias] = [p(`${name}.weight`), p(`${name}.bias`)?.[0]];
  return x.map((row) => {
    const mean = sum(row) / row.length;
    const deviation = Math.sqrt(sum(row.map((a) => (a - mean) ** 2)) / row.length + eps);
    return row.map((a, c) => ((a - mean) / deviation) * weight[c] + (bias?.[c] ?? 0));
  });
}

export function below(p: Parameters, prefix: string): Parameters {
  return (name) => p(prefix + name);
}

function residual(
  p: Parameters,
  norm: string,
  x: Matrix,
  part: (x: Matrix) => Matrix,
  { normFirst, eps }: LayerOptions,
): Matrix {
  const plus = (a: Matrix, b: Matrix) => a.map((row, i) => row.map((value, c) => value + b[i][c]));
  return normFirst ? plus(x, part(layerNorm(p, norm, x, eps))) : layerNorm(p, norm, plus(x, part(x)), eps);
}

function feedForward(p: Parameters, { activation }: LayerOptions): (x: Matrix) => Matrix {
  const act = activation === "relu" ? (x: number) => Math.max(x, 0) : gelu;
  return (x) => {
    const hidden = affine(x, p("linear1.weight"), p("linear1.bias")?.[0]).map((row) => row.map(act));
    return affine(hidden, p("linear2.weight"), p("linear2.bias")?.[0]);
  };
}

/** x times the standard normal distribution's integral, by its series. */
function gelu(x: number): number {
  if (Math.abs(x) > 8) return Math.max(x, 0);
  let [total, term] = [0, x];
  for (let n = 1; Math.abs(term) > 1e-18; n += 2) {
    total += term;
    term *= (x * x) / (n + 2);
  }
  return x * (0.5 + (total * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI));
}

function affine(x: Matrix, weight: Matrix, bias: number[] | undefined): Matrix {
  return x.map((row) => weight.map((column, c) => dot(row, column) + (bias?.[c] ?? 0)));
}

function softmax(scores: number[]): number[] {
  const largest = Math.max(...scores);
  if (largest === -Infinity) return scores.map(() => 0);
  const powers = scores.map((x) => Math.exp(x - largest));
  return powers.map((power) => power / sum(powers));
}

function dot(a: number[], b: number[]): number {
  return a.reduce((total, value, i) => total + value * b[i], 0);
}

function sum(values: number[]): number {
  return values.reduce((a, b) => a + b, 0);
}
