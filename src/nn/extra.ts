// Keys that every query sees besides those of its sequence, whatever the masks say: PyTorch's bias_k and add_zero_attn.
import { attention } from "../attention.js";
import { float32 } from "../blocks/weights.js";
import { allocateMap, type MapOptions, mapOf } from "../maps.js";
import { KeyValueMemory } from "../memory.js";
import { merge } from "../merge.js";
import type { AttentionOptions } from "../options.js";
import type { Problem, WeightMap } from "../problem.js";
import { Reducer } from "../reduce.js";
import type { Row } from "../row.js";
import type { Shapes } from "../shapes.js";
import type { Tensor, TensorLike } from "../tensor.js";
import type { Activations } from "./activations.js";
import type { Parameters } from "./module.js";
import type { Projected } from "./multihead.js";
import type { AnyMap } from "./options.js";

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
  options: AttentionOptions<Lse, boolean | MapOptions>,
) {
  if (memory instanceof KeyValueMemory) return attention(query, memory, options);
  return attention(query, memory.key, memory.value, options);
}

/** Attention to both as if the extra keys came last. */
export async function attendWithExtra(
  extra: Projected,
  query: Activations,
  memory: Projected | KeyValueMemory,
  options: AttentionOptions<boolean, boolean | MapOptions>,
): Promise<{ output: Activations; weights: AnyMap | undefined }> {
  const { heads, threads, signal, weights: asked } = options;
  const weights = asked !== undefined && asked !== false;
  const always = { heads, threads, signal, weights, lse: true } as const;
  const own = await attendTo(query, memory, { ...options, weights, lse: true as const });
  // Every batch entry of the whole has the same ones.
  const ranked = ({ data, dims: [count, n], type }: Activations): TensorLike => ({
    data,
    dims: query.dims.length === 2 ? [count, n] : [own.output.dims[0], count, n],
    strides: [0, n, 1].slice(-query.dims.length),
    type,
  });
  const more = await attention(query, ranked(extra.key), ranked(extra.value), always);
  const { output, lse } = merge([own, more], { heads });
  const whole = weights ? joined([own, more] as Part[], lse.data) : undefined;
  return { output: output as Activations, weights: whole && reduced(whole, asked as true | MapOptions) };
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

/** What was asked for of all weights, `[.., heads, tq, tk]`. */
function reduced({ data, dims }: Tensor<Float32Array>, asked: true | MapOptions): AnyMap {
  if (asked === true) return { data, dims, type: "float32" };
  const [heads, tq, tk] = dims.slice(-3);
  const batch = data.length / (heads * tq * tk);
  const sizes = { batch, heads, tq, tk } as Shapes["sizes"];
  const map = mapOf(asked, sizes) as WeightMap;
  const result = allocateMap(map, { layout: { name: "bhtd", rank: dims.length }, sizes } as Shapes);
  const reducer = new Reducer({ tq } as Problem, map);
  for (let at = 0; at < batch * heads * tq; at++) {
    const row = { batch: Math.floor(at / (heads * tq)), head: Math.floor(at / tq) % heads, query: at % tq } as Row;
    const weights = Float64Array.from(data.subarray(at * tk, (at + 1) * tk));
    if (reducer.wantsRow(row)) reducer.take(row, 0, tk, weights, weights.map(Math.log));
  }
  return result;
}
