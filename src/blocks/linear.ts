import { checkAttached, checkFixed } from "../arrays.js";
import { currentBackend } from "../backend.js";
import { wrongKind, wrongValue } from "../errors.js";
import type { Backend } from "../problem.js";
import type { TensorLike } from "../tensor.js";
import { checkSignal, integer, oneOf, withDefaults } from "../values.js";
import type { Activation, Layer, LinearCall, WeightType } from "./calls.js";
import { checkApart, checkSameOrApart, floats, floatsOf, resultOf, rowsOf } from "./check.js";
import { float32, roundWeights, weightView } from "./weights.js";

export interface LinearOptions {
  /**
   * How weights are stored: "float32" (the default), "bfloat16", or "int8" with a scale per row, where rows of x are
   * rounded to 16 bits, with a scale each, and products are of integers. With "int8-dynamic" they are rounded to int8 as
   * well: the fastest, for models that bear it (PyTorch and onnxruntime call it dynamic quantisation).
   */
  type?: WeightType | undefined;
  /**
   * "none" (the default), "relu", "silu" (x / (1 + e^-x)), "gelu" (x times the normal distribution's integral), or its
   * approximation by tanh, "gelu-tanh" (Hendrycks and Gimpel, arXiv:1606.08415), or "tanh".
   */
  activation?: Activation | undefined;
  /**
   * Gated linear units (Shazeer, arXiv:2002.05202): of the weight's rows the second half makes gates, and the output is
   * `activation(gate) * hidden`. With "silu" it is SwiGLU.
   */
  gated?: boolean | undefined;
}

/** Of one call. */
export interface ApplyOptions {
  /** Added to the output, of its exact length: `out` itself, or apart from it. */
  residual?: Float32Array | undefined;
  /** Takes the output: of its exact length, apart from x. */
  out?: Float32Array | undefined;
  /** At most so many threads; the pool's size by default. */
  threads?: number | undefined;
}

export interface AsyncApplyOptions extends ApplyOptions {
  /** Rejects with its reason; then the content of `out` is undefined. */
  signal?: AbortSignal | undefined;
}

const LINEAR_DEFAULTS = { type: "float32" as WeightType, activation: "none" as Activation, gated: false };
const APPLY_DEFAULTS = {
  residual: undefined as Float32Array | undefined,
  out: undefined as Float32Array | undefined,
  threads: undefined as number | undefined,
  signal: undefined as AbortSignal | undefined,
};
export const WEIGHT_TYPES: readonly WeightType[] = ["float32", "bfloat16", "int8", "int8-dynamic"];
export const ACTIVATIONS: readonly Activation[] = ["none", "relu", "gelu", "gelu-tanh", "silu", "tanh"];

/** Of both kinds of int8: sums of so many products of 127 * 128 fit 32 bits. */
const MOST_INTEGER_INPUTS = 132_104;

/** A layer with weights packed for the backend that was current when it was made. */
export class PackedLayer {
  readonly layer: Layer;
  readonly #backend: Backend;

  /** @param weight `[rows, inputs]`, row-major; the tensor may change after that */
  constructor(weight: Float32Array, inputs: number, bias: TensorLike | undefined, options: LinearOptions | undefined) {
    const given = withDefaults(options, LINEAR_DEFAULTS);
    const type = oneOf("type", given.type, WEIGHT_TYPES);
    const activation = oneOf("activation", given.activation, ACTIVATIONS);
    const { gated } = given;
    const rows = weight.length / inputs;
    if (gated && rows % 2 !== 0) throw wrongValue("weight", "an even number of rows (hidden ones, then gates)", rows);
    if ((type === "int8" || type === "int8-dynamic") && inputs > MOST_INTEGER_INPUTS) {
      throw wrongValue("weight", `at most ${MOST_INTEGER_INPUTS} inputs (for ${type})`, inputs);
    }
    const shift = bias && weightView("bias", bias, [rows], `[${rows}] (one per row of "weight")`);
    this.#backend = currentBackend();
    const rounded = roundWeights("weight", weight, inputs, type);
    this.layer = {
      inputs,
      outputs: gated ? rows / 2 : rows,
      type,
      packed: this.#backend.blocks.pack(rounded, gated),
      scales: rounded.scales,
      bias: shift && float32(shift).slice(),
      activation,
      gated,
    };
  }

  async apply(x: Float32Array, rows: number, stride: number, options: AsyncApplyOptions | undefined) {
    const { call, signal } = this.#check(x, rows, stride, options);
    checkSignal(signal);
    const arrays = Object.entries({ x, residual: call.residual ?? x, out: call.y });
    for (const [name, array] of arrays) checkFixed(name, array);
    signal?.throwIfAborted();
    if (rows > 0) await this.#backend.blocks.linearAsync(call, signal);
    for (const [name, array] of arrays) checkAttached(name, array);
    return call.y;
  }

  applySync(x: Float32Array, rows: number, stride: number, options: ApplyOptions | undefined): Float32Array {
    const { call, signal } = this.#check(x, rows, stride, options);
    if (signal !== undefined) throw wrongKind("signal", "nothing (applySync cannot abort)", signal);
    if (rows > 0) this.#backend.blocks.linear(call);
    return call.y;
  }

  #check(x: Float32Array, rows: number, stride: number, options: AsyncApplyOptions | undefined) {
    const { residual, out, threads, signal } = withDefaults(options, APPLY_DEFAULTS);
    const { layer } = this;
    const most = threads === undefined ? 0 : integer("threads", threads, 1);
    const [length, why] = [rows * layer.outputs, `${rows} rows of ${layer.outputs}`];
    if (residual !== undefined) floatsOf("residual", residual, length, why);
    const y = resultOf(out, length, why);
    checkApart(y, "x", x);
    if (residual !== undefined) checkSameOrApart(y, "residual", residual);
    const call: LinearCall = { layer, x, rows, stride, residual, y, threads: most };
    return { call, signal };
  }
}

/**
 * `activation(x weight^T + bias) + residual`, with weights packed once for the kernels: torch.nn.Linear, with the activation
 * and a residual sum in the same pass. A row of the output has the same bits whatever other rows come with it and however
 * many threads work.
 *
 * Weights of type "bfloat16" are rounded to the nearest, those of "int8" to 127 steps either way of a scale per row. Then
 * rows of x are rounded as well, to 32639 steps either way of their largest magnitude, or to 127 with "int8-dynamic": an
 * output is off by at most half a step times the sum of its weights' magnitudes. A row with NaN or an infinity gives NaN.
 *
 * @example
 * const up = new Linear({ data: weight, dims: [2048, 512] }, { data: bias, dims: [2048] }, { activation: "relu" });
 * const hidden = await up.apply(x); // x: Float32Array [rows, 512]; hidden: Float32Array [rows, 2048]
 */
export class Linear {
  readonly inputs: number;
  /** Half of the weight's rows where it is gated. */
  readonly outputs: number;
  readonly type: WeightType;
  readonly #packed: PackedLayer;

  /**
   * @param weight `[outputs, inputs]`, PyTorch's layout, of any float type; gated: `[2 * outputs, inputs]`, the gates last
   * @param bias one entry per row of the weight
   * @throws TypeError and RangeError for wrong arguments, before any work
   */
  constructor(weight: TensorLike, bias?: TensorLike, options?: LinearOptions) {
    const view = weightView("weight", weight, [-1, -1], "[outputs, inputs], at least one of each");
    this.#packed = new PackedLayer(float32(view), view.dims[1], bias, options);
    ({ inputs: this.inputs, outputs: this.outputs, type: this.type } = this.#packed.layer);
  }

  /**
   * On threads of the library; small work is done at once. Do not write to x or transfer it before the promise settles.
   *
   * @param x `[rows, inputs]`
   * @returns `[rows, outputs]`
   */
  async apply(x: Float32Array, options?: AsyncApplyOptions): Promise<Float32Array> {
    return this.#packed.apply(x, this.#rows(x), this.inputs, options);
  }

  /** The same before it returns, with the same bits. */
  applySync(x: Float32Array, options?: ApplyOptions): Float32Array {
    return this.#packed.applySync(x, this.#rows(x), this.inputs, options);
  }

  #rows(x: Float32Array): number {
    return rowsOf("x", floats("x", x), this.inputs, 'inputs of "weight"');
  }
}
