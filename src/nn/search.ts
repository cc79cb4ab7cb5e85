// What greedy and beam search have in common.
import { unknownOption, wrongKind, wrongValue } from "../errors.js";
import { checkSignal, integer } from "../options.js";
import type { Tensor } from "../tensor.js";

/** What one step of a model gives. */
export interface Prediction {
  /** `[.., vocabulary]`: its last rows, one per beam, say what follows the newest token of each. */
  logits: { readonly data: Float32Array; readonly dims: readonly number[] };
  /** Per layer, `[1, heads, tokens, tk]`: where each of the tokens looked. */
  weights?: readonly Tensor<Float32Array>[] | undefined;
}

/** What a search asks of a model. */
export interface SearchModel {
  /**
   * Takes further tokens: with one beam any number that follow each other, else one for each beam.
   * @param options for the attention
   */
  step(tokens: readonly number[], options: StepOptions): Promise<Prediction>;
  /** Makes beam i go on from what beam parents[i] was; there are as many beams as parents. Only for beam search. */
  reorder?(parents: readonly number[]): void;
}

export interface StepOptions {
  weights: boolean;
  signal: AbortSignal | undefined;
}

export interface SearchOptions {
  /** What the target begins with, at least one token; not repeated in the result. */
  prompt: readonly number[];
  /** The token that ends a target; it is not in the result. */
  end: number;
  /** Tokens after the prompt, at most. */
  maxLength: number;
  /** Also give the cross-attention of every token; false by default. */
  weights?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

/** A token that is certain. */
export interface Found {
  token: number;
  /** Per layer, `[heads, tk]`: where the model looked when it chose the token. There when it was asked for. */
  weights?: Tensor<Float32Array>[];
}

export interface CheckedSearch extends StepOptions {
  prompt: readonly number[];
  end: number;
  maxLength: number;
}

export function checkSearch(options: SearchOptions, known: readonly string[] = []): CheckedSearch {
  if (typeof options !== "object" || options === null) throw wrongKind("options", "an object", options);
  const names = ["prompt", "end", "maxLength", "weights", "signal", ...known];
  for (const name in options) if (!names.includes(name)) throw unknownOption(name, names);
  const { prompt, end, maxLength, weights = false, signal } = options;
  if (!Array.isArray(prompt)) throw wrongKind("prompt", "an array of tokens", prompt);
  if (prompt.length === 0) throw wrongValue("prompt.length", "at least 1", 0);
  prompt.forEach((token, i) => {
    integer(`prompt[${i}]`, token, 0);
  });
  if (typeof weights !== "boolean") throw wrongKind("weights", "a boolean", weights);
  checkSignal(signal);
  return { prompt, end: integer("end", end, 0), maxLength: integer("maxLength", maxLength, 0), weights, signal };
}

/** One step, and its last `beams` rows of logits. */
export async function predict(model: SearchModel, tokens: readonly number[], beams: number, options: StepOptions) {
  options.signal?.throwIfAborted();
  const { logits, weights } = await model.step(tokens, { weights: options.weights, signal: options.signal });
  options.signal?.throwIfAborted();
  const { data, dims } = logits;
  const vocabulary = dims[dims.length - 1];
  if (vocabulary === 0 || data.length < beams * vocabulary) {
    throw wrongValue("logits.dims", `at least ${beams} rows`, dims);
  }
  const rows = Array.from({ length: beams }, (_, beam) => {
    const end = data.length - (beams - 1 - beam) * vocabulary;
    return data.subarray(end - vocabulary, end);
  });
  return { rows, weights: rows.map((_, beam) => (options.weights ? mapsOf(weights, beams - beam) : undefined)) };
}

/** Per layer, the map of the row that is `fromLast` rows before the end. */
function mapsOf(weights: Prediction["weights"], fromLast: number): Tensor<Float32Array>[] {
  if (weights === undefined) throw wrongKind("weights", "the maps of each layer, which were asked for", weights);
  return weights.map(({ data, dims }) => {
    const [heads, rows, tk] = dims.slice(-3);
    const map = new Float32Array(heads * tk);
    for (let head = 0; head < heads; head++) {
      const at = ((head + 1) * rows - fromLast) * tk;
      map.set(data.subarray(at, at + tk), head * tk);
    }
    return { data: map, dims: [heads, tk], type: "float32" };
  });
}
