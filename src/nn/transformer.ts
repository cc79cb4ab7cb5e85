import type { MapOptions } from "../maps.js";
import type { TensorLike } from "../tensor.js";
import { checkNames, integer, withDefaults } from "../values.js";
import { TransformerDecoder } from "./decoder.js";
import { DECODER_NAMES, type DecoderForwardOptions } from "./decoder-layer.js";
import { TransformerEncoder } from "./encoder.js";
import { LAYER_DEFAULTS, type LayerOptions } from "./layer.js";
import { Module } from "./module.js";
import type { DecoderResult, MapOf, Visibility } from "./options.js";

/** Options of torch.nn.Transformer. */
export interface TransformerOptions extends Partial<LayerOptions> {
  /** 6 by default. */
  numEncoderLayers?: number | undefined;
  numDecoderLayers?: number | undefined;
}

/** Options of Transformer.forward(): those of the decoder, and what the tokens of the source see of each other. */
export interface TransformerForwardOptions<
  Asked extends boolean | MapOptions = boolean | MapOptions,
  Own extends boolean | MapOptions = boolean | MapOptions,
  Source extends boolean | MapOptions = boolean | MapOptions,
> extends DecoderForwardOptions<Asked, Own> {
  srcMask?: Visibility["mask"];
  srcKeyLengths?: Visibility["keyLengths"];
  /** As `weights`: the weights of the encoder's self-attention. */
  srcWeights?: Source | undefined;
}

/** What a Transformer gives: of every layer of its decoder, and of its encoder. */
export interface TransformerResult<Weights, Own, Source> extends DecoderResult<Weights, Own> {
  /** Weights of the encoder's self-attention. There when they were asked for. */
  srcWeights?: Source;
}

const FORWARD_NAMES = new Set([...DECODER_NAMES, "srcMask", "srcKeyLengths", "srcWeights"]);
const DEFAULTS = { ...LAYER_DEFAULTS, dModel: 512, nhead: 8, numEncoderLayers: 6, numDecoderLayers: 6 };

/**
 * torch.nn.Transformer: an encoder and a decoder, each with a final norm, between embeddings and logits of your own (Vaswani
 * et al., "Attention is all you need", 2017, figure 1). As in PyTorch, padding of the source is told twice, by
 * srcKeyLengths to the encoder and by memoryKeyLengths to the decoder.
 *
 * Parameters: those of encoder (see TransformerEncoder) and decoder (see TransformerDecoder).
 * @example
 * const whole = new Transformer({ dModel: 32, nhead: 4, numEncoderLayers: 2, numDecoderLayers: 2, dimFeedforward: 64 });
 * whole.loadStateDict(tensors, "transformer.");
 * const { output } = await whole.forward(src, tgt, { causal: true });
 */
export class Transformer extends Module {
  readonly encoder: TransformerEncoder;
  readonly decoder: TransformerDecoder;

  constructor(options: TransformerOptions = {}) {
    super();
    const { numEncoderLayers, numDecoderLayers, ...layer } = withDefaults(options, DEFAULTS);
    const stack = (name: string, numLayers: number) => ({
      ...layer,
      norm: true,
      numLayers: integer(name, numLayers, 1),
    });
    this.encoder = this.child("encoder", new TransformerEncoder(stack("numEncoderLayers", numEncoderLayers)));
    this.decoder = this.child("decoder", new TransformerDecoder(stack("numDecoderLayers", numDecoderLayers)));
  }

  /**
   * @param src `[batch, tk, dModel]` or `[tk, dModel]`
   * @param tgt `[batch, t, dModel]` or `[t, dModel]`
   * @returns of every decoder layer: weights of the cross-attention, `[batch, nhead, t, tk]`, selfWeights `[batch, nhead,
   * t, t]`; srcWeights of every encoder layer, `[batch, nhead, tk, tk]`; or what was asked for of them
   */
  async forward<
    const Asked extends boolean | MapOptions = false,
    const Own extends boolean | MapOptions = false,
    const Source extends boolean | MapOptions = false,
  >(
    src: TensorLike,
    tgt: TensorLike,
    options: TransformerForwardOptions<Asked, Own, Source> = {},
  ): Promise<TransformerResult<MapOf<Asked>[], MapOf<Own>[], MapOf<Source>[]>> {
    checkNames(options, FORWARD_NAMES);
    const { srcMask: mask, srcKeyLengths: keyLengths, srcWeights, ...decoding } = options;
    const { threads, signal } = options;
    const encoded = await this.encoder.forward(src, { mask, keyLengths, weights: srcWeights, threads, signal });
    const result = await this.decoder.forward<Asked, Own>(tgt, encoded.output, decoding);
    return { ...result, ...(encoded.weights && { srcWeights: encoded.weights }) };
  }
}
