// How the dims of tensors are read.
import type { View } from "./tensor.js";

/** What each dimension of each tensor is. Lower ranks leave out batch, then heads. */
export const SHAPES = {
  query: ["batch", "heads", "tq", "d"],
  key: ["batch", "kvHeads", "tk", "d"],
  value: ["batch", "kvHeads", "tk", "dv"],
  output: ["batch", "heads", "tq", "dv"],
  mask: ["batch", "heads", "tq", "tk"],
  lse: ["batch", "heads", "tq"],
} as const;

export type Name = keyof typeof SHAPES;
export type Input = "query" | "key" | "value";
export type Size = (typeof SHAPES)[Name][number];

/** The sizes of one call, by their names in SHAPES. */
export type Sizes = Record<Size, number>;

// The axes of SHAPES by letter: t is tq or tk, d is d or dv.
const AXES = "bhtd";
export const [BATCH, HEADS, ROWS, COLUMNS] = [0, 1, 2, 3];

// The orders in which dims may hold the axes. "heads" is the option of that name: its tensors are those of "bthd" with
// the last two dimensions folded into one.
const ORDERS = {
  bhtd: ["td", "htd", "bhtd"],
  bthd: ["td", "thd", "bthd"],
  heads: ["thd", "bthd"],
} as const;

export type LayoutName = keyof typeof ORDERS;

/** How dims of one rank are read. */
export interface Layout {
  name: LayoutName;
  /** Of dims as users see them. */
  rank: number;
  folded: boolean;
  /** Where batch, heads, rows and columns stand in unfolded dims; -1: left out, so 1. */
  axes: readonly number[];
}

/** By name, then by rank. */
export const LAYOUTS = { bhtd: byRank("bhtd"), bthd: byRank("bthd"), heads: byRank("heads") };

function byRank(name: LayoutName): (Layout | undefined)[] {
  const folded = name === "heads";
  const layouts: (Layout | undefined)[] = [];
  for (const order of ORDERS[name]) {
    const rank = folded ? order.length - 1 : order.length;
    layouts[rank] = { name, rank, folded, axes: Array.from(AXES, (axis) => order.indexOf(axis)) };
  }
  return layouts;
}

/** Dims of the output or of keys, unfolded. */
export function dimsOf(name: "output" | "key", { axes, rank, folded }: Layout, sizes: Sizes): number[] {
  const { batch, heads, kvHeads, tq, tk, d, dv } = sizes;
  const whole = name === "output" ? [batch, heads, tq, dv] : [batch, kvHeads, tk, d];
  const dims = new Array<number>(folded ? rank + 1 : rank);
  for (let axis = BATCH; axis <= COLUMNS; axis++) {
    if (axes[axis] >= 0) dims[axes[axis]] = whole[axis];
  }
  return dims;
}

/** Dims as users see them. */
export function fold(dims: number[], { folded }: Layout): number[] {
  if (!folded) return dims;
  const outer = dims.slice(0, -1);
  outer[outer.length - 1] *= dims[dims.length - 1];
  return outer;
}

/** Dims of lse and maps: in the default layout without batch and heads that the query's rank leaves out, else whole. */
export function mapDims(names: readonly Size[], { name, rank }: Layout, sizes: Partial<Sizes>): number[] {
  const left: readonly Size[] = name === "bhtd" ? SHAPES.query.slice(0, SHAPES.query.length - rank) : [];
  return names.filter((size) => !left.includes(size)).map((size) => sizes[size] as number);
}

/** The last dimension as two. */
export function split(view: View, heads: number, columns: number): View {
  const dims = view.dims.slice();
  const strides = view.strides.slice();
  const step = strides.pop() as number;
  dims.splice(-1, 1, heads, columns);
  strides.push(step * columns, step);
  return { ...view, dims, strides };
}

/** `[batch, heads, tq, d]`, as the user counts them. */
export function shapeText(name: Name, { axes, folded }: Layout): string {
  const sizes: string[] = [];
  axes.forEach((at, axis) => {
    if (at >= 0) sizes[at] = SHAPES[name][axis];
  });
  if (folded) sizes.push(sizes.splice(-2).join(" * "));
  return `[${sizes.join(", ")}]`;
}
