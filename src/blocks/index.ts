export type { Activation, WeightType } from "./calls.js";
export { Conv1d, type Conv1dOptions } from "./conv1d.js";
export { type EmbeddingOptions, embedding, type Ids } from "./embedding.js";
export { type ApplyOptions, type AsyncApplyOptions, Linear, type LinearOptions } from "./linear.js";
export { type LayerNormOptions, layerNorm, type RmsNormOptions, rmsNorm } from "./norms.js";
export { type Pairs, Rotary, type RotaryOptions, type RotateOptions } from "./rotary.js";
