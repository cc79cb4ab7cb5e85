// The modules that PyTorch computed: weights, inputs and outputs in one file each.

import {
  type Module,
  MultiheadAttention,
  Transformer,
  TransformerDecoderLayer,
  TransformerEncoderLayer,
} from "../src/nn/index.js";
import { readSafetensors } from "../src/safetensors.js";
import { type Tensor, tensor } from "./tensors.js";

/** One entry of index.json. */
export interface TorchCase {
  name: string;
  file: string;
  module: string;
  [option: string]: unknown;
}

export type Tensors = Record<string, Tensor>;

/** The inputs and outputs of a file by their names there, and its module with the weights. */
export async function readCase(file: URL, described: TorchCase) {
  const stored = await readSafetensors(file);
  const module = makeModule(described);
  const below = (prefix: string) =>
    Object.fromEntries(
      [...stored].filter(([name]) => name.startsWith(prefix)).map(([name, x]) => [name.slice(prefix.length), x]),
    ) as unknown as Tensors;
  module.loadStateDict(stored, "weights.");
  return { module, inputs: below("in."), outputs: below("out.") };
}

const CLASSES: Record<string, new (options: never) => Module> = {
  MultiheadAttention,
  TransformerEncoderLayer,
  TransformerDecoderLayer,
  Transformer,
};

function makeModule({ module, ...entry }: TorchCase): Module {
  const { name: _name, file: _file, note: _note, batch_first: _batchFirst, ...given } = entry;
  const options = Object.fromEntries(
    Object.entries(given).map(([key, value]) => [key.replace(/_(\w)/g, (_, letter) => letter.toUpperCase()), value]),
  );
  return new CLASSES[module](options as never);
}

/** PyTorch's boolean masks are true where a key is ignored, ours where it is attended. */
export function inverse({ data, dims }: Tensor): Tensor {
  const attended = Array.from(data, (ignored) => 1 - ignored);
  return tensor(attended, dims, "bool");
}

/** A key_padding_mask `[batch, tk]` as keyLengths: padding is at the end. */
export function lengths({ data, dims }: Tensor): number[] {
  const [batch, tk] = dims;
  return Array.from({ length: batch }, (_, b) => Array.from(data.subarray(b * tk, (b + 1) * tk)).indexOf(1)).map(
    (first) => (first < 0 ? tk : first),
  );
}

/** A key_padding_mask `[batch, tk]` as a mask of ours. */
export function padding(mask: Tensor): Tensor {
  const [batch, tk] = mask.dims;
  return { ...inverse(mask), dims: [batch, 1, 1, tk] };
}
