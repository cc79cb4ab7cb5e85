export type { Activation, RotaryOptions, WeightType } from "../blocks/index.js";
export { type BeamSearchOptions, beamSearch, type Hypothesis } from "./beam.js";
export { type StartOptions, TransformerDecoder } from "./decoder.js";
export {
  type DecoderForwardOptions,
  type DecoderRunOptions,
  type MemoryVisibility,
  TransformerDecoderLayer,
} from "./decoder-layer.js";
export {
  type EncoderForwardOptions,
  TransformerEncoder,
  TransformerEncoderLayer,
} from "./encoder.js";
export { greedy } from "./greedy.js";
export type { LayerOptions } from "./layer.js";
export { Linear, type LinearOptions } from "./linear.js";
export { Module } from "./module.js";
export { MultiheadAttention, type MultiheadAttentionOptions, type MultiheadForwardOptions } from "./multihead.js";
export { LayerNorm, type LayerNormOptions } from "./norm.js";
export type { Causal, DecoderResult, ModuleResult, RunOptions, Visibility } from "./options.js";
export type { Found, Prediction, SearchModel, SearchOptions, StepOptions } from "./search.js";
export type { StackOptions } from "./stack.js";
export type { DecoderState } from "./state.js";
export {
  Transformer,
  type TransformerForwardOptions,
  type TransformerOptions,
  type TransformerResult,
} from "./transformer.js";
