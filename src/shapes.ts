import { wrongValue } from "./errors.js";
import {
  BATCH,
  COLUMNS,
  HEADS,
  type Input,
  LAYOUTS,
  type Layout,
  type LayoutName,
  type Name,
  ROWS,
  SHAPES,
  type Size,
  type Sizes,
  shapeText,
  split,
} from "./layout.js";
import type { Mask, Operand } from "./problem.js";
import { contiguous, type ElementType, type TypedArray, type View } from "./tensor.js";

// While a call is checked, its sizes stand in an array by their place in this list: faster than by name.
const SIZES: readonly Size[] = ["batch", "heads", "kvHeads", "tq", "tk", "d", "dv"];
export const UNKNOWN = -1;
const [QUERY, KEY, VALUE] = [places("query"), places("key"), places("value")];

function places(name: Input): number[] {
  return SHAPES[name].map((size) => SIZES.indexOf(size));
}

// Comparisons take a fraction of a look-up by a name that varies.
function placesOf(name: string): number[] {
  return name === "query" ? QUERY : name === "key" ? KEY : VALUE;
}

/** What belongs together. Dims are unfolded: heads have a dimension of their own. */
export interface Shapes {
  layout: Layout;
  sizes: Sizes;
  query: View;
  /** Undefined where a memory has key and value. */
  keyValue: KeyValue | undefined;
}

export interface KeyValue {
  key: View;
  value: View;
}

/**
 * Checks three tensors against each other. The query decides on the rank.
 * @param heads the option of that name
 */
export function matchShapes(name: LayoutName, heads: number | undefined, q: View, k: View, v: View): Shapes {
  const layout = layoutOf(name, q, "query");
  const known = [1, heads ?? UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN];
  const query = match(q, layout, known);
  if (query.dims[query.dims.length - 1] === 0) throw wrongValue(place(q, layout, COLUMNS), "at least 1 (d)", 0);
  const key = match(k, layout, known);
  checkGroups(k, layout, known);
  const value = match(v, layout, known);
  return { layout, sizes: sizesOf(known), query, keyValue: { key, value } };
}

/** How a tensor's dims are read, by their number. */
export function layoutOf(name: LayoutName, view: View, shape: Name): Layout {
  const layout = LAYOUTS[name][view.dims.length];
  if (layout === undefined) throw wrongRank(view, name, shape);
  return layout;
}

/** Sizes by name, of those by place. */
export function sizesOf([batch, heads, kvHeads, tq, tk, d, dv]: number[]): Sizes {
  return { batch, heads, kvHeads, tq, tk, d, dv };
}

/**
 * Checks a tensor against the sizes that are known, and notes those that it brings.
 * @param known sizes by their place in SIZES
 * @param owner who says what a size is
 */
export function match(view: View, layout: Layout, known: number[], owner: Owner = ownerOf): View {
  if (view.dims.length !== layout.rank) throw wrongRank(view, layout.name, view.name as Input, layout.rank, owner);
  const unfolded = layout.folded ? unfold(view, known, owner) : view;
  const sizes = placesOf(view.name);
  for (let axis = BATCH; axis <= COLUMNS; axis++) {
    const at = layout.axes[axis];
    const size = at < 0 ? 1 : unfolded.dims[at];
    const expected = known[sizes[axis]];
    if (size === expected) continue;
    if (expected === UNKNOWN || (axis === BATCH && expected === 1)) known[sizes[axis]] = size;
    else if (axis !== BATCH || size !== 1) throw wrongSize(unfolded, layout, axis, expected, size, owner);
  }
  if (unfolded.dims[layout.axes[ROWS]] > MAX_ROWS) throw tooManyRows(view, layout);
  return unfolded;
}

// [.., heads * columns] as [.., heads, columns]. One of the two is known: heads, or d for the key.
function unfold(view: View, known: number[], owner: Owner): View {
  const last = view.dims.length - 1;
  const folded = view.dims[last];
  const sizes = placesOf(view.name);
  const unit = known[sizes[HEADS]] === UNKNOWN ? COLUMNS : HEADS;
  const divisor = known[sizes[unit]];
  if (folded % divisor !== 0) {
    throw wrongValue(
      `${view.name}.${view.field}[${last}]`,
      `a multiple of ${divisor} ${source(SIZES[sizes[unit]], owner)}`,
      folded,
    );
  }
  return unit === HEADS ? split(view, divisor, folded / divisor) : split(view, folded / divisor, divisor);
}

/** Lengths of keys and causal offsets are int32. */
export const MAX_ROWS = 2 ** 31 - 1;

function checkGroups(view: View, layout: Layout, [, heads, kvHeads, , , d]: number[]): void {
  if (kvHeads === 0 ? heads === 0 : heads % kvHeads === 0) return;
  const unit = layout.folded ? `${d} ${source("d")} times ` : "";
  const expected = `${unit}a divisor of ${heads} ${source("heads")}`;
  throw wrongValue(place(view, layout, HEADS), expected, layout.folded ? kvHeads * d : kvHeads);
}

/** An input as backends see it. Strides of single entries are 0, so that any number of batch entries share them. */
export function inputOperand({ data, type, dims, strides }: View, { axes }: Layout): Operand<ElementType> {
  return operand(data, type as ElementType, axes, dims, strides);
}

/** The output as backends see it, over an array of its length. */
export function outputOperand(
  data: TypedArray,
  type: ElementType,
  { axes }: Layout,
  dims: number[],
): Operand<ElementType> {
  return operand(data, type, axes, dims, contiguous(dims));
}

function operand(data: TypedArray, type: ElementType, axes: readonly number[], dims: number[], strides: number[]) {
  const batch = stride(axes[BATCH], dims, strides);
  const head = stride(axes[HEADS], dims, strides);
  const row = stride(axes[ROWS], dims, strides);
  return { data, type, batch, head, row, scales: undefined };
}

function stride(at: number, dims: number[], strides: number[]): number {
  return at < 0 || dims[at] === 1 ? 0 : strides[at];
}

/** A mask that broadcasts from the right to SHAPES.mask, in every layout. */
export function maskOperand(view: View, sizes: Sizes): Mask {
  const left = SHAPES.mask.length - view.dims.length;
  if (left < 0) throw wrongValue(`mask.${view.field}`, `at most ${SHAPES.mask.length} dimensions`, view.dims);
  const strides = [0, 0, 0, 0];
  for (let i = 0; i < view.dims.length; i++) {
    const size = view.dims[i];
    const name = SHAPES.mask[left + i] as Size;
    if (size === 1) continue;
    if (size !== sizes[name]) {
      throw wrongValue(`mask.${view.field}[${i}]`, `1 or ${sizes[name]} ${source(name)}`, size);
    }
    strides[left + i] = view.strides[i];
  }
  const [batch, head, row, key] = strides as [number, number, number, number];
  return { data: view.data, type: view.type, batch, head, row, key };
}

function wrongSize(view: View, layout: Layout, axis: number, expected: number, size: number, owner: Owner): RangeError {
  const shared = axis === BATCH ? "1 or " : "";
  const name = SHAPES[view.name as Input][axis];
  const heads = layout.folded && axis === COLUMNS ? view.dims[layout.axes[HEADS]] : 1;
  const times = heads === 1 ? "" : `${heads} times `;
  return wrongValue(place(view, layout, axis), `${shared}${times}${expected} ${source(name, owner)}`, heads * size);
}

function tooManyRows(view: View, layout: Layout): RangeError {
  return wrongValue(place(view, layout, ROWS), `at most ${MAX_ROWS}`, view.dims[layout.axes[ROWS]]);
}

/** Who says so: `(d of "query")`. The batch is everybody's. */
export function source(size: Size, owner: Owner = ownerOf): string {
  return size === "batch" ? "(batch)" : `(${size} of "${owner(size)}")`;
}

export type Owner = (size: Size | "rank") => string;

export function ownerOf(size: Size | "rank"): string {
  const has = (name: Input) => (SHAPES[name] as readonly string[]).includes(size);
  return size === "rank" || has("query") ? "query" : has("key") ? "key" : "value";
}

/** `key.dims[3]`, as the user counts them. */
export function place(view: View, layout: Layout, axis: number): string {
  return `${view.name}.${view.field}[${Math.min(layout.axes[axis], layout.rank - 1)}]`;
}

function wrongRank(view: View, name: LayoutName, shape: Name, rank?: number, owner: Owner = ownerOf): RangeError {
  const shapes: string[] = [];
  for (const layout of LAYOUTS[name]) {
    if (layout !== undefined && (rank === undefined || layout.rank === rank)) shapes.push(shapeText(shape, layout));
  }
  const why = rank === undefined ? "" : ` (rank of "${owner("rank")}")`;
  return wrongValue(`${view.name}.${view.field}`, shapes.join(" or ") + why, view.dims);
}
