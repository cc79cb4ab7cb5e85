// What greedy and beam search have in common.
import { wrongKind, wrongValue } from "../errors.js";
import { FORMS, type MapOptions, type TopK } from "../maps.js";
import type { Tensor } from "../tensor.js";
import { checkNames, checkSignal, integer, integersOf } from "../values.js";
import type { AnyMap, MapOf } from "./options.js";

/** What one step of a model gives. */
export interface Prediction {
  /** `[.., vocabulary]`: its last rows, one per beam, say what follows the newest token of each. */
  logits: { readonly data: Float32Array; readonly dims: readonly number[] };
  /** Per layer, where each of the tokens looked: `[1, heads, tokens, tk]`, or what was asked for of that. */
  weights?: readonly AnyMap[] | undefined;
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
  weights: boolean | MapOptions;
  signal: AbortSignal | undefined;
}

export interface SearchOptions<Asked extends boolean | MapOptions = boolean | MapOptions> {
  /** What the target begins with, at least one token; not repeated in the result. */
  prompt: ArrayLike<number>;
  /** The token that ends a target, or several that do; they are not in the result. */
  end: number | ArrayLike<number>;
  /** Tokens after the prompt, at most. */
  maxLength: number;
  /**
   * Also give the cross-attention of every token, or what MapOptions ask for of it (but "sum", which mixes tokens); false by
   * default.
   */
  weights?: Asked | undefined;
  signal?: AbortSignal | undefined;
}

/** A token that is certain. */
export interface Found<Asked extends boolean | MapOptions = boolean> {
  token: number;
  /**
   * Per layer, where the model looked when it chose the token: `[heads, tk]`, or what was asked for, without batch and tq.
   * There when it was asked for.
   */
  weights?: MapOf<Asked>[];
}

export interface CheckedSearch extends StepOptions {
  prompt: readonly number[];
  ends: readonly number[];
  maxLength: number;
}

export const SEARCH_NAMES: ReadonlySet<string> = new Set(["prompt", "end", "maxLength", "weights", "signal"]);

export function checkSearch(options: SearchOptions, names: ReadonlySet<string> = SEARCH_NAMES): CheckedSearch {
  checkNames(options, names);
  const { prompt, end, maxLength, weights = false, signal } = options;
  const tokens = integersOf("prompt", prompt, 0);
  if (tokens.length === 0) throw wrongValue("prompt.length", "at least 1", 0);
  const ends = typeof end === "object" ? integersOf("end", end, 0) : [integer("end", end, 0)];
  if (typeof weights !== "boolean" && (typeof weights !== "object" || weights === null))
    throw wrongKind("weights", FORMS, weights);
  if (typeof weights === "object" && weights.reduce === "sum")
    throw wrongValue("weights.reduce", '"mean" or "entropy" (a sum mixes tokens)', "sum");
  checkSignal(signal);
  return { prompt: tokens, ends, maxLength: integer("maxLength", maxLength, 0), weights, signal };
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
  return { rows, weights: rows.map((_, beam) => mapsOf(options.weights, weights, beams - beam)) };
}

/** Per layer, the part of the row that is `fromLast` rows before the end. */
function mapsOf(asked: boolean | MapOptions, weights: Prediction["weights"], fromLast: number): AnyMap[] | undefined {
  if (asked === false) return undefined;
  if (weights === undefined) throw wrongKind("weights", "the maps of each layer, which were asked for", weights);
  const behind = typeof asked === "object" && asked.reduce === "entropy" ? 0 : 1;
  return weights.map((map) => {
    if (!("indices" in map)) return partOf(map, behind, fromLast) as Tensor<Float32Array>;
    const { weights, indices } = map;
    return { weights: partOf(weights, behind, fromLast), indices: partOf(indices, behind, fromLast) } as TopK;
  });
}

/** Of `[1, .., rows, ..]`, with `behind` dims behind the rows, one row: without these two dims. */
function partOf({ data, dims, type }: Tensor<Float32Array> | TopK["indices"], behind: number, fromLast: number) {
  const at = dims.length - 1 - behind;
  const width = behind === 0 ? 1 : dims[at + 1];
  const outer = data.length / (dims[at] * width);
  const part = data.slice(0, outer * width);
  for (let i = 0; i < outer; i++) {
    const from = ((i + 1) * dims[at] - fromLast) * width;
    part.set(data.subarray(from, from + width), i * width);
  }
  return { data: part, dims: [...dims.slice(1, at), ...dims.slice(at + 1)], type };
}
