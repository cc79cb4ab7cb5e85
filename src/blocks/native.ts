// Hands calls of the building blocks to the addon.
import { tooLarge } from "../errors.js";
import { codeOf } from "../native-store.js";
import type { TypedArray } from "../tensor.js";
import type {
  Activation,
  Blocks,
  EmbeddingCall,
  LinearCall,
  NormCall,
  Packed,
  RotaryCall,
  Weights,
  WeightType,
} from "./calls.js";

/** What native/blocks-binding.cc exports. Each takes the index of a kernel, a block of parameters, then arrays. */
export interface BlocksAddon {
  /** Order of the parameters: of linear(), norm(), embedding() and rotary(), one after the other. */
  readonly fields: readonly string[];
  readonly packedBytes: Entry<number>;
  readonly pack: Entry<void>;
  readonly linear: Entry<void>;
  /** The last array is the cell that cancels. */
  readonly linearAsync: Entry<Promise<void>>;
  readonly norm: Entry<void>;
  readonly embedding: Entry<void>;
  readonly rotary: Entry<void>;
}

type Entry<Result> = (kernel: number, block: Float64Array, ...arrays: (TypedArray | undefined)[]) => Result;

/** Starts an asynchronous call, which the signal cancels by way of the cell. */
export type Watch = (
  signal: AbortSignal | undefined,
  start: (cancel: Int32Array | undefined) => Promise<void>,
) => Promise<void>;

const LINEAR_FIELDS = "rows inputs outputs stride type activation gated wanted".split(" ");
export const BLOCK_FIELDS = [
  ...LINEAR_FIELDS,
  ..."rows width centred eps".split(" "),
  ..."rows width type stride scale".split(" "),
  ..."rows heads size dims interleaved".split(" "),
];

/** Enums of native/blocks.h. */
const STORED: Record<WeightType, number> = { float32: 0, bfloat16: 1, int8: 2, "int8-dynamic": 3 };
const ACTIVATION: Record<Activation, number> = { none: 0, relu: 1, gelu: 2, "gelu-tanh": 3, silu: 4, tanh: 5 };

// One for all calls: the addon has read it when it returns.
const block = new Float64Array(LINEAR_FIELDS.length);

function filled(...parameters: number[]): Float64Array {
  block.set(parameters);
  return block;
}

/** The building blocks of one kernel of the addon. */
export class NativeBlocks implements Blocks {
  readonly #addon: BlocksAddon;
  readonly #kernel: number;
  readonly #watch: Watch;

  constructor(addon: BlocksAddon, kernel: number, watch: Watch) {
    this.#addon = addon;
    this.#kernel = kernel;
    this.#watch = watch;
  }

  pack({ type, data, rows, inputs }: Weights, gated: boolean): Packed {
    const outputs = gated ? rows / 2 : rows;
    const shape = filled(0, inputs, outputs, inputs, STORED[type], ACTIVATION.none, Number(gated), 0);
    const packed = allocateBytes(this.#addon.packedBytes(this.#kernel, shape));
    this.#addon.pack(this.#kernel, shape, data, packed);
    return packed;
  }

  linear(call: LinearCall): void {
    this.#enter(this.#addon.linear, call, undefined);
  }

  linearAsync(call: LinearCall, signal: AbortSignal | undefined): Promise<void> {
    return this.#watch(signal, (cancel) => this.#enter(this.#addon.linearAsync, call, cancel));
  }

  #enter<Result>(
    entry: Entry<Result>,
    { layer, x, rows, stride, residual, y, threads }: LinearCall,
    cancel?: Int32Array,
  ) {
    const { inputs, outputs, type, activation, gated, packed, scales, bias } = layer;
    filled(rows, inputs, outputs, stride, STORED[type], ACTIVATION[activation], Number(gated), threads);
    return entry(this.#kernel, block, x, packed, scales, bias, residual, y, cancel);
  }

  norm({ x, rows, width, centred, eps, weight, bias, y }: NormCall): void {
    this.#addon.norm(this.#kernel, filled(rows, width, Number(centred), eps), x, weight, bias, y);
  }

  embedding({ table, type, stride, width, ids, scale, y }: EmbeddingCall): void {
    const parameters = filled(ids.length, width, codeOf(type), stride, scale);
    this.#addon.embedding(this.#kernel, parameters, table, ids, y);
  }

  rotary({ x, heads, size, dims, interleaved, positions, table, y }: RotaryCall): void {
    const parameters = filled(positions.length, heads, size, dims, Number(interleaved));
    this.#addon.rotary(this.#kernel, parameters, x, positions, table, y);
  }
}

function allocateBytes(bytes: number): Uint8Array {
  try {
    return new Uint8Array(bytes);
  } catch {
    throw tooLarge("weight", bytes);
  }
}
