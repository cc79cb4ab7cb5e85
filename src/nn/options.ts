// Options of the modules' constructors and of their forward().
import { unknownOption, wrongKind } from "../errors.js";
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

/** Options of a call, of the names that it knows. */
export function checkNames(options: object, known: readonly string[]): void {
  if (typeof options !== "object" || options === null) throw wrongKind("options", "an object", options);
  for (const name in options) if (!known.includes(name)) throw unknownOption(name, known);
}

/** The given options over their defaults. `undefined` is the same as leaving an option out; unknown names are errors. */
export function withDefaults<Options extends object>(
  given: Options,
  defaults: { readonly [K in keyof Options]-?: Options[K] | undefined },
): { [K in keyof Options]-?: Exclude<Options[K], undefined> } {
  checkNames(given, Object.keys(defaults));
  const options: Record<string, unknown> = { ...defaults };
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue;
    if (typeof options[name] === "boolean" && typeof value !== "boolean") throw wrongKind(name, "a boolean", value);
    options[name] = value;
  }
  return options as ReturnType<typeof withDefaults<Options>>;
}
