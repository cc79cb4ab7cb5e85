// @ts-check
import fs from "node:fs";

/**
 * A Linear, or a Conv1d of one channel where there is a stride. `outputs` are of the layer, which has twice as many rows of
 * weights where it is gated. `limit`: what bounds the time, "compute" against the FMA peak, "memory" against a plain read
 * loop over as many bytes as the weights have.
 * @typedef {{ name: string, rows: number, inputs: number, outputs: number, stride?: number, gated: boolean,
 *   type: import("xattn/blocks").WeightType, activation: "none" | "gelu" | "silu", limit: "compute" | "memory" }} LayerShape
 */

/** @param {Partial<LayerShape> & Pick<LayerShape, "name" | "rows" | "inputs" | "outputs">} given @returns {LayerShape} */
function complete(given) {
  return { type: "float32", activation: "none", gated: false, limit: "compute", ...given };
}

/** @type {LayerShape[]} */
export const layers = JSON.parse(fs.readFileSync(new URL("../blocks.json", import.meta.url), "utf8")).map(complete);

/** @param {LayerShape} shape */
export function layerFlops({ rows, inputs, outputs, gated }) {
  return 2 * rows * inputs * outputs * (gated ? 2 : 1);
}

/** @param {LayerShape} shape */
export function layerText({ rows, inputs, outputs }) {
  return [rows, inputs, outputs].join(", ");
}
