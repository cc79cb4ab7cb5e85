// @ts-check
// An encoder-decoder Transformer ("Attention is all you need", 2017): torch.nn.Transformer, post-norm, between embeddings
// with sinusoidal positions and logits from the same table.
import { embedding } from "xattn/blocks";
import { greedy, Linear, Transformer } from "xattn/nn";

/**
 * @typedef {import("xattn").Tensor<Float32Array>} Tensor
 * @typedef {import("xattn/nn").DecoderState} DecoderState
 * @typedef {import("xattn/nn").StepOptions} StepOptions
 */

// Longest translation, in tokens: the phrases of the training data stay below half of it.
const LIMIT = 64;

export class Translator {
  /** @param {import("./weights.mjs").ModelFiles} files */
  constructor({ config, weights }) {
    this.config = config;
    this.transformer = new Transformer({
      dModel: config.d_model,
      nhead: config.nhead,
      numEncoderLayers: config.num_encoder_layers,
      numDecoderLayers: config.num_decoder_layers,
      dimFeedforward: config.dim_feedforward,
      layerNormEps: config.layer_norm_eps,
    });
    this.transformer.loadStateDict(weights, "transformer.");
    this.table = /** @type {import("xattn/safetensors").StoredTensor} */ (weights.get("embedding.weight"));
    const [outFeatures, inFeatures] = this.table.dims;
    this.head = new Linear({ inFeatures, outFeatures, bias: false });
    this.head.loadStateDict(weights, "embedding.");
  }

  /** Reads the source. @param {readonly number[]} ids @returns {Promise<DecoderState>} */
  async start(ids) {
    const { encoder, decoder } = this.transformer;
    return decoder.start((await encoder.forward(this.embed(ids, 0))).output);
  }

  /**
   * Takes further target tokens, one or several.
   * @param {DecoderState} state
   * @param {readonly number[]} ids
   * @param {Partial<StepOptions>} options
   * @returns {Promise<import("xattn/nn").Prediction>} [1, ids, vocabulary]; per layer [1, heads, ids, source tokens]
   */
  async advance(state, ids, options = {}) {
    const { output, weights } = await this.transformer.decoder.step(this.embed(ids, state.length), state, options);
    return { logits: await this.head.forward(output), ...(weights && { weights }) };
  }

  /**
   * The likeliest token at every step, until the end token.
   * @param {readonly number[]} source
   * @param {boolean} weights whether to return those of the cross-attention
   * @returns {Promise<{ ids: number[], weights: Tensor[][] }>} weights by token, then by layer, [heads, source tokens]
   */
  async translate(source, weights = false) {
    const { bos, eos: end } = this.config;
    const state = await this.start(source);
    /** @type {import("xattn/nn").SearchModel} */
    const model = { step: (ids, options) => this.advance(state, ids, options) };
    const ids = [];
    const maps = [];
    for await (const found of greedy(model, { prompt: [bos], end, maxLength: LIMIT, weights })) {
      ids.push(found.token);
      if (found.weights !== undefined) maps.push(found.weights);
    }
    return { ids, weights: maps };
  }

  /**
   * Embeddings times sqrt(d) plus sinusoids: even columns sin, odd columns cos.
   * @param {readonly number[]} ids
   * @param {number} from position of the first
   */
  embed(ids, from) {
    const d = this.config.d_model;
    const data = embedding(this.table, ids, { scale: Math.sqrt(d) });
    for (let at = 0; at < data.length; at++) {
      const [row, column] = [Math.floor(at / d), at % d];
      const angle = (from + row) / 10000 ** ((column - (column % 2)) / d);
      data[at] += column % 2 === 0 ? Math.sin(angle) : Math.cos(angle);
    }
    return { data, dims: [1, ids.length, d] };
  }
}
