// Keys that every query sees besides those of its sequence, whatever the masks say: PyTorch's bias_k and add_zero_attn.
import { attention } from "../attention.js";
import { float32 } from "../blocks/weights.js";
import type { AttentionOptions } from "../options.js";
import type { Tensor, TensorLike } from "../tensor.js";
import type { Activations } from "./activations.js";
import type { Parameters } from "./module.js";
import type { Projected } from "./multihead.js";

/** `[extra, n]`, or undefined where there are none. */
export function extraKeys({ bias_k, bias_v }: Parameters, zero: boolean, n: number): Projected | undefined {
  const count = Number(bias_k !== undefined) + Number(zero);
  if (count === 0) return undefined;
  const rows = (bias: Parameters[string] | undefined): Activations => {
    const data = new Float32Array(count * n);
    if (bias) data.set(float32(bias));
    return { data, dims: [count, n], type: "float32" };
  };
  return { key: rows(bias_k), value: rows(bias_v) };
}

/** Attention to both as if the extra keys came last: the two softmaxes join by their lse. */
export async function attendWithExtra(
  extra: Projected,
  query: Activations,
  key: TensorLike,
  value: TensorLike,
  options: AttentionOptions,
): Promise<{ output: Activations; weights: Tensor<Float32Array> | undefined }> {
  const ranked = ({ data, dims, type }: Activations) => ({
    data,
    dims: [1, 1, ...dims].slice(-query.dims.length),
    type,
  });
  const { heads, threads, signal, weights } = options;
  const always = { heads, threads, signal, weights, lse: true } as const;
  const own = await attention(query, key, value, { ...options, lse: true as const });
  const more = await attention(query, ranked(extra.key), ranked(extra.value), always);
  const parts = [
    { ...own, share: shareOf(own.lse, more.lse) },
    { ...more, share: shareOf(more.lse, own.lse) },
  ];
  return { output: sumOf(parts), weights: weights ? joined(parts) : undefined };
}

/** A part of the keys, and how much of the whole softmax it has: `[batch, heads, tq]`, as lse. */
interface Part {
  output: Activations;
  lse: Tensor<Float32Array>;
  weights: Tensor<Float32Array> | undefined;
  share: Float32Array;
}

function shareOf(lse: Tensor<Float32Array>, other: Tensor<Float32Array>): Float32Array {
  return lse.data.map((x, i) => 1 / (1 + Math.exp(other.data[i] - x)));
}

function sumOf(parts: readonly Part[]): Activations {
  const [{ output, lse }] = parts;
  const [batch, heads, tq] = lse.dims;
  const width = output.dims[output.dims.length - 1] / heads;
  const sum = new Float32Array(output.data.length);
  for (let at = 0, row = 0; row < batch * tq * heads; row++) {
    // Rows of the output are in the order batch, query, head; those of lse batch, head, query.
    const [b, i, h] = [Math.floor(row / (tq * heads)), Math.floor(row / heads) % tq, row % heads];
    const from = (b * heads + h) * tq + i;
    for (let c = 0; c < width; c++, at++) {
      for (const { output, share } of parts) sum[at] += share[from] * output.data[at];
    }
  }
  return { data: sum, dims: output.dims, type: "float32" };
}

function joined(parts: readonly Part[]): Tensor<Float32Array> {
  const { dims } = parts[0].lse;
  const counts = parts.map(({ weights }) => (weights as Tensor).dims[3]);
  const tk = counts.reduce((a, b) => a + b);
  const all = new Float32Array(dims.reduce((a, b) => a * b) * tk);
  let first = 0;
  parts.forEach(({ weights, share }, n) => {
    weights?.data.forEach((weight, i) => {
      const row = Math.floor(i / counts[n]);
      all[row * tk + first + (i % counts[n])] = weight * share[row];
    });
    first += counts[n];
  });
  return { data: all, dims: [...dims, tk], type: "float32" };
}
