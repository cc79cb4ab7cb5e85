// @ts-check
// A call of xattn as something to measure.
import { attentionSync, backends, explain, KeyValueMemory } from "xattn";
import { useBackend } from "../../lib/backend.js";
import { flops } from "./shapes.mjs";

/**
 * @typedef {import("./inputs.mjs").Inputs} Inputs
 * @typedef {import("./measure.mjs").Contender} Contender
 * @typedef {import("./probe.mjs").Probe} Probe
 * @typedef {import("./shapes.mjs").Shape} Shape
 * What a call may have besides: its keys and values in a memory of a type, a map of the weights.
 * @typedef {{ memory?: import("xattn").MemoryType | undefined, weights?: import("xattn").MapOptions | undefined }} Extras
 *
 * @typedef {Omit<Contender, "run"> & { run: () => ArrayLike<number>, backend: string, kernel: string }} Call
 */

/**
 * @param {Shape} shape @param {Inputs} inputs
 * @param {{ backend?: string, threads?: number, probe?: Probe | undefined } & Extras} how
 * @returns {Call}
 */
export function callOf(shape, { query, key, value, options, out }, how) {
  const { backend = backends[0], threads = 1, probe, memory: type = shape.memory, weights = false } = how;
  const all = { ...options, threads, weights, ...(shape.limit === "call" ? {} : { out }) };
  useBackend(backend);
  const memory = type && new KeyValueMemory(key, value, { type });
  return {
    name: `${shape.name} ${backend} ${threads}`,
    backend,
    kernel: (memory ? explain(query, memory, all) : explain(query, key, value, all)).kernel,
    prepare: () => useBackend(backend),
    run: () => (memory ? attentionSync(query, memory, all) : attentionSync(query, key, value, all)).output.data,
    limit: probe && limitOf(shape, key, value, backend, threads, probe),
  };
}

/**
 * Seconds of the same work at the machine's limit. Threads are taken to add up.
 * @param {Shape} shape @param {Inputs["key"]} key @param {Inputs["value"]} value
 * @param {string} backend @param {number} threads @param {Probe} probe
 */
export function limitOf(shape, key, value, backend, threads, probe) {
  if (shape.mask !== "none" || (shape.memory ?? "float32") !== "float32") return undefined;
  if (Number.isNaN(probe.peak(backend))) return undefined;
  if (shape.limit === "compute") return () => (1e-9 * flops(shape)) / (threads * probe.peak(backend));
  if (shape.limit === "call") return undefined;
  const [keys, values] = [key.data, value.data].map((data) => /** @type {Float32Array} */ (data));
  return () => probe.read(backend, keys, values) / threads;
}
