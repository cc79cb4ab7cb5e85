// What a backend does beside attention. The facades have checked the calls: nothing in here is validated again.
import type { ElementType } from "../tensor.js";

export type Activation = "none" | "relu" | "gelu" | "gelu-tanh" | "silu" | "tanh";

export type WeightType = "float32" | "bfloat16" | "int8" | "int8-dynamic";

/** A matrix `[rows, inputs]` without gaps, rounded to its type. */
export interface Weights {
  type: WeightType;
  data: Float32Array | Uint16Array | Int8Array;
  /** Per row, for both kinds of int8: what an integer stands for. */
  scales: Float32Array | undefined;
  rows: number;
  inputs: number;
}

/** Weights as one backend has laid them out. */
export type Packed = Float32Array | Uint8Array;

/** `activation(x W^T + bias)`; gated: `activation(x G^T + bias of G) * (x W^T + bias of W)`, where G is the second half. */
export interface Layer {
  inputs: number;
  outputs: number;
  type: WeightType;
  packed: Packed;
  scales: Float32Array | undefined;
  /** Per row of the weights. */
  bias: Float32Array | undefined;
  activation: Activation;
  gated: boolean;
}

/** One call of a layer. */
export interface LinearCall {
  layer: Layer;
  x: Float32Array;
  rows: number;
  /** Elements from one row of x to the next; less than `inputs` where they overlap. */
  stride: number;
  /** `[rows, outputs]`, added to what the layer gives; y, or apart from it. */
  residual: Float32Array | undefined;
  /** `[rows, outputs]` */
  y: Float32Array;
  /** At most so many; 0: the pool's size. */
  threads: number;
}

export interface NormCall {
  x: Float32Array;
  rows: number;
  width: number;
  /** Whether the mean is taken away. */
  centred: boolean;
  eps: number;
  weight: Float32Array | undefined;
  bias: Float32Array | undefined;
  /** x, or apart from it. */
  y: Float32Array;
}

export interface EmbeddingCall {
  table: Float32Array | Uint16Array;
  type: ElementType;
  /** Elements from one row of the table to the next. */
  stride: number;
  width: number;
  ids: Int32Array;
  scale: number;
  /** `[ids, width]` */
  y: Float32Array;
}

export interface RotaryCall {
  /** `[rows, heads, size]` */
  x: Float32Array;
  heads: number;
  size: number;
  /** Leading elements of a head that are turned; even. */
  dims: number;
  interleaved: boolean;
  /** Per row. */
  positions: Int32Array;
  /** `[position, 2, dims / 2]`: cosines, then sines. */
  table: Float32Array;
  /** x, or apart from it. */
  y: Float32Array;
}

/** The building blocks of one backend. */
export interface Blocks {
  /** `gated`: the rows are two halves that one output takes a row each from. */
  pack(weights: Weights, gated: boolean): Packed;
  linear(call: LinearCall): void;
  /** Leaves the event loop free; rejects with the signal's reason. */
  linearAsync(call: LinearCall, signal: AbortSignal | undefined): Promise<void>;
  norm(call: NormCall): void;
  embedding(call: EmbeddingCall): void;
  rotary(call: RotaryCall): void;
}
