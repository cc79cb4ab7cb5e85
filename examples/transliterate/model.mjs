// @ts-check
// CTranslate2's Arabic-to-Latin model: a pre-norm Transformer with sinusoidal positions.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { embedding } from "xattn/blocks";
import { beamSearch, greedy, Linear, Transformer } from "xattn/nn";
import { readSafetensors } from "xattn/safetensors";
import { pair, renamed } from "../weights.mjs";

/** @typedef {import("xattn/safetensors").StoredTensor} StoredTensor */

const SIZES = { dModel: 32, nhead: 8, numEncoderLayers: 6, numDecoderLayers: 6, dimFeedforward: 128, normFirst: true };
// Names are short.
const MAX_LENGTH = 64;

export class Transliterator {
  #transformer = new Transformer(SIZES);
  #head;
  /** @type {Record<"source" | "target", { table: StoredTensor, vocabulary: string[] }>} */
  #sides;

  /** @param {string} folder with model.safetensors and both vocabularies */
  static async read(folder) {
    const tensors = await readSafetensors(join(folder, "model.safetensors"));
    const [source, target] = await Promise.all(["source", "target"].map((side) => readVocabulary(folder, side)));
    return new Transliterator(tensors, source, target);
  }

  /** @param {Map<string, StoredTensor>} tensors @param {string[]} source @param {string[]} target */
  constructor(tensors, source, target) {
    const weights = renamed(tensors, names());
    this.#transformer.loadStateDict(weights, "transformer.");
    this.#head = new Linear({ inFeatures: SIZES.dModel, outFeatures: target.length });
    this.#head.loadStateDict(weights, "head.");
    /** @param {string} side */
    const table = (side) => /** @type {StoredTensor} */ (tensors.get(`${side}/embeddings/weight`));
    this.#sides = {
      source: { table: table("encoder"), vocabulary: source },
      target: { table: table("decoder"), vocabulary: target },
    };
  }

  /** The likeliest letter at every step. @param {string} text @param {string} [prefix] what the result begins with */
  async transliterate(text, prefix = "") {
    const { model, end } = await this.#start(text);
    let result = prefix;
    for await (const { token } of greedy(model, { prompt: this.#prompt(prefix), end, maxLength: MAX_LENGTH })) {
      result += this.#sides.target.vocabulary[token];
    }
    return result;
  }

  /** Several transliterations, best first. @param {string} text @param {number} beams */
  async best(text, beams) {
    const { model, end } = await this.#start(text);
    const search = beamSearch(model, { prompt: this.#prompt(""), end, maxLength: MAX_LENGTH, beams });
    let item = await search.next();
    while (!item.done) item = await search.next();
    return item.value.map(({ tokens, score }) => ({
      text: tokens.map((token) => this.#sides.target.vocabulary[token]).join(""),
      score,
    }));
  }

  /** Log-probabilities of the letters of a target and of its end. @param {string} text @param {string} target */
  async score(text, target) {
    const ids = [...this.#ids("target", target), this.#id("target", "</s>")];
    const encoded = await this.#encode(text);
    const shifted = this.#embed("target", [this.#id("target", "<s>"), ...ids.slice(0, -1)], 0);
    const { output } = await this.#transformer.decoder.forward(shifted, encoded, { causal: true });
    const { data, dims } = await this.#head.forward(output);
    const width = dims[dims.length - 1];
    return ids.map((id, i) => logProb(data.subarray(i * width, (i + 1) * width), id));
  }

  /** @param {string} text */
  async #start(text) {
    const { decoder } = this.#transformer;
    const state = await decoder.start(await this.#encode(text));
    /** @type {import("xattn/nn").SearchModel} */
    const model = {
      step: async (tokens, options) => {
        const embedded = this.#embed("target", tokens, state.length, state.beams);
        const { output, weights } = await decoder.step(embedded, state, options);
        return { logits: await this.#head.forward(output), weights };
      },
      reorder: (parents) => state.reorder(parents),
    };
    return { model, end: this.#id("target", "</s>") };
  }

  /** @param {string} text */
  async #encode(text) {
    const { output } = await this.#transformer.encoder.forward(this.#embed("source", this.#ids("source", text), 0));
    return output;
  }

  /** @param {string} prefix */
  #prompt(prefix) {
    return [this.#id("target", "<s>"), ...this.#ids("target", prefix)];
  }

  /**
   * Embeddings times sqrt(d), plus sinusoids: first all sines, then all cosines, with positions from 1 on.
   * @param {"source" | "target"} side
   * @param {readonly number[]} ids
   * @param {number} length tokens before these
   * @param {number} beams where there are several, each of the ids is one beam's next
   */
  #embed(side, ids, length, beams = 1) {
    const d = SIZES.dModel;
    const data = embedding(this.#sides[side].table, ids, { scale: Math.sqrt(d) });
    const half = d / 2;
    for (let i = 0; i < data.length; i++) {
      const [row, column] = [Math.floor(i / d), i % d];
      const position = length + 1 + (beams === 1 ? row : 0);
      const angle = position * Math.exp((-(column % half) * Math.log(10000)) / (half - 1));
      data[i] += column < half ? Math.sin(angle) : Math.cos(angle);
    }
    return { data, dims: [1, ids.length, d] };
  }

  /** @param {"source" | "target"} side @param {string} text */
  #ids(side, text) {
    return Array.from(text, (letter) => this.#id(side, letter));
  }

  /** @param {"source" | "target"} side @param {string} token */
  #id(side, token) {
    const { vocabulary } = this.#sides[side];
    const id = vocabulary.indexOf(token);
    return id < 0 ? vocabulary.indexOf("<unk>") : id;
  }
}

/** One token a line; `<unk>` comes last. @param {string} folder @param {string} side */
async function readVocabulary(folder, side) {
  const text = await readFile(join(folder, `${side}_vocabulary.txt`), "utf8");
  return [...text.trimEnd().split("\n"), "<unk>"];
}

/** @param {Float32Array} logits @param {number} id */
function logProb(logits, id) {
  const largest = Math.max(...logits);
  return logits[id] - largest - Math.log(logits.reduce((sum, x) => sum + Math.exp(x - largest), 0));
}

/** PyTorch's names, from CTranslate2's. */
function names() {
  /** @type {Record<string, string | string[]>} */
  const table = {};
  /** @param {string} name @param {string | string[]} old */
  const linear = (name, old) => Object.assign(table, pair(name, old, ["/weight", "/bias"]));
  /** @param {string} name @param {string} old */
  const norm = (name, old) => Object.assign(table, pair(name, old, ["/gamma", "/beta"]));
  for (const side of ["encoder", "decoder"]) {
    for (let i = 0; i < SIZES.numEncoderLayers; i++) {
      const [name, old] = [`transformer.${side}.layers.${i}`, `${side}/layer_${i}`];
      const last = side === "encoder" ? 2 : 3;
      norm(`${name}.norm1`, `${old}/self_attention/layer_norm`);
      linear(`${name}.self_attn.in_proj`, `${old}/self_attention/linear_0`);
      linear(`${name}.self_attn.out_proj`, `${old}/self_attention/linear_1`);
      norm(`${name}.norm${last}`, `${old}/ffn/layer_norm`);
      linear(`${name}.linear1`, `${old}/ffn/linear_0`);
      linear(`${name}.linear2`, `${old}/ffn/linear_1`);
      if (side === "encoder") continue;
      norm(`${name}.norm2`, `${old}/attention/layer_norm`);
      linear(`${name}.multihead_attn.in_proj`, [`${old}/attention/linear_0`, `${old}/attention/linear_1`]);
      linear(`${name}.multihead_attn.out_proj`, `${old}/attention/linear_2`);
    }
    norm(`transformer.${side}.norm`, `${side}/layer_norm`);
  }
  linear("head", "decoder/projection");
  return table;
}
