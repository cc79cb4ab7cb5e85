// Keys that every query sees besides those of its sequence, whatever the masks say: PyTorch's bias_k and add_zero_attn.
import { attention } from "../attention.js";
import { float32 } from "../blocks/weights.js";
import { KeyValueMemory } from "../memory.js";
import { merge } from "../merge.js";
import type { AttentionOptions } from "../options.js";
import type { Tensor } from "../tensor.js";
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

/** attention() to either form of keys and values. */
export function attendTo<Lse extends boolean = false>(
  query: Activations,
  memory: Projected | KeyValueMemory,
  options: AttentionOptions<Lse, boolean>,
) {
  if (memory instanceof KeyValueMemory) return attention(query, memory, options);
  return attention(query, memory.key, memory.value, options);
}

/** Attention to both as if the extra keys came last. */
export async function attendWithExtra(
  extra: Projected,
  query: Activations,
  memory: Projected | KeyValueMemory,
  options: AttentionOptions<boolean, boolean>,
): Promise<{ output: Activations; weights: Tensor<Float32Array> | undefined }> {
  const ranked = ({ data, dims, type }: Activations) => ({
    data,
    dims: [1, 1, ...dims].slice(-query.dims.length),
    type,
  });
  const { heads, threads, signal, weights } = options;
  const always = { heads, threads, signal, weights, lse: true } as const;
  const own = await attendTo(query, memory, { ...options, lse: true as const });
  const more = await attendTo(query, { key: ranked(extra.key), value: ranked(extra.value) }, always);
  const { output, lse } = merge([own, more], { heads });
  return { output: output as Activations, weights: weights ? joined([own, more], lse.data) : undefined };
}

/** A part of the keys. */
interface Part {
  lse: Tensor<Float32Array>;
  weights: Tensor<Float32Array> | undefined;
}

/** @param lse of the whole: a part's weights are of its own sum of exponentials */
function joined(parts: readonly Part[], lse: Float32Array): Tensor<Float32Array> {
  const { dims } = parts[0].lse;
  const counts = parts.map(({ weights }) => (weights as Tensor).dims[3]);
  const tk = counts.reduce((a, b) => a + b);
  const all = new Float32Array(dims.reduce((a, b) => a * b) * tk);
  let first = 0;
  parts.forEach(({ weights, lse: own }, n) => {
    weights?.data.forEach((weight, i) => {
      const row = Math.floor(i / counts[n]);
      all[row * tk + first + (i % counts[n])] = weight * Math.exp(own.data[row] - lse[row]);
    });
    first += counts[n];
  });
  return { data: all, dims: [...dims, tk], type: "float32" };
}
