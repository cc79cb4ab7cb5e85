export { type Alignment, type AlignmentOptions, alignment } from "./alignment.js";
export {
  type AttentionResult,
  attention,
  attentionSync,
  type Explanation,
  explain,
  type OutputData,
} from "./attention.js";
export { backends } from "./backend.js";
export type { MapOptions, TopK, WeightsResult } from "./maps.js";
export { KeyValueMemory, type MemoryDescriptor, type MemoryOptions } from "./memory.js";
export { type MergeOptions, merge, type Part } from "./merge.js";
export type { AttentionOptions } from "./options.js";
export type { MemoryType } from "./problem.js";
export type { ElementType, Float16ArrayLike, FloatArray, Tensor, TensorLike } from "./tensor.js";
