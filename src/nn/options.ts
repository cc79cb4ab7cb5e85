import type { MapOptions, TopK, WeightsResult } from "../maps.js";
import type { AttentionOptions } from "../options.js";
import type { Tensor, TensorLike } from "../tensor.js";

/** Options of every call of a module. */
export interface RunOptions<Asked extends boolean | MapOptions = boolean | MapOptions> {
  /** Also give the weights of the attention, per head, or what MapOptions ask for: a part or a reduction of them. */
  weights?: Asked | undefined;
  /** At most so many threads; the pool's size by default. */
  threads?: number | undefined;
  /** Aborts the call, which then rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** Which keys a query sees, in the library's one polarity: nonzero = attend. */
export interface Visibility {
  /** Broadcasts from the right to `[batch, heads, tq, tk]`. Booleans: nonzero = attend; floats are added to the scores. */
  mask?: TensorLike | undefined;
  /** Per batch entry: keys from that index on are padding. */
  keyLengths?: AttentionOptions["keyLengths"];
}

/** Names of the options of one attention: RunOptions, Visibility and causal. */
export const ATTENTION_NAMES: ReadonlySet<string> = new Set([
  "mask",
  "keyLengths",
  "causal",
  "weights",
  "threads",
  "signal",
]);

/** "top-left" is what true means here, where target and memory are one sequence. */
export type Causal = boolean | AttentionOptions["causal"];

/** What a module gives. */
export interface ModuleResult<Weights> {
  /** `[batch, t, d]`, or `[t, d]` where the input was. */
  output: Tensor<Float32Array>;
  /** There when they were asked for. */
  weights?: Weights;
}

/** What a module with two attentions gives: `weights` are those of the cross-attention. */
export interface DecoderResult<Weights, Own> extends ModuleResult<Weights> {
  /** Weights of the self-attention. There when they were asked for. */
  selfWeights?: Own;
}

/** The weights or what was asked for of them. */
export type AnyMap = Tensor<Float32Array> | TopK;

/** What comes of an option `weights`, where anything comes of it. */
export type MapOf<Asked extends boolean | MapOptions> = NonNullable<WeightsResult<Asked>>;

export function causalOf(causal: Causal): AttentionOptions["causal"] {
  return causal === true ? "top-left" : causal;
}
