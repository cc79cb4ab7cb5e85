import {
  allocate,
  arrayClass,
  checkAttached,
  type FloatArray,
  firstOf,
  kernelArray,
  lengthOf,
  type TypedArray,
} from "./arrays.js";
import { wrongKind, wrongValue } from "./errors.js";

export type { Float16ArrayLike, FloatArray, TypedArray } from "./arrays.js";

/** Element types of queries, keys, values and outputs. */
export type ElementType = "float32" | "float16" | "bfloat16";

/**
 * A tensor as arguments give it: row-major `data` with `dims` (or `shape`), so that tensors of onnxruntime and
 * transformers.js pass as they are. Float32Array holds float32, Float16Array float16; a Uint16Array needs the `type`
 * (or `dtype`) "float16" or "bfloat16". Masks may also be "bool" or "uint8" in a Uint8Array, or "bool" in an array of
 * booleans. `strides`, in elements and not negative, make it a view; `data` may then be longer than the view.
 */
export type TensorLike = {
  readonly data: ArrayLike<unknown>;
  readonly type?: string | undefined;
  readonly dtype?: string | undefined;
  readonly strides?: ArrayLike<number> | undefined;
} & (
  | { readonly dims: ArrayLike<number>; readonly shape?: ArrayLike<number> | undefined }
  | { readonly dims?: undefined; readonly shape: ArrayLike<number> }
);

/** A result: contiguous, row-major, ready for `new ort.Tensor(type, data, dims)`. */
export interface Tensor<Data extends FloatArray = FloatArray> {
  data: Data;
  dims: number[];
  type: Data extends Float32Array ? "float32" : "float16" | "bfloat16";
}

/** A tensor argument after the checks it can pass alone. */
export interface View {
  name: string;
  /** How the caller calls its dims. */
  field: "dims" | "shape";
  data: TypedArray;
  /** Elements of data when it was checked. */
  length: number;
  /** Class of the array that the caller gave. */
  className: string;
  type: ElementType | "bool";
  dims: number[];
  strides: number[];
}

type Tags = readonly (string | undefined)[];
type Classes = readonly { name: string; tags: Tags }[];

// Array classes and the tags that they may carry; the first is what no tag means.
const FLOATS: Classes = [
  { name: "Float32Array", tags: ["float32"] },
  { name: "Float16Array", tags: ["float16"] },
  { name: "Uint16Array", tags: [undefined, "float16", "bfloat16"] },
];
const MASKS: Classes = [...FLOATS, { name: "Uint8Array", tags: ["bool", "uint8"] }];

// A few comparisons take a fraction of a look-up in a Map.
function tagsOf(className: unknown, classes: Classes): Tags | undefined {
  for (let i = 0; i < classes.length; i++) if (classes[i].name === className) return classes[i].tags;
  return undefined;
}

const FLOAT_DATA = "a Float32Array, Float16Array or Uint16Array (convert others with Float32Array.from(data))";
const MASK_DATA =
  "a Uint8Array, Float32Array, Float16Array or Uint16Array (convert other integers, nonzero = attend, with " +
  "Uint8Array.from(data, Number), and a Float64Array, which is added, with Float32Array.from(data))";

/** Whether an array may hold results of this type. */
export function holds(array: unknown, type: ElementType): array is FloatArray {
  return tagsOf(arrayClass(array), FLOATS)?.includes(type) ?? false;
}

/** The array classes for which holds() is true: `Float16Array or Uint16Array`. */
export function holders(type: ElementType): string {
  const classes = FLOATS.filter(({ tags }) => tags.includes(type));
  return classes.map(({ name }) => name).join(" or ");
}

/** A query, key or value, or a result. */
export function floatView(name: string, tensor: TensorLike): View {
  return view(name, tensor, FLOATS, FLOAT_DATA);
}

/** A mask: floats, or bytes and booleans, where nonzero = attend. */
export function maskView(tensor: TensorLike): View {
  return view("mask", isBooleans(tensor) ? bytes(tensor) : tensor, MASKS, MASK_DATA);
}

function isBooleans(tensor: TensorLike): boolean {
  const data = tensor?.data;
  return Array.isArray(data) && (tensor.type ?? tensor.dtype) === "bool" && data.every((x) => typeof x === "boolean");
}

function bytes({ data, dims, shape, strides }: TensorLike): TensorLike {
  return {
    data: Uint8Array.from(data as ArrayLike<boolean>, Number),
    type: "bool",
    dims,
    shape,
    strides,
  } as TensorLike;
}

function view(name: string, tensor: TensorLike, classes: Classes, expected: string): View {
  if (typeof tensor !== "object" || tensor === null || tensor.data === undefined) {
    throw wrongKind(name, "a tensor { data, dims }", tensor);
  }
  const given = tensor.data;
  const className = arrayClass(given) as string;
  const tags = tagsOf(className, classes);
  if (tags === undefined) throw wrongKind(`${name}.data`, expected, given);
  const type = elementType(name, className, tags, tensor);
  const field = tensor.dims === undefined && tensor.shape !== undefined ? "shape" : "dims";
  const dims = integers(name, field, tensor[field]);
  const own = tensor.strides;
  const strides = own === undefined ? contiguous(dims) : integers(name, "strides", own);
  if (strides.length !== dims.length) {
    throw wrongValue(`${name}.strides`, `${dims.length} entries (one per dimension)`, strides);
  }
  const data = reached(name, given as FloatArray | Uint8Array, className, dims, strides, own === undefined);
  return { name, field, data, length: lengthOf(data), className, type, dims, strides };
}

function elementType(name: string, className: string, tags: Tags, tensor: TensorLike) {
  const tag = tensor.type ?? tensor.dtype;
  const type = tag === undefined ? tags[0] : tags.includes(tag) ? tag : undefined;
  if (type === undefined) {
    const field = tensor.type === undefined && tensor.dtype !== undefined ? "dtype" : "type";
    const allowed = tags.filter((known) => known !== undefined).map((known) => `"${known}"`);
    throw wrongKind(`${name}.${field}`, `${allowed.join(" or ")} (its data is a ${className})`, tag);
  }
  return (type === "uint8" ? "bool" : type) as ElementType | "bool";
}

// No argument has more dimensions than 4; one that has a few more is told what they should be, one that has millions is
// not even copied.
const MOST_DIMENSIONS = 16;

/** A copy of dims or strides as plain numbers, so that later reads are fast and nobody can change them. */
export function integers(name: string, field: string, list: ArrayLike<number> | undefined): number[] {
  const length: unknown = typeof list === "object" ? list?.length : undefined;
  if (!list || typeof length !== "number") throw wrongKind(`${name}.${field}`, "an array of integers", list);
  if (length > MOST_DIMENSIONS) throw wrongValue(`${name}.${field}.length`, `at most ${MOST_DIMENSIONS}`, length);
  const copy: number[] = [];
  for (let i = 0; i < length; i++) {
    const entry = list[i];
    if (!(Number.isSafeInteger(entry) && entry >= 0)) {
      const wrong = typeof entry === "number" ? wrongValue : wrongKind;
      throw wrong(`${name}.${field}[${i}]`, "a nonnegative integer", entry);
    }
    copy.push(entry);
  }
  return copy;
}

/** Whether rows are without gaps, as backends want them. */
export function isPacked({ dims, strides }: View): boolean {
  const last = dims.length - 1;
  return strides[last] === 1 || dims[last] <= 1;
}

/** A row-major copy. */
export function pack(view: View): View {
  const { name, dims, type } = view;
  const size = product(dims);
  const data = allocate(name, type === "float32" ? "Float32Array" : "Uint16Array", size) as Float32Array;
  gather(view.data as Float32Array, dims, view.strides, 0, 0, data, 0);
  return { ...view, data, length: size, strides: contiguous(dims) };
}

// Copies the entries below one index of each dimension before `axis`; gives where in `to` the next one goes.
function gather(
  data: Float32Array,
  dims: number[],
  strides: number[],
  axis: number,
  from: number,
  to: Float32Array,
  at: number,
): number {
  const count = dims[axis];
  const step = strides[axis];
  for (let i = 0; i < count; i++, from += step) {
    if (axis === dims.length - 1) to[at++] = data[from];
    else at = gather(data, dims, strides, axis + 1, from, to, at);
  }
  return at;
}

export function product(dims: readonly number[]): number {
  let elements = 1;
  for (const size of dims) elements *= size;
  return elements;
}

/** Strides of a row-major tensor without gaps. */
export function contiguous(dims: readonly number[]): number[] {
  const strides = new Array<number>(dims.length);
  let step = 1;
  for (let i = dims.length - 1; i >= 0; i--) {
    strides[i] = step;
    step *= dims[i];
  }
  return strides;
}

// The part of the data that the strides reach, so that `out` may lie beside it in the same buffer.
function reached(
  name: string,
  data: FloatArray | Uint8Array,
  className: string,
  dims: number[],
  strides: number[],
  exact: boolean,
): TypedArray {
  const length = lengthOf(data);
  if (length === 0) checkAttached(`${name}.data`, data);
  const needed = span(dims, strides);
  if (length === needed) return kernelArray(data, className);
  if (length > needed && !exact) return firstOf(data, needed);
  const from = exact ? `dims [${dims.join(", ")}]` : `dims [${dims.join(", ")}] and strides [${strides.join(", ")}]`;
  throw wrongValue(`${name}.data.length`, `${exact ? "" : "at least "}${needed} (${from})`, length);
}

// Elements from the first to the last that the strides reach.
function span(dims: readonly number[], strides: readonly number[]): number {
  let last = 0;
  for (let i = 0; i < dims.length; i++) {
    if (dims[i] === 0) return 0;
    last += (dims[i] - 1) * strides[i];
  }
  return last + 1;
}
