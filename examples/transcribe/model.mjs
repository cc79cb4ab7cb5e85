// @ts-check
// Moonshine (Jeffries et al., "Moonshine: speech recognition for live transcription and voice commands", 2024): convolutions
// over the samples, then a pre-norm Transformer with rotary positions in its self-attentions.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Conv1d, embedding, Linear, layerNorm } from "xattn/blocks";
import { greedy, TransformerDecoder, TransformerEncoder } from "xattn/nn";
import { readSafetensors } from "xattn/safetensors";

/** @typedef {import("xattn").Tensor<Float32Array>} Tensor */
/**
 * @template {boolean} [Asked=boolean]
 * @typedef {import("xattn/nn").RunOptions<Asked>} RunOptions
 */
/** @typedef {import("xattn/safetensors").StoredTensor} StoredTensor */

/** Samples in a second, and from one encoded frame to the next. */
export const RATE = 16_000;
export const FRAME = 64 * 3 * 2;

const START = 1;
const END = 2;
// Nobody says more; without it, noise may make the model repeat itself.
export const TOKENS_A_SECOND = 6;

const SIZES = /** @type {const} */ ({
  dModel: 288,
  nhead: 8,
  numLayers: 6,
  norm: true,
  normFirst: true,
  rotary: { dims: 32, pairs: "interleaved" },
  // They were 8-bit integers, of a coarser kind.
  weightType: "int8",
});

export class Moonshine {
  // Here and before the logits activations may be such integers, too: the tokens stay the same.
  #encoder = new TransformerEncoder({
    ...SIZES,
    dimFeedforward: 1152,
    activation: "gelu",
    weightType: "int8-dynamic",
  });
  #decoder = new TransformerDecoder({ ...SIZES, dimFeedforward: 1152, activation: "silu", gated: true });
  #head;
  #stem;
  #embedding;
  #vocabulary;

  /** @param {string} folder as fetch.mjs leaves it */
  static async read(folder) {
    const [tensors, vocabulary] = await Promise.all([
      readSafetensors(join(folder, "model.safetensors")),
      readFile(join(folder, "vocabulary.json"), "utf8"),
    ]);
    return new Moonshine(tensors, JSON.parse(vocabulary));
  }

  /** @param {Map<string, StoredTensor>} tensors @param {string[]} vocabulary */
  constructor(tensors, vocabulary) {
    this.#stem = new Stem(tensors);
    this.#encoder.loadStateDict(tensors, "encoder.");
    this.#decoder.loadStateDict(tensors, "decoder.");
    this.#embedding = get(tensors, "embedding.weight");
    this.#head = new Linear(this.#embedding, undefined, { type: "int8-dynamic" });
    this.#vocabulary = vocabulary;
  }

  /**
   * What is said, token by token, as it is decoded.
   * @param {Float32Array} samples at RATE
   * @param {RunOptions<boolean>} [options] weights: also give the cross-attention of every token
   */
  async *transcribe(samples, { weights, ...run } = {}) {
    const state = await this.#decoder.start(await this.encode(samples, run), { ...run, type: "bfloat16" });
    const out = new Float32Array(this.#head.outputs);
    /** @type {import("xattn/nn").SearchModel} */
    const model = {
      step: async (tokens, options) => {
        const token = { data: embedding(this.#embedding, tokens), dims: [1, tokens.length, SIZES.dModel] };
        const { output, weights } = await this.#decoder.step(token, state, { ...run, ...options });
        const data = await this.#head.apply(output.data, { ...run, out });
        return { logits: { data, dims: [1, 1, out.length] }, weights };
      },
    };
    const maxLength = Math.floor((samples.length / RATE) * TOKENS_A_SECOND);
    const found = greedy(model, { prompt: [START], end: END, maxLength, weights, signal: run.signal });
    const text = new TokenText(this.#vocabulary);
    try {
      for await (const each of found) yield { ...each, text: text.next(each.token) };
    } finally {
      state[Symbol.dispose]();
    }
  }

  /** `[1, frames, 288]`. @param {Float32Array} samples @param {RunOptions} run */
  async encode(samples, run) {
    const { output } = await this.#encoder.forward(await this.#stem.apply(samples, run), run);
    return output;
  }
}

/** Text of tokens that follow each other: a space that begins a word is "▁" in them, and rare characters are single bytes. */
class TokenText {
  #decoder = new TextDecoder();
  #isFirst = true;

  /** @param {string[]} vocabulary */
  constructor(vocabulary) {
    this.vocabulary = vocabulary;
  }

  /** The whole characters that a token completes. @param {number} token */
  next(token) {
    const piece = this.vocabulary[token];
    const [, byte] = piece.match(/^<0x(..)>$/) ?? [];
    const bytes =
      byte === undefined ? Buffer.from(piece.replaceAll("▁", " ")) : Uint8Array.of(Number.parseInt(byte, 16));
    const text = this.#decoder.decode(bytes, { stream: true });
    const isFirst = this.#isFirst;
    this.#isFirst = false;
    return isFirst ? text.trimStart() : text;
  }
}

/** Samples become frames of 288 features, one for every FRAME of them. */
class Stem {
  /** @param {Map<string, StoredTensor>} tensors */
  constructor(tensors) {
    /** @param {string} name */
    const weight = (name) => get(tensors, `${name}.weight`);
    const gelu = /** @type {const} */ ({ activation: "gelu" });
    this.first = new Conv1d(weight("conv1"), undefined, { stride: 64, activation: "tanh" });
    this.second = new Conv1d(...afterNorm(tensors), { stride: 3, ...gelu });
    this.third = new Conv1d(weight("conv3"), get(tensors, "conv3.bias"), { stride: 2, ...gelu });
  }

  /** @param {Float32Array} samples @param {RunOptions} run */
  async apply(samples, run) {
    const x = await this.first.apply(samples, run);
    // One group: the mean and the variance are of all frames and channels.
    layerNorm(x, x.length, { out: x });
    const data = await this.third.apply(await this.second.apply(x, run), run);
    return { data, dims: [1, data.length / SIZES.dModel, SIZES.dModel] };
  }
}

/**
 * Weight and bias of the second convolution, with gain and bias of the norm before it, per channel, multiplied in.
 * @param {Map<string, StoredTensor>} tensors
 * @returns {[StoredTensor, StoredTensor]}
 */
function afterNorm(tensors) {
  const { dims } = get(tensors, "conv2.weight");
  const weight = floats(tensors, "conv2.weight").slice();
  const bias = floats(tensors, "conv2.bias").slice();
  const [gain, shift] = [floats(tensors, "groupnorm.weight"), floats(tensors, "groupnorm.bias")];
  const [, inputs, kernel] = dims;
  for (let i = 0; i < weight.length; i++) {
    const channel = Math.floor(i / kernel) % inputs;
    bias[Math.floor(i / (kernel * inputs))] += weight[i] * shift[channel];
    weight[i] *= gain[channel];
  }
  return [
    { data: weight, dims, type: "float32" },
    { data: bias, dims: [bias.length], type: "float32" },
  ];
}

/** @param {Map<string, StoredTensor>} tensors @param {string} name */
function get(tensors, name) {
  const tensor = tensors.get(name);
  if (tensor === undefined) throw new TypeError(`"${name}" expected a tensor, got none: run fetch.mjs again`);
  return tensor;
}

/** @param {Map<string, StoredTensor>} tensors @param {string} name */
function floats(tensors, name) {
  return /** @type {Float32Array} */ (get(tensors, name).data);
}
