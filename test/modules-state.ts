// Parameters under PyTorch's names, and the modules' tensors as the oracle's matrices.
import type { Matrix, Parameters } from "./modules-oracle.js";
import { Random } from "./random.js";
import { normal, product, type Tensor } from "./tensors.js";

export type Dims = Record<string, number[]>;
export type State = Map<string, Tensor>;

export interface Sizes {
  dModel: number;
  dimFeedforward: number;
  bias: boolean;
}

/** Names and dims below one MultiheadAttention. */
export function attentionDims(name: string, d: number, bias = true, n = d): Dims {
  return {
    [`${name}.in_proj_weight`]: [3 * n, d],
    [`${name}.out_proj.weight`]: [d, n],
    ...(bias && { [`${name}.in_proj_bias`]: [3 * n], [`${name}.out_proj.bias`]: [d] }),
  };
}

export function encoderLayerDims({ dModel, dimFeedforward, bias }: Sizes): Dims {
  return {
    ...attentionDims("self_attn", dModel, bias),
    ...weights("linear1", [dimFeedforward, dModel], bias),
    ...weights("linear2", [dModel, dimFeedforward], bias),
    ...weights("norm1", [dModel], bias),
    ...weights("norm2", [dModel], bias),
  };
}

export function decoderLayerDims(sizes: Sizes): Dims {
  const { dModel, bias } = sizes;
  return {
    ...encoderLayerDims(sizes),
    ...attentionDims("multihead_attn", dModel, bias),
    ...weights("norm3", [dModel], bias),
  };
}

export function stackDims(layer: Dims, layers: number, dModel: number, bias = true): Dims {
  const numbered = Array.from({ length: layers }, (_, i) => prefixed(layer, `layers.${i}.`));
  return Object.assign({}, ...numbered, weights("norm", [dModel], bias));
}

export function prefixed(dims: Dims, prefix: string): Dims {
  return Object.fromEntries(Object.entries(dims).map(([name, each]) => [prefix + name, each]));
}

function weights(name: string, dims: number[], bias: boolean): Dims {
  return { [`${name}.weight`]: dims, ...(bias && { [`${name}.bias`]: [dims[0]] }) };
}

/** Numbers of a size that keeps activations near 1. */
export function randomState(dims: Dims, seed = 1): State {
  const random = new Random(seed);
  return new Map(
    Object.entries(dims).map(([name, each]) => {
      const tensor = normal(random, each);
      const factor = each.length > 1 ? 1 / Math.sqrt(each[each.length - 1]) : 0.5;
      return [name, { ...tensor, data: (tensor.data as Float32Array).map((x) => x * factor) }];
    }),
  );
}

/** For the oracle. */
export function parametersOf(state: State): Parameters {
  return (name) => {
    const tensor = state.get(name);
    return (tensor && matrix(tensor)) as Matrix;
  };
}

/** The rows of one batch entry; of a tensor without a batch, all. */
export function matrix({ data, dims }: { data: ArrayLike<number>; dims: number[] }, entry = 0): Matrix {
  const [rows, columns] = dims.length === 1 ? [1, dims[0]] : dims.slice(-2);
  const start = entry * rows * columns;
  return Array.from({ length: rows }, (_, i) =>
    Array.from({ length: columns }, (_, c) => data[start + i * columns + c]),
  );
}

/** Rows `from` to `to` of every batch entry. */
export function rowsOf({ data, dims }: Tensor, from: number, to: number): Tensor {
  const [t, d] = dims.slice(-2);
  const entries = product(dims) / (t * d);
  const taken = new Float32Array(entries * (to - from) * d);
  for (let b = 0; b < entries; b++) {
    taken.set((data as Float32Array).subarray((b * t + from) * d, (b * t + to) * d), b * (to - from) * d);
  }
  return { data: taken, dims: [...dims.slice(0, -2), to - from, d], type: "float32" };
}
