// @ts-check
// BART from letters to phonemes: post-norm, learned positions, a norm after the embeddings, none after the last layers.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { embedding } from "xattn/blocks";
import { greedy, LayerNorm, Linear, TransformerDecoder, TransformerEncoder } from "xattn/nn";
import { readSafetensors } from "xattn/safetensors";
import { pair, renamed } from "../weights.mjs";

/** @typedef {import("xattn/safetensors").StoredTensor} StoredTensor */
/** @typedef {"encoder" | "decoder"} Side */

/**
 * The part of Hugging Face's config.json that matters.
 * @typedef {object} Config
 * @property {number} d_model
 * @property {number} encoder_layers
 * @property {number} decoder_layers
 * @property {number} encoder_attention_heads
 * @property {number} encoder_ffn_dim
 * @property {number} max_position_embeddings
 * @property {number} bos_token_id
 * @property {number} eos_token_id
 * @property {number} decoder_start_token_id
 * @property {string} grapheme_chars letters by their ids; the first four are no letters
 * @property {string} phoneme_chars
 */

// BART's positions begin here in their table.
const FIRST_POSITION = 2;
const UNKNOWN = 3;

export class Pronouncer {
  #encoder;
  #decoder;
  #head;
  #config;
  #tokens;
  /** @type {Record<Side, { positions: StoredTensor, norm: LayerNorm }>} */
  #sides;

  /** @param {string} folder with us_bart.safetensors and us_bart_config.json */
  static async read(folder) {
    const config = JSON.parse(await readFile(join(folder, "us_bart_config.json"), "utf8"));
    return new Pronouncer(await readSafetensors(join(folder, "us_bart.safetensors")), config);
  }

  /** @param {Map<string, StoredTensor>} tensors @param {Config} config */
  constructor(tensors, config) {
    const { d_model: dModel, encoder_attention_heads: nhead, encoder_ffn_dim: dimFeedforward } = config;
    const layer = /** @type {const} */ ({ dModel, nhead, dimFeedforward, activation: "gelu" });
    const weights = renamed(tensors, names(config));
    this.#encoder = new TransformerEncoder({ ...layer, numLayers: config.encoder_layers });
    this.#encoder.loadStateDict(weights, "encoder.");
    this.#decoder = new TransformerDecoder({ ...layer, numLayers: config.decoder_layers });
    this.#decoder.loadStateDict(weights, "decoder.");
    this.#config = config;
    this.#tokens = get(tensors, "model.shared.weight");
    const bias = get(tensors, "final_logits_bias");
    this.#head = new Linear({ inFeatures: dModel, outFeatures: this.#tokens.dims[0] });
    this.#head.loadStateDict(
      new Map([
        ["weight", this.#tokens],
        ["bias", { ...bias, dims: bias.dims.slice(1) }],
      ]),
    );
    /** @param {Side} side */
    const makeSide = (side) => {
      const norm = new LayerNorm({ normalizedShape: dModel });
      norm.loadStateDict(tensors, `model.${side}.layernorm_embedding.`);
      return { positions: get(tensors, `model.${side}.embed_positions.weight`), norm };
    };
    this.#sides = { encoder: makeSide("encoder"), decoder: makeSide("decoder") };
  }

  /** Phonemes of a word, by greedy search. @param {string} word */
  async pronounce(word) {
    const { decoder_start_token_id, eos_token_id: end, max_position_embeddings, phoneme_chars } = this.#config;
    const prompt = [decoder_start_token_id];
    const maxLength = max_position_embeddings - prompt.length;
    const phonemes = [...phoneme_chars];
    let result = "";
    for await (const { token } of greedy(await this.start(word), { prompt, end, maxLength })) {
      if (token > UNKNOWN) result += phonemes[token];
    }
    return result;
  }

  /** A word, ready to be decoded. @param {string} word @returns {Promise<import("xattn/nn").SearchModel>} */
  async start(word) {
    const state = await this.#decoder.start(await this.encode(word));
    return {
      step: async (tokens, options) => {
        const embedded = await this.#embed("decoder", tokens, state.length);
        const { output, weights } = await this.#decoder.step(embedded, state, options);
        return { logits: await this.#head.forward(output), weights };
      },
    };
  }

  /** `[1, letters + 2, d_model]`. @param {string} word */
  async encode(word) {
    const { bos_token_id, eos_token_id, grapheme_chars } = this.#config;
    const graphemes = [...grapheme_chars];
    const letters = Array.from(word, (letter) => Math.max(graphemes.lastIndexOf(letter), UNKNOWN));
    const ids = [bos_token_id, ...letters, eos_token_id];
    return (await this.#encoder.forward(await this.#embed("encoder", ids, 0))).output;
  }

  /** @param {Side} side @param {readonly number[]} ids @param {number} length tokens before these */
  async #embed(side, ids, length) {
    const { positions, norm } = this.#sides[side];
    const data = embedding(this.#tokens, ids);
    const places = embedding(
      positions,
      ids.map((_, i) => FIRST_POSITION + length + i),
    );
    for (let i = 0; i < data.length; i++) data[i] += places[i];
    return norm.forward({ data, dims: [1, ids.length, this.#config.d_model] });
  }
}

/** @param {Map<string, StoredTensor>} tensors @param {string} name */
function get(tensors, name) {
  return /** @type {StoredTensor} */ (tensors.get(name));
}

/** PyTorch's names, from those of BART in Hugging Face's transformers. @param {Config} config */
function names(config) {
  /** @type {Record<string, string | string[]>} */
  const table = {};
  /** @param {string} name @param {string} old */
  const attention = (name, old) => {
    const projections = ["q_proj", "k_proj", "v_proj"].map((each) => `${old}.${each}`);
    Object.assign(table, pair(`${name}.in_proj`, projections), pair(`${name}.out_proj`, `${old}.out_proj`));
  };
  for (const side of /** @type {const} */ (["encoder", "decoder"])) {
    for (let i = 0; i < config[`${side}_layers`]; i++) {
      const [name, old] = [`${side}.layers.${i}`, `model.${side}.layers.${i}`];
      attention(`${name}.self_attn`, `${old}.self_attn`);
      Object.assign(table, pair(`${name}.linear1`, `${old}.fc1`), pair(`${name}.linear2`, `${old}.fc2`));
      Object.assign(table, pair(`${name}.norm1`, `${old}.self_attn_layer_norm`));
      Object.assign(table, pair(`${name}.norm${side === "encoder" ? 2 : 3}`, `${old}.final_layer_norm`));
      if (side === "encoder") continue;
      attention(`${name}.multihead_attn`, `${old}.encoder_attn`);
      Object.assign(table, pair(`${name}.norm2`, `${old}.encoder_attn_layer_norm`));
    }
  }
  return table;
}
