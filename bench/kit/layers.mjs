// @ts-check
// Layers to measure.
import { useBackend } from "../../lib/backend.js";
import { Conv1d, Linear } from "../../lib/blocks/index.js";
import { mulberry32 } from "./inputs.mjs";
import { layerFlops } from "./layer-shapes.mjs";
import { importTest } from "./oracle.mjs";

/**
 * @typedef {import("./layer-shapes.mjs").LayerShape} LayerShape
 * @typedef {{ x: Float32Array, weight: Float32Array, bias: Float32Array }} LayerInputs
 * @typedef {{ row: number, expected: Float64Array }} Sample
 */

/** Largest absolute error of a float32 output of about unit variance: one chain of up to 1024 additions. */
export const MOST_LAYER_ERROR = 1e-5;

const { STEPS, inSteps, linear, activations, nearestBfloat16, nearestInt8 } = await importTest("blocks-oracle.ts");

/** Outputs of about unit variance. @param {LayerShape} shape @returns {LayerInputs} */
export function makeLayer({ rows, inputs, outputs, stride = inputs, gated }) {
  const random = mulberry32(rows + inputs);
  const uniform = (/** @type {number} */ length, /** @type {number} */ most) =>
    Float32Array.from({ length }, () => most * (2 * random() - 1));
  const all = gated ? 2 * outputs : outputs;
  return {
    x: uniform((rows - 1) * stride + inputs, Math.sqrt(3)),
    weight: uniform(all * inputs, Math.sqrt(3 / inputs)),
    bias: uniform(all, 1),
  };
}

/** A few rows as the float64 oracle gives them. @param {LayerShape} shape @param {LayerInputs} inputs @returns {Sample[]} */
export function sampleLayer({ rows, inputs, outputs, stride = inputs, gated, type, activation }, { x, weight, bias }) {
  const rounded = round(weight, inputs, type);
  const active = activations[activation];
  return [...new Set([0, Math.floor(rows / 2), rows - 1])].map((row) => {
    const part = x.subarray(row * stride, row * stride + inputs);
    const all = gated ? 2 * outputs : outputs;
    const taken = STEPS[type] ? inSteps(Array.from(part), STEPS[type]) : part;
    const { values } = linear(taken, rounded, bias, { rows: 1, inputs, outputs: all });
    const output = (/** @type {number} */ o) => (gated ? active(values[outputs + o]) * values[o] : active(values[o]));
    return { row, expected: Float64Array.from({ length: outputs }, (_, o) => output(o)) };
  });
}

/** @param {Float32Array} weight @param {number} inputs @param {LayerShape["type"]} type @returns {ArrayLike<number>} */
function round(weight, inputs, type) {
  if (type === "float32") return weight;
  if (type === "bfloat16") return Float64Array.from(weight, nearestBfloat16);
  const rows = Array.from({ length: weight.length / inputs }, (_, r) => weight.subarray(r * inputs, (r + 1) * inputs));
  return Float64Array.from(rows.flatMap((row) => nearestInt8(Array.from(row))));
}

/**
 * @param {LayerShape} shape @param {LayerInputs} inputs
 * @param {{ backend: string, threads: number, probe: import("./probe.mjs").Probe | undefined }} how
 * @returns {import("./contender.mjs").Call}
 */
export function layerCall(shape, { x, weight, bias }, { backend, threads, probe }) {
  const { name, rows, inputs, outputs, stride, type, activation, gated } = shape;
  const options = { type, activation, gated };
  const shift = { data: bias, dims: [bias.length] };
  useBackend(backend);
  const layer = stride
    ? new Conv1d({ data: weight, dims: [bias.length, 1, inputs] }, shift, { stride, ...options })
    : new Linear({ data: weight, dims: [bias.length, inputs] }, shift, options);
  const out = new Float32Array(rows * outputs);
  return {
    name: `${name} ${backend} ${threads}`,
    backend,
    kernel: "linear",
    run: () => layer.applySync(x, { out, threads }),
    limit: probe && limitOf(shape, backend, threads, probe),
  };
}

/** @param {LayerShape} shape @param {string} backend @param {number} threads @param {import("./probe.mjs").Probe} probe */
function limitOf(shape, backend, threads, probe) {
  if (Number.isNaN(probe.peak(backend))) return undefined;
  if (shape.limit === "compute") return () => (1e-9 * layerFlops(shape)) / (threads * probe.peak(backend));
  const bytes = shape.inputs * shape.outputs * { float32: 4, bfloat16: 2, int8: 1, "int8-dynamic": 1 }[shape.type];
  const halves = [0, 1].map(() => new Float32Array(bytes / 8).fill(1));
  return () => probe.read(backend, halves[0], halves[1]) / threads;
}
