// @ts-check
// Reads the model folder. Weights are stored as float16 and held as float32.
import { readFileSync } from "node:fs";

/** A row-major matrix, or a vector with one dim: a tensor as attention() takes it. */
/** @typedef {{ data: Float32Array, dims: number[] }} Matrix */

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

/** @typedef {{ config: Config, vocabulary: string[], weights: Record<string, Matrix> }} ModelFiles */

/** @param {URL} folder @returns {ModelFiles} */
export function readModel(folder = new URL("model/", import.meta.url)) {
  /** @param {string} name */
  const json = (name) => JSON.parse(readFileSync(new URL(name, folder), "utf8"));
  const weights = readWeights(new URL("model.safetensors", folder));
  return { config: json("config.json"), vocabulary: json("vocab.json"), weights };
}

/**
 * A safetensors file: 8 bytes with the header's length, the header as JSON, then the bytes of the tensors.
 * @param {URL} path
 */
function readWeights(path) {
  const file = readFileSync(path);
  const start = 8 + Number(file.readBigUInt64LE(0));
  /** @type {Record<string, Matrix>} */
  const weights = {};
  for (const [name, entry] of Object.entries(JSON.parse(file.toString("utf8", 8, start)))) {
    if (name === "__metadata__") continue;
    if (entry.dtype !== "F16") throw new TypeError(`"${name}" expected dtype F16, got ${entry.dtype}`);
    const [from, to] = entry.data_offsets;
    weights[name] = { data: decodeHalves(file.subarray(start + from, start + to)), dims: entry.shape };
  }
  return weights;
}

/** @param {Buffer} bytes little-endian */
function decodeHalves(bytes) {
  return Float32Array.from({ length: bytes.length / 2 }, (_, i) => decodeHalf(bytes.readUInt16LE(2 * i)));
}

/** IEEE 754 binary16: 1 bit of sign, 5 of exponent, 10 of fraction. @param {number} bits */
function decodeHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = (bits & 1023) / 1024;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -14 : (1 + fraction) * 2 ** (exponent - 15));
}
