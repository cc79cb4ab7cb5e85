import type { MapOptions } from "../maps.js";
import type { MapOf } from "./options.js";
import { checkSearch, type Found, predict, type SearchModel, type SearchOptions } from "./search.js";

/**
 * The likeliest token at every step, until the end token or the maximum. Leaving the loop stops the search.
 *
 * @returns an async iterator; it throws the signal's reason after an abort, TypeError or RangeError for wrong options
 * @example
 * const state = await decoder.start(encoded);
 * const model = {
 *   async step(tokens, options) {
 *     const { output, weights } = await decoder.step(embed(tokens, state.length), state, options);
 *     return { logits: await head.forward(output), weights };
 *   },
 * };
 * for await (const { token } of greedy(model, { prompt: [bos], end: eos, maxLength: 100 })) console.log(token);
 */
export async function* greedy<const Asked extends boolean | MapOptions = boolean>(
  model: SearchModel,
  options: SearchOptions<Asked>,
): AsyncGenerator<Found<Asked>, void> {
  const search = checkSearch(options);
  let tokens = search.prompt;
  for (let length = 0; length < search.maxLength; length++) {
    const { rows, weights } = await predict(model, tokens, 1, search);
    const token = largest(rows[0]);
    if (search.ends.includes(token)) return;
    yield { token, ...(weights[0] && { weights: weights[0] as MapOf<Asked>[] }) };
    tokens = [token];
  }
}

/** Where the first of the largest is. */
function largest(values: Float32Array): number {
  let at = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[at]) at = i;
  return at;
}
