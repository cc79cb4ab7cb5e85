// Shapes of memories: of their keys and values, of what is appended, and of the queries that attend to them.
import { wrongValue } from "./errors.js";
import { BATCH, COLUMNS, HEADS, type Layout, type LayoutName, type Sizes } from "./layout.js";
import {
  type KeyValue,
  layoutOf,
  match,
  type Owner,
  ownerOf,
  place,
  type Shapes,
  sizesOf,
  source,
  UNKNOWN,
} from "./shapes.js";
import type { View } from "./tensor.js";

/** Sizes of the rows of a memory. */
export type MemorySizes = Pick<Sizes, "batch" | "kvHeads" | "d" | "dv">;

/** Keys and values that belong together. */
export interface KeyValueShapes extends KeyValue {
  layout: Layout;
  sizes: Sizes;
}

// The key decides what the query decides on elsewhere.
const byKey: Owner = (size) => (size === "rank" || size === "d" ? "key" : ownerOf(size));
// The rows of a memory grow: only a tensor says how many they are.
const byMemory: Owner = (size) => (size === "tk" ? "key" : "memory");

/**
 * Checks keys and values against each other. The key decides on the rank.
 * @param heads kvHeads of folded tensors
 */
export function matchKeyValue(name: LayoutName, heads: number | undefined, k: View, v: View): KeyValueShapes {
  const layout = layoutOf(name, k, "key");
  const known = [1, UNKNOWN, heads ?? UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN];
  const key = match(k, layout, known, byKey);
  if (key.dims[layout.axes[COLUMNS]] === 0) throw wrongValue(place(k, layout, COLUMNS), "at least 1 (d)", 0);
  const value = match(v, layout, known, byKey);
  return { layout, sizes: sizesOf(known), key, value };
}

/** Checks further keys and values against those that a memory has. A batch of 1 goes to all of its entries. */
export function matchAppended(layout: Layout, memory: MemorySizes, k: View, v: View): KeyValueShapes {
  const known = [memory.batch, UNKNOWN, memory.kvHeads, UNKNOWN, UNKNOWN, memory.d, memory.dv];
  const [key, value] = [k, v].map((view) => {
    const unfolded = match(view, layout, known, byMemory);
    if (known[BATCH] === memory.batch) return unfolded;
    throw wrongValue(place(view, layout, BATCH), `${memory.batch} (batch of "memory")`, known[BATCH]);
  });
  return { layout, sizes: sizesOf(known), key, value };
}

/**
 * Checks a query against a memory, which may have another layout and rank.
 * @param length keys of the memory
 */
export function matchMemory(
  name: LayoutName,
  heads: number | undefined,
  q: View,
  memory: MemorySizes,
  length: number,
): Shapes {
  const layout = layoutOf(name, q, "query");
  const known = [memory.batch, heads ?? UNKNOWN, memory.kvHeads, UNKNOWN, length, memory.d, memory.dv];
  if (layout.axes[BATCH] < 0 && memory.batch !== 1) throw hidden(q, "batch", memory.batch);
  const query = match(q, layout, known, byMemory);
  const sizes = sizesOf(known);
  if (memory.kvHeads === 0 ? sizes.heads !== 0 : sizes.heads % memory.kvHeads !== 0) {
    throw wrongHeads(q, layout, sizes);
  }
  return { layout, sizes, query, keyValue: undefined };
}

function wrongHeads(query: View, layout: Layout, { heads, kvHeads }: Sizes): RangeError {
  if (layout.axes[HEADS] < 0) return hidden(query, "kvHeads", kvHeads);
  const name = layout.folded ? "heads" : place(query, layout, HEADS);
  return wrongValue(name, `a multiple of ${kvHeads} ${source("kvHeads", byMemory)}`, heads);
}

// The rank of the query, and so that of the output, has no dimension for it.
function hidden({ name, field, dims }: View, size: "batch" | "kvHeads", count: number): RangeError {
  const dimension = size === "batch" ? "batch" : "heads";
  return wrongValue(`${name}.${field}`, `dims with ${dimension}, for ${count} (${size} of "memory")`, dims);
}
