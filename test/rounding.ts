// What kernels that compute with pairs of bfloat16 may be off by.
import { explain, type KeyValueMemory } from "../src/index.js";
import type { Case } from "./cases.js";

/**
 * Where queries and weights are rounded to bfloat16, too, six standard deviations of the scores' error: an element errs by
 * 2^-8 / sqrt(3) of itself, a score by that times |q| / sqrt(d), which is below 2 here.
 */
const ROUNDED = 6 * (2 ** -8 / Math.sqrt(3)) * 2;

/** Whether the kernel computes with pairs of bfloat16. */
export function isRounded(query: Case["query"], memory: KeyValueMemory): boolean {
  return explain(query, memory).kernel.includes("bfloat16");
}

/** What is allowed beside the error of float32. */
export function roundingOf(query: Case["query"], memory: KeyValueMemory): number {
  return isRounded(query, memory) ? ROUNDED : 0;
}
