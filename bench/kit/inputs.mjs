// @ts-check
// The same numbers for the same shape, whoever is measured.

/**
 * @typedef {import("./shapes.mjs").Shape} Shape
 * @typedef {{ data: Float32Array | Uint8Array, dims: number[], type: "float32" | "bool" }} Tensor
 * @typedef {{ mask?: Tensor, keyLengths?: number[], causal?: "top-left" | { offset: number } }} Masking
 * @typedef {{ query: Tensor, key: Tensor, value: Tensor, options: Masking, out: Float32Array }} Inputs
 */

/** Unit-normal tensors, the shape's mask, and an array for the output. @param {Shape} shape @returns {Inputs} */
export function makeInputs(shape) {
  const { batch, keyBatch, heads, kvHeads, tq, tk, d, dv } = shape;
  const random = mulberry32(batch + 3 * heads + 5 * tq + 7 * tk + 11 * d + 13 * dv);
  return {
    query: normal([batch, heads, tq, d], random),
    key: normal([keyBatch, kvHeads, tk, d], random),
    value: normal([keyBatch, kvHeads, tk, dv], random),
    options: masking(shape, random),
    out: new Float32Array(batch * heads * tq * dv),
  };
}

/** @param {Shape} shape @param {() => number} random @returns {Masking} */
function masking({ batch, tq, tk, mask }, random) {
  const kept = Math.round(0.7 * tk);
  switch (mask) {
    case "causal":
      return { causal: "top-left" };
    case "lengths":
      return { keyLengths: Array(batch).fill(tk / 2) };
    case "padding":
      return { mask: bool([batch, 1, 1, tk], (at) => at % tk < kept) };
    case "full":
      return { mask: bool([tq, tk], () => random() < 0.7) };
    default:
      return {};
  }
}

/** @param {number[]} dims @param {(at: number) => boolean} isSeen @returns {Tensor} */
function bool(dims, isSeen) {
  const data = new Uint8Array(product(dims));
  for (let at = 0; at < data.length; at++) data[at] = Number(isSeen(at));
  return { data, dims, type: "bool" };
}

/** Box and Muller, in pairs and in place: a temporary of this size would count as memory used. @returns {Tensor} */
function normal(/** @type {number[]} */ dims, /** @type {() => number} */ random) {
  const data = new Float32Array(product(dims));
  for (let at = 0; at < data.length; at += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - random()));
    const angle = 2 * Math.PI * random();
    data[at] = radius * Math.cos(angle);
    data[at + 1] = radius * Math.sin(angle); // past the end of an odd length: no effect
  }
  return { data, dims, type: "float32" };
}

/** Uniform in [0, 1). @param {number} state */
export function mulberry32(state) {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** @param {number[]} dims */
function product(dims) {
  return dims.reduce((a, b) => a * b, 1);
}
