// @ts-check
import fs from "node:fs";

/**
 * What limits a call: "compute" is measured against the FMA peak, "memory" against a plain read loop over the same keys
 * and values, "call" (the cost of the call itself) against nothing.
 * @typedef {"compute" | "memory" | "call"} Limit
 *
 * "padding": booleans `[batch, 1, 1, tk]`, the first 70 % of the keys. "full": booleans `[tq, tk]`, 70 % of them at
 * random. "lengths": half of the keys, by `keyLengths`.
 * @typedef {"none" | "padding" | "full" | "causal" | "lengths"} MaskKind
 *
 * `memory`: keys and values are in a memory of this type, made before the call.
 * @typedef {{ name: string, batch: number, keyBatch: number, heads: number, kvHeads: number, tq: number, tk: number,
 *   d: number, dv: number, mask: MaskKind, limit: Limit, memory?: import("xattn").MemoryType }} Shape
 */

/** @param {Partial<Shape> & Pick<Shape, "name" | "heads" | "tq" | "tk" | "d">} given @returns {Shape} */
export function complete(given) {
  const batch = given.batch ?? 1;
  return {
    batch,
    keyBatch: batch,
    kvHeads: given.heads,
    dv: given.d,
    mask: "none",
    limit: "compute",
    ...given,
  };
}

/** @type {Shape[]} */
export const shapes = JSON.parse(fs.readFileSync(new URL("../shapes.json", import.meta.url), "utf8")).map(complete);

/** @param {string} name */
export function shapeOf(name) {
  return named(name, shapes);
}

/** Names by a list such as "self,whisper-*"; all where there is none. @param {string | undefined} list */
export function select(list) {
  return selectFrom(shapes, list);
}

/** @template {{ name: string }} T @param {T[]} all @param {string | undefined} list @returns {T[]} */
export function selectFrom(all, list) {
  if (list === undefined) return all;
  return list.split(",").flatMap((pattern) => {
    if (!pattern.endsWith("*")) return [named(pattern, all)];
    return all.filter(({ name }) => name.startsWith(pattern.slice(0, -1)));
  });
}

/** @template {{ name: string }} T @param {string} name @param {T[]} all @returns {T} */
function named(name, all) {
  const found = all.find((shape) => shape.name === name);
  if (found === undefined) throw new RangeError(`no shape "${name}"; there are ${all.map((s) => s.name).join(", ")}`);
  return found;
}

/** Two products per pair of query and key; masked pairs count like others, the softmax does not. @param {Shape} shape */
export function flops({ batch, heads, tq, tk, d, dv }) {
  return 2 * batch * heads * tq * tk * (d + dv);
}

/** Bytes of keys and values. @param {Shape} shape */
export function memoryBytes({ keyBatch, kvHeads, tk, d, dv }) {
  return 4 * keyBatch * kvHeads * tk * (d + dv);
}

/** As the tables write it. @param {Shape} shape */
export function sizesText({ batch, keyBatch, heads, kvHeads, tq, tk, d, dv }) {
  const shared = (/** @type {number} */ whole, /** @type {number} */ part) =>
    whole === part ? whole : `${whole}/${part}`;
  return [shared(batch, keyBatch), shared(heads, kvHeads), tq, tk, d, dv].join(", ");
}
