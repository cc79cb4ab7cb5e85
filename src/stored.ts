// Tensors as files keep them, of every element type.
import type { Float16ArrayLike } from "./arrays.js";

/** Arrays over the elements of a file. Types without an array of their own come as bytes. */
export type StoredArray =
  | Float64Array
  | Float32Array
  | Float16ArrayLike
  | BigInt64Array
  | BigUint64Array
  | Int32Array
  | Uint32Array
  | Int16Array
  | Uint16Array
  | Int8Array
  | Uint8Array;

/** A tensor of a file: contiguous, row-major. */
export interface StoredTensor {
  data: StoredArray;
  dims: number[];
  /** One of STORED_TYPES' names, such as "float32", "bfloat16", "bool", "int64" or "F8_E4M3". */
  type: string;
}

interface StoredArrayClass {
  readonly name: string;
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): StoredArray;
}

/** What a file's dtype means. */
export interface StoredType {
  dtype: string;
  type: string;
  /** Of one element. */
  bits: number;
  array: StoredArrayClass;
}

/** The runtime's Float16Array, from Node 24 on; else the bits. */
const Halves = (globalThis as { Float16Array?: StoredArrayClass }).Float16Array ?? Uint16Array;

/** In the order in which a class without a tag takes its type: a plain Uint16Array is "uint16". */
export const STORED_TYPES: readonly StoredType[] = [
  { dtype: "F64", type: "float64", bits: 64, array: Float64Array },
  { dtype: "I64", type: "int64", bits: 64, array: BigInt64Array },
  { dtype: "U64", type: "uint64", bits: 64, array: BigUint64Array },
  { dtype: "F32", type: "float32", bits: 32, array: Float32Array },
  { dtype: "I32", type: "int32", bits: 32, array: Int32Array },
  { dtype: "U32", type: "uint32", bits: 32, array: Uint32Array },
  { dtype: "I16", type: "int16", bits: 16, array: Int16Array },
  { dtype: "U16", type: "uint16", bits: 16, array: Uint16Array },
  { dtype: "F16", type: "float16", bits: 16, array: Halves },
  { dtype: "BF16", type: "bfloat16", bits: 16, array: Uint16Array },
  { dtype: "I8", type: "int8", bits: 8, array: Int8Array },
  { dtype: "U8", type: "uint8", bits: 8, array: Uint8Array },
  { dtype: "BOOL", type: "bool", bits: 8, array: Uint8Array },
  // No array class holds these: bytes, under the file's own name of the type.
  { dtype: "C64", type: "C64", bits: 64, array: Uint8Array },
  { dtype: "F8_E4M3", type: "F8_E4M3", bits: 8, array: Uint8Array },
  { dtype: "F8_E5M2", type: "F8_E5M2", bits: 8, array: Uint8Array },
  { dtype: "F8_E8M0", type: "F8_E8M0", bits: 8, array: Uint8Array },
  { dtype: "F8_E4M3FNUZ", type: "F8_E4M3FNUZ", bits: 8, array: Uint8Array },
  { dtype: "F8_E5M2FNUZ", type: "F8_E5M2FNUZ", bits: 8, array: Uint8Array },
  { dtype: "F6_E2M3", type: "F6_E2M3", bits: 6, array: Uint8Array },
  { dtype: "F6_E3M2", type: "F6_E3M2", bits: 6, array: Uint8Array },
  { dtype: "F4", type: "F4", bits: 4, array: Uint8Array },
];

/** The elements in a run of bytes: a view, or where an array cannot begin there, a copy. */
export function arrayOver({ array }: StoredType, bytes: Uint8Array): StoredArray {
  const size = array.BYTES_PER_ELEMENT;
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  return new array(aligned.buffer, aligned.byteOffset, bytes.length / size);
}
