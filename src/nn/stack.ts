// What encoder and decoder have in common.
import { integer, withDefaults } from "../values.js";
import type { Activations } from "./activations.js";
import { LAYER_DEFAULTS, type LayerOptions, type TransformerLayer } from "./layer.js";
import { Module } from "./module.js";
import { LayerNorm } from "./norm.js";
import type { AnyMap, DecoderResult } from "./options.js";
import { giveBack } from "./scratch.js";

/** Options of a stack of layers. */
export interface StackOptions extends LayerOptions {
  numLayers: number;
  /** Whether a norm comes after the last layer; false by default. */
  norm?: boolean | undefined;
}

const DEFAULTS = { ...LAYER_DEFAULTS, numLayers: undefined, norm: false };

/** Layers of one kind, and a final norm if asked for. */
export abstract class Stack<Layer extends TransformerLayer> extends Module {
  readonly layers: readonly Layer[];
  readonly norm: LayerNorm | undefined;

  constructor(options: StackOptions, newLayer: (options: LayerOptions) => Layer) {
    super();
    const { numLayers, norm, ...layer } = withDefaults(options, DEFAULTS);
    this.layers = Array.from({ length: integer("numLayers", numLayers, 1) }, (_, i) =>
      this.child(`layers.${i}`, newLayer(layer)),
    );
    const { dModel: normalizedShape, layerNormEps: eps, bias } = layer;
    if (norm) this.norm = this.child("norm", new LayerNorm({ normalizedShape, eps, bias }));
  }

  get dModel(): number {
    return this.layers[0].dModel;
  }

  /** One layer after the other, and the norm; lists of the maps that every layer gives. */
  protected async through(
    x: Activations,
    apply: (layer: Layer, x: Activations, i: number) => Promise<DecoderResult<AnyMap, AnyMap>>,
  ): Promise<DecoderResult<AnyMap[], AnyMap[]>> {
    const weights: AnyMap[] = [];
    const selfWeights: AnyMap[] = [];
    for (const [i, layer] of this.layers.entries()) {
      const result = await apply(layer, x, i);
      if (i > 0) giveBack(x.data);
      x = result.output;
      if (result.weights) weights.push(result.weights);
      if (result.selfWeights) selfWeights.push(result.selfWeights);
    }
    return {
      output: this.norm ? this.norm.apply(x, x.data) : x,
      ...(weights.length > 0 && { weights }),
      ...(selfWeights.length > 0 && { selfWeights }),
    };
  }
}
