// What kernels that round queries, too, may be off by.
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

/**
 * Where few queries meet int8 keys, they are rounded to 16 bits: by 2^-16 / sqrt(3) of their largest element, below 4 here,
 * which a score has |k| times, sqrt(d).
 */
const SHORT = 6 * (2 ** -16 / Math.sqrt(3)) * 4;

/** What is allowed beside the error of float32: that of the scores. */
export function roundingOf({ query, options }: Case, memory: KeyValueMemory): number {
  if (isRounded(query, memory)) return ROUNDED;
  const root = Math.sqrt(query.dims.at(-1) as number);
  const short = memory.type === "int8" && explain(query, memory).kernel === "decode";
  return short ? SHORT * root * (options.scale ?? 1 / root) : 0;
}
