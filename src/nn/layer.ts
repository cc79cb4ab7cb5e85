// What encoder and decoder layers have in common.
import type { Activation, RotaryOptions, WeightType } from "../blocks/index.js";
import { integer, withDefaults } from "../values.js";
import type { Activations } from "./activations.js";
import { Linear } from "./linear.js";
import { Module } from "./module.js";
import type { MultiheadAttentionOptions } from "./multihead.js";
import { LayerNorm } from "./norm.js";
import type { AnyMap, ModuleResult, RunOptions } from "./options.js";
import { borrow, giveBack } from "./scratch.js";

/** Options of torch.nn.TransformerEncoderLayer and torch.nn.TransformerDecoderLayer. */
export interface LayerOptions {
  dModel: number;
  nhead: number;
  /** 2048 by default. */
  dimFeedforward?: number | undefined;
  /** Of the feed-forward: "relu" by default; "gelu" is the exact one. */
  activation?: Activation | undefined;
  /** Whether linear1 has as many rows again, that make gates; false by default, as always in PyTorch. */
  gated?: boolean | undefined;
  /** 1e-5 by default. */
  layerNormEps?: number | undefined;
  /** Whether norms stand before attention and feed-forward, not after the residual sums; false by default. */
  normFirst?: boolean | undefined;
  /** Whether linear layers and norms have biases; true by default. */
  bias?: boolean | undefined;
  /** Rotary positions of the self-attention's queries and keys; none by default, as always in PyTorch. */
  rotary?: RotaryOptions | undefined;
  /** How weights of matrices are kept: "float32" (the default), "bfloat16", "int8" with a scale per row, or "int8-dynamic". */
  weightType?: WeightType | undefined;
  /** Without effect: there is no training here. */
  dropout?: number | undefined;
}

export const LAYER_DEFAULTS = {
  dModel: undefined,
  nhead: undefined,
  dimFeedforward: 2048,
  activation: "relu",
  gated: false,
  layerNormEps: 1e-5,
  normFirst: false,
  bias: true,
  rotary: undefined,
  weightType: "float32",
  dropout: 0.1,
} as const;

/** Attention or feed-forward: adds the residual to what it makes of x. */
export type Part = (x: Activations, residual: Activations) => Promise<ModuleResult<AnyMap>>;

/** The parts of a layer that do not attend, and how they are joined. */
export abstract class TransformerLayer extends Module {
  readonly dModel: number;
  readonly nhead: number;
  readonly normFirst: boolean;
  /** Of the layer's attentions; the self-attention has `rotary`, too. */
  protected readonly attention: MultiheadAttentionOptions;
  protected readonly rotary: RotaryOptions | undefined;
  readonly linear1: Linear;
  readonly linear2: Linear;
  /** norm1, norm2 and so on. */
  protected readonly norms: readonly LayerNorm[];

  constructor(options: LayerOptions, norms: number) {
    const given = withDefaults(options, LAYER_DEFAULTS);
    const { activation, gated, bias, weightType, layerNormEps: eps } = given;
    const dModel = integer("dModel", given.dModel, 1);
    const hidden = integer("dimFeedforward", given.dimFeedforward, 1);
    const up = { inFeatures: dModel, outFeatures: hidden, bias, weightType, activation, gated };
    super();
    this.dModel = dModel;
    this.nhead = integer("nhead", given.nhead, 1);
    this.normFirst = given.normFirst;
    this.rotary = given.rotary;
    this.attention = { embedDim: dModel, numHeads: this.nhead, bias, weightType };
    this.linear1 = this.child("linear1", new Linear(up));
    this.linear2 = this.child("linear2", new Linear({ inFeatures: hidden, outFeatures: dModel, bias, weightType }));
    this.norms = Array.from({ length: norms }, (_, i) =>
      this.child(`norm${i + 1}`, new LayerNorm({ normalizedShape: dModel, eps, bias })),
    );
  }

  /** A part's result with x added, which is in new memory, and with the norm where normFirst says. */
  protected async residual(x: Activations, norm: LayerNorm, part: Part): Promise<ModuleResult<AnyMap>> {
    if (this.normFirst) {
      const normed = norm.apply(x, borrow(x.data.length));
      const result = await part(normed, x);
      giveBack(normed.data);
      return result;
    }
    const { output, ...maps } = await part(x, x);
    return { output: norm.apply(output, output.data), ...maps };
  }

  protected async feedForward(
    x: Activations,
    residual: Activations,
    options: RunOptions,
  ): Promise<ModuleResult<never>> {
    const hidden = await this.linear1.apply(x, options);
    const output = await this.linear2.apply(hidden, options, residual);
    giveBack(hidden.data);
    return { output };
  }
}
