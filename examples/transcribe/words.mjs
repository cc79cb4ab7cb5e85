// @ts-check
// Words with the times at which they were said, from where the decoder looked.
import { alignment } from "xattn";
import { FRAME, RATE } from "./model.mjs";

/** @typedef {{ text: string, weights?: import("xattn").Tensor<Float32Array>[] }} Token as transcribe() gives it, with weights */
/** @typedef {{ text: string, start: number, end: number }} Word start and end in seconds */

/** @param {readonly Token[]} tokens @returns {Word[]} */
export function timedWords(tokens) {
  if (tokens.length === 0) return [];
  const { starts, ends } = alignment(mapOf(tokens.map(({ weights }) => weights ?? [])));
  const seconds = (/** @type {number} */ frame) => (frame * FRAME) / RATE;
  /** @type {Word[]} */
  const words = [];
  for (const [i, { text }] of tokens.entries()) {
    if (i === 0 || text.startsWith(" "))
      words.push({ text: text.trimStart(), start: seconds(starts[i]), end: seconds(ends[i]) });
    else {
      const word = words[words.length - 1];
      word.text += text;
      // A mark that ends a sentence looks on into the silence after it.
      if (/\p{L}/u.test(text)) word.end = seconds(ends[i]);
    }
  }
  return words;
}

/** The heads of all layers as [heads, tokens, frames]. @param {import("xattn").Tensor<Float32Array>[][]} weights */
function mapOf(weights) {
  const [heads, frames] = weights[0][0].dims;
  const count = heads * weights[0].length;
  const data = new Float32Array(weights.length * count * frames);
  weights.flat().forEach((layer, i) => {
    data.set(layer.data, i * layer.data.length);
  });
  return { data, dims: [count, weights.length, frames], strides: [frames, count * frames, 1] };
}
