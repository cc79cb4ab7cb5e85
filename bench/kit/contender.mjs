// @ts-check
// A call of xattn as something to measure.
import { attentionSync, backends, explain } from "xattn";
import { useBackend } from "../../lib/backend.js";
import { flops } from "./shapes.mjs";

/**
 * @typedef {import("./inputs.mjs").Inputs} Inputs
 * @typedef {import("./measure.mjs").Contender} Contender
 * @typedef {import("./probe.mjs").Probe} Probe
 * @typedef {import("./shapes.mjs").Shape} Shape
 * @typedef {Omit<Contender, "run"> & { run: () => ArrayLike<number>, backend: string, kernel: string }} Call
 */

/**
 * @param {Shape} shape @param {Inputs} inputs
 * @param {{ backend?: string, threads?: number, probe?: Probe | undefined }} how
 * @returns {Call}
 */
export function callOf(shape, { query, key, value, options, out }, { backend = backends[0], threads = 1, probe }) {
  const all = { ...options, threads, ...(shape.limit === "call" ? {} : { out }) };
  useBackend(backend);
  return {
    name: `${shape.name} ${backend} ${threads}`,
    backend,
    kernel: explain(query, key, value, all).kernel,
    prepare: () => useBackend(backend),
    run: () => attentionSync(query, key, value, all).output.data,
    limit: probe && limitOf(shape, key, value, backend, threads, probe),
  };
}

/**
 * Seconds of the same work at the machine's limit. Threads are taken to add up.
 * @param {Shape} shape @param {Inputs["key"]} key @param {Inputs["value"]} value
 * @param {string} backend @param {number} threads @param {Probe} probe
 */
export function limitOf(shape, key, value, backend, threads, probe) {
  if (shape.mask !== "none" || Number.isNaN(probe.peak(backend))) return undefined;
  if (shape.limit === "compute") return () => (1e-9 * flops(shape)) / (threads * probe.peak(backend));
  if (shape.limit === "call") return undefined;
  const [keys, values] = [key.data, value.data].map((data) => /** @type {Float32Array} */ (data));
  return () => probe.read(backend, keys, values) / threads;
}
