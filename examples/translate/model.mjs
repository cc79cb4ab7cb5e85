// @ts-check
// An encoder-decoder Transformer ("Attention is all you need", 2017), laid out as torch.nn.Transformer, post-norm.
import { add, Embedding, FeedForward, LayerNorm, linear, RowCache } from "./layers.mjs";
import { MultiheadAttention } from "./multihead.mjs";

/**
 * @typedef {import("./weights.mjs").Matrix} Matrix
 * @typedef {import("./multihead.mjs").Attention} Attention
 * @typedef {import("xattn").Tensor<Float32Array>} Weights
 * @typedef {{ self: RowCache, memory: Matrix }} LayerState keys and values of the target so far, and of the source
 * @typedef {{ length: number, layers: LayerState[] }} Decoding
 */

// Longest translation, in tokens: the phrases of the training data stay below half of it.
const LIMIT = 64;

class EncoderLayer {
  /** @param {import("./weights.mjs").ModelFiles} files @param {string} name @param {Attention} [attend] */
  constructor({ weights, config }, name, attend) {
    this.attention = new MultiheadAttention(weights, `${name}.self_attn`, config.nhead, attend);
    this.feedForward = new FeedForward(weights, name);
    this.norms = [1, 2].map((n) => new LayerNorm(weights, `${name}.norm${n}`, config.layer_norm_eps));
  }

  /** @param {Matrix} x */
  async apply(x) {
    const attended = await this.attention.apply(x, this.attention.project(x));
    const y = this.norms[0].apply(add(x, attended.output));
    return this.norms[1].apply(add(y, this.feedForward.apply(y)));
  }
}

class DecoderLayer {
  /** @param {import("./weights.mjs").ModelFiles} files @param {string} name @param {Attention} [attend] */
  constructor({ weights, config }, name, attend) {
    this.selfAttention = new MultiheadAttention(weights, `${name}.self_attn`, config.nhead, attend);
    this.crossAttention = new MultiheadAttention(weights, `${name}.multihead_attn`, config.nhead, attend);
    this.feedForward = new FeedForward(weights, name);
    this.norms = [1, 2, 3].map((n) => new LayerNorm(weights, `${name}.norm${n}`, config.layer_norm_eps));
  }

  /** The encoder's output is projected once, for all steps. @param {Matrix} encoded @returns {LayerState} */
  start(encoded) {
    return { self: new RowCache(2 * encoded.dims[1]), memory: this.crossAttention.project(encoded) };
  }

  /** @param {Matrix} x the new tokens @param {LayerState} state @param {boolean} weights whether to return them */
  async apply(x, { self, memory }, weights) {
    self.append(this.selfAttention.project(x));
    // New tokens see all earlier ones, themselves, and none after them.
    const own = await this.selfAttention.apply(x, self.matrix, { causal: "bottom-right" });
    const y = this.norms[0].apply(add(x, own.output));
    const cross = await this.crossAttention.apply(y, memory, { weights });
    const z = this.norms[1].apply(add(y, cross.output));
    return { x: this.norms[2].apply(add(z, this.feedForward.apply(z))), weights: cross.weights };
  }
}

export class Translator {
  /** @param {import("./weights.mjs").ModelFiles} files @param {Attention} [attend] instead of xattn's attention() */
  constructor(files, attend) {
    const { config, weights } = files;
    /** @param {number} length @param {string} part */
    const names = (length, part) => Array.from({ length }, (_, i) => `transformer.${part}.layers.${i}`);
    this.config = config;
    this.embedding = new Embedding(weights["embedding.weight"]);
    this.encoder = names(config.num_encoder_layers, "encoder").map((name) => new EncoderLayer(files, name, attend));
    this.decoder = names(config.num_decoder_layers, "decoder").map((name) => new DecoderLayer(files, name, attend));
    this.encoderNorm = new LayerNorm(weights, "transformer.encoder.norm", config.layer_norm_eps);
    this.decoderNorm = new LayerNorm(weights, "transformer.decoder.norm", config.layer_norm_eps);
  }

  /** Reads the source. @param {readonly number[]} ids @returns {Promise<Decoding>} */
  async start(ids) {
    let x = this.embedding.apply(ids);
    for (const layer of this.encoder) x = await layer.apply(x);
    const encoded = this.encoderNorm.apply(x);
    return { length: 0, layers: this.decoder.map((layer) => layer.start(encoded)) };
  }

  /**
   * Takes further target tokens, one or several.
   * @param {Decoding} decoding
   * @param {readonly number[]} ids
   * @param {boolean} weights whether to return those of the cross-attention
   * @returns {Promise<{ logits: Matrix, weights: Weights[] }>} [ids, vocabulary]; per layer [1, heads, ids, source tokens]
   */
  async advance(decoding, ids, weights = false) {
    let x = this.embedding.apply(ids, decoding.length);
    const maps = [];
    for (const [i, layer] of this.decoder.entries()) {
      const step = await layer.apply(x, decoding.layers[i], weights);
      x = step.x;
      if (step.weights !== undefined) maps.push(step.weights);
    }
    decoding.length += ids.length;
    return { logits: linear(this.decoderNorm.apply(x), this.embedding.table), weights: maps };
  }

  /**
   * The likeliest token at every step, until the end token.
   * @param {readonly number[]} source
   * @param {boolean} weights whether to return those of the cross-attention
   * @returns {Promise<{ ids: number[], weights: Weights[][] }>} weights by step, then as advance() returns them
   */
  async translate(source, weights = false) {
    const { bos, eos } = this.config;
    const decoding = await this.start(source);
    const ids = [];
    const maps = [];
    let id = bos;
    while (ids.length < LIMIT) {
      const step = await this.advance(decoding, [id], weights);
      maps.push(step.weights);
      id = largest(step.logits.data);
      if (id === eos) break;
      ids.push(id);
    }
    return { ids, weights: maps };
  }
}

/** @param {Float32Array} values */
function largest(values) {
  let at = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[at]) at = i;
  return at;
}
