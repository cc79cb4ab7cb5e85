// @ts-check
// Reads the model folder.
import { readFile } from "node:fs/promises";
import { readSafetensors } from "xattn/safetensors";

/**
 * @typedef {object} Config
 * @property {number} d_model
 * @property {number} nhead
 * @property {number} num_encoder_layers
 * @property {number} num_decoder_layers
 * @property {number} dim_feedforward
 * @property {number} layer_norm_eps
 * @property {number} bos
 * @property {number} eos
 * @property {number} unk
 * @property {Record<string, string>} languages
 */

/**
 * @typedef {object} ModelFiles
 * @property {Config} config
 * @property {string[]} vocabulary
 * @property {Map<string, import("xattn/safetensors").StoredTensor>} weights
 */

/** @param {URL} folder @returns {Promise<ModelFiles>} */
export async function readModel(folder = new URL("model/", import.meta.url)) {
  /** @param {string} name */
  const json = async (name) => JSON.parse(await readFile(new URL(name, folder), "utf8"));
  const weights = await readSafetensors(new URL("model.safetensors", folder));
  return { config: await json("config.json"), vocabulary: await json("vocab.json"), weights };
}
