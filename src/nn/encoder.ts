import { integer } from "../options.js";
import type { Tensor, TensorLike } from "../tensor.js";
import { type Activations, activations } from "./activations.js";
import { LAYER_DEFAULTS, type LayerOptions, TransformerLayer } from "./layer.js";
import { Module } from "./module.js";
import { MultiheadAttention } from "./multihead.js";
import { LayerNorm } from "./norm.js";
import {
  type Causal,
  checkNames,
  type ModuleResult,
  type RunOptions,
  type Visibility,
  withDefaults,
} from "./options.js";

/** Options of an encoder's forward(): what the tokens of the source see of each other. */
export interface EncoderForwardOptions extends RunOptions, Visibility {
  causal?: Causal;
}

const FORWARD_NAMES = ["mask", "keyLengths", "causal", "weights", "threads", "signal"];

/**
 * torch.nn.TransformerEncoderLayer: self-attention, then a feed-forward, each with a residual sum and a norm.
 *
 * Parameters: those of self_attn (see MultiheadAttention), linear1, linear2, norm1 and norm2.
 * @example
 * const layer = new TransformerEncoderLayer({ dModel: 32, nhead: 4, dimFeedforward: 64 });
 * layer.loadStateDict(tensors, "encoder.layers.0.");
 * const { output } = await layer.forward(src, { keyLengths: [7, 11] });
 */
export class TransformerEncoderLayer extends TransformerLayer {
  readonly selfAttn: MultiheadAttention;

  constructor(options: LayerOptions) {
    super(options, 2);
    this.selfAttn = this.child("self_attn", new MultiheadAttention({ ...this.attention, rotary: this.rotary }));
  }

  /**
   * @param src `[batch, t, dModel]` or `[t, dModel]`
   * @returns weights `[batch, nhead, t, t]` where they were asked for
   */
  async forward(src: TensorLike, options: EncoderForwardOptions = {}): Promise<ModuleResult<Tensor<Float32Array>>> {
    checkNames(options, FORWARD_NAMES);
    return this.apply(activations("src", src, this.dModel), options);
  }

  /** For other modules: x is as activations() gives it. */
  async apply(x: Activations, options: EncoderForwardOptions): Promise<ModuleResult<Tensor<Float32Array>>> {
    let weights: Tensor<Float32Array> | undefined;
    const [norm1, norm2] = this.norms;
    const attended = await this.residual(x, norm1, async (x) => {
      const result = await this.selfAttn.attend(x, await this.selfAttn.project(x, x, options), options);
      weights = result.weights;
      return result.output;
    });
    const output = await this.residual(attended, norm2, (x) => this.feedForward(x, options));
    return { output, ...(weights && { weights }) };
  }
}

/** Options of a stack of layers. */
export interface StackOptions extends LayerOptions {
  numLayers: number;
  /** Whether a norm comes after the last layer; false by default. */
  norm?: boolean | undefined;
}

/**
 * torch.nn.TransformerEncoder: layers of one kind, and a final norm if asked for.
 *
 * Parameters: those of layers.0, layers.1 and so on, and of norm.
 * @example
 * const encoder = new TransformerEncoder({ dModel: 32, nhead: 4, numLayers: 6, norm: true });
 */
export class TransformerEncoder extends Module {
  readonly layers: readonly TransformerEncoderLayer[];
  readonly norm: LayerNorm | undefined;

  constructor(options: StackOptions) {
    super();
    const { numLayers, norm, ...layer } = withDefaults(options, STACK_DEFAULTS);
    this.layers = Array.from({ length: integer("numLayers", numLayers, 1) }, (_, i) =>
      this.child(`layers.${i}`, new TransformerEncoderLayer(layer)),
    );
    if (norm) this.norm = this.child("norm", finalNorm(layer));
  }

  /**
   * @param src `[batch, t, dModel]` or `[t, dModel]`
   * @returns weights of every layer, `[batch, nhead, t, t]`, where they were asked for
   */
  async forward(src: TensorLike, options: EncoderForwardOptions = {}): Promise<ModuleResult<Tensor<Float32Array>[]>> {
    checkNames(options, FORWARD_NAMES);
    let x = activations("src", src, this.layers[0].dModel);
    const maps: Tensor<Float32Array>[] = [];
    for (const layer of this.layers) {
      const { output, weights } = await layer.apply(x, options);
      x = output;
      if (weights) maps.push(weights);
    }
    return { output: this.norm ? this.norm.apply(x) : x, ...(options.weights && { weights: maps }) };
  }
}

export const STACK_DEFAULTS = { ...LAYER_DEFAULTS, numLayers: undefined, norm: false };

export function finalNorm({ dModel, layerNormEps: eps, bias }: LayerOptions): LayerNorm {
  return new LayerNorm({ normalizedShape: dModel, eps, bias });
}
