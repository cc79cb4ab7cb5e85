import { type Activation, Linear as PackedLinear, type WeightType } from "../blocks/index.js";
import { ACTIVATIONS, WEIGHT_TYPES } from "../blocks/linear.js";
import type { TensorLike } from "../tensor.js";
import { checkNames, integer, oneOf, withDefaults } from "../values.js";
import { type Activations, activations } from "./activations.js";
import { Module, type Parameters } from "./module.js";
import type { RunOptions } from "./options.js";
import { borrow } from "./scratch.js";

/** Options of torch.nn.Linear, and what its kernels do beside. */
export interface LinearOptions {
  inFeatures: number;
  outFeatures: number;
  /** true by default. */
  bias?: boolean | undefined;
  /** Of the outputs; "none" by default. "gelu" is the exact one. */
  activation?: Activation | undefined;
  /** Whether the weight has as many rows again, that make gates: `activation(gate) * x`; false by default. */
  gated?: boolean | undefined;
  /** How weights are kept: "float32" (the default), "bfloat16", "int8" with a scale per row, or "int8-dynamic". */
  weightType?: WeightType | undefined;
}

const DEFAULTS = {
  inFeatures: undefined,
  outFeatures: undefined,
  bias: true,
  activation: "none",
  gated: false,
  weightType: "float32",
} as const;

const FORWARD_NAMES = new Set(["threads", "signal"]);

/**
 * torch.nn.Linear: `x weight^T + bias`. Parameters: weight `[outFeatures, inFeatures]`, bias `[outFeatures]`.
 * @example
 * const head = new Linear({ inFeatures: 128, outFeatures: 517, bias: false });
 * head.loadStateDict(tensors, "lm_head.");
 * const logits = await head.forward(output); // [batch, t, 517]
 */
export class Linear extends Module {
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly activation: Activation;
  readonly gated: boolean;
  readonly weightType: WeightType;
  #packed: PackedLinear | undefined;

  constructor(options: LinearOptions) {
    const { bias, activation, gated, weightType, ...given } = withDefaults(options, DEFAULTS);
    const inFeatures = integer("inFeatures", given.inFeatures, 1);
    const outFeatures = integer("outFeatures", given.outFeatures, 1);
    const rows = gated ? 2 * outFeatures : outFeatures;
    super({ weight: [rows, inFeatures], ...(bias && { bias: [rows] }) });
    this.inFeatures = inFeatures;
    this.outFeatures = outFeatures;
    this.activation = oneOf("activation", activation, ACTIVATIONS);
    this.gated = gated;
    this.weightType = oneOf("weightType", weightType, WEIGHT_TYPES);
  }

  protected override take({ weight, bias }: Parameters): void {
    const { activation, gated, weightType: type } = this;
    this.#packed = new PackedLinear(weight, bias, { activation, gated, type });
  }

  /** @param x `[batch, t, inFeatures]` or `[t, inFeatures]` */
  async forward(x: TensorLike, options: Omit<RunOptions, "weights"> = {}): Promise<Activations> {
    checkNames(options, FORWARD_NAMES);
    return this.apply(activations("x", x, this.inFeatures), options);
  }

  /** For other modules: x is as activations() gives it, the residual is added to the result, which is borrowed. */
  apply(x: Activations, options: RunOptions, residual?: Activations): Promise<Activations> {
    this.prepare();
    return applied(this.#packed as PackedLinear, x, options, residual?.data);
  }
}

// Products that are over before a promise of them would be settled.
const SMALL_WORK = 5e5;

/** A packed layer of any rank of rows; the result is borrowed. */
export async function applied(
  layer: PackedLinear,
  { data, dims }: Activations,
  { threads, signal }: RunOptions,
  residual?: Float32Array,
): Promise<Activations> {
  const out = borrow((data.length / layer.inputs) * layer.outputs);
  if (signal === undefined && data.length * layer.outputs < SMALL_WORK)
    layer.applySync(data, { out, threads, residual });
  else await layer.apply(data, { out, threads, signal, residual });
  return { data: out, dims: [...dims.slice(0, -1), layer.outputs], type: "float32" };
}
