// Weights on disk: reads and writes safetensors files. https://github.com/huggingface/safetensors
import { type FileHandle, open } from "node:fs/promises";
import { arrayClass } from "./arrays.js";
import { tooLarge, wrongKind, wrongValue } from "./errors.js";
import { formatHeader, type Header, headerLength, PREFIX, parseHeader } from "./header.js";
import { arrayOver, STORED_TYPES, type StoredArray, type StoredTensor, type StoredType } from "./stored.js";
import { integers, product, type TensorLike } from "./tensor.js";
import { readGroup } from "./values.js";

export type { StoredArray, StoredTensor } from "./stored.js";

/** The tensors of a file by name. */
export class StoredTensors extends Map<string, StoredTensor> {
  /** The file's `__metadata__`. */
  metadata: Readonly<Record<string, string>> = {};
}

/** Options of writeSafetensors(). */
export interface WriteOptions {
  /** Strings that go along, such as `{ format: "pt" }`. */
  metadata?: Readonly<Record<string, string>> | undefined;
}

const KNOWN: ReadonlySet<string> = new Set(["metadata"] satisfies (keyof WriteOptions)[]);

/**
 * All tensors of a safetensors file, with the types they have there. From memory they are views, and a change of one shows
 * in the other; only a tensor that does not begin at a multiple of its element's size is a copy. From a file, every byte is
 * read once, and each tensor has a buffer of its own, so that memory goes when the tensor does.
 *
 * float16 comes as a Float16Array where the runtime has it, else as a Uint16Array with the type "float16"; bfloat16 as
 * a Uint16Array with the type "bfloat16"; bool as a Uint8Array. Types without a typed array (8-bit floats and smaller,
 * complex numbers) come as bytes in a Uint8Array, under the file's name of the type, such as "F8_E4M3".
 *
 * @param pathOrBuffer a path, a file URL, or the bytes of a file
 * @returns a promise that rejects with TypeError or RangeError for a malformed file, naming the tensor: a header that is
 * truncated, too long or no JSON, equal names, unknown types, and offsets that overlap, leave gaps, lie outside the file or
 * do not fit the shape
 * @example
 * const tensors = await readSafetensors("model.safetensors");
 * const { data, dims, type } = tensors.get("encoder.embed_tokens.weight");
 */
export async function readSafetensors(
  pathOrBuffer: string | URL | ArrayBufferLike | Uint8Array,
): Promise<StoredTensors> {
  if (typeof pathOrBuffer === "string" || pathOrBuffer instanceof URL) return readFile(pathOrBuffer);
  if (arrayClass(pathOrBuffer) === "Uint8Array") return readBytes(pathOrBuffer as Uint8Array);
  const tag = Object.prototype.toString.call(pathOrBuffer);
  if (tag === "[object ArrayBuffer]" || tag === "[object SharedArrayBuffer]") {
    return readBytes(new Uint8Array(pathOrBuffer as ArrayBuffer));
  }
  throw wrongKind("pathOrBuffer", "a path, a file URL, a Uint8Array or an ArrayBuffer", pathOrBuffer);
}

/** Where the bytes come from. */
interface Source {
  size: number;
  /** @param name what they are, for messages */
  read(name: string, start: number, length: number): Uint8Array | Promise<Uint8Array>;
}

function readBytes(bytes: Uint8Array): Promise<StoredTensors> {
  const read = (_: string, start: number, length: number) => bytes.subarray(start, start + length);
  return readTensors({ size: bytes.length, read });
}

async function readFile(path: string | URL): Promise<StoredTensors> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    return await readTensors({ size, read: (name, start, length) => readPart(file, name, start, length) });
  } finally {
    await file.close();
  }
}

async function readTensors(source: Source): Promise<StoredTensors> {
  const { size } = source;
  const length = headerLength(await source.read("file", 0, Math.min(PREFIX, size)), size);
  const start = PREFIX + length;
  const { entries, metadata } = parseHeader(await source.read("header", PREFIX, length), size - start);
  const tensors = new StoredTensors();
  for (const { name, type, dims, start: from, end } of entries) {
    const bytes = await source.read(name, start + from, end - from);
    tensors.set(name, { data: arrayOver(type, bytes), dims, type: type.type });
  }
  tensors.metadata = metadata;
  return tensors;
}

// Bytes of one read or write; the system takes less than 2 GiB at once.
const CHUNK = 2 ** 30;

async function readPart(file: FileHandle, name: string, start: number, length: number): Promise<Uint8Array> {
  const bytes = allocate(name, length);
  for (let at = 0; at < length; ) {
    const { bytesRead } = await file.read(bytes, at, Math.min(CHUNK, length - at), start + at);
    if (bytesRead === 0) throw wrongValue(name, `${length} bytes, as the file had when it was opened`, at);
    at += bytesRead;
  }
  return bytes;
}

function allocate(name: string, length: number): Uint8Array {
  try {
    return new Uint8Array(length);
  } catch {
    throw tooLarge(name, length);
  }
}

/**
 * Writes tensors to a safetensors file, larger elements first, then by name, so that every reader may map it.
 * The type of a tensor is its `type` (or `dtype`), one that readSafetensors() gives, else that of its array.
 *
 * @returns a promise that rejects with TypeError for a tensor of the wrong kind and RangeError for a wrong value, before
 * the file is touched
 * @example
 * await writeSafetensors("model.safetensors", { weight: { data: new Float32Array(6), dims: [2, 3] } });
 */
export async function writeSafetensors(
  path: string | URL,
  tensors: ReadonlyMap<string, TensorLike> | Readonly<Record<string, TensorLike>>,
  options: WriteOptions = {},
): Promise<void> {
  const { metadata = {} } = readGroup(options, KNOWN);
  if (typeof metadata !== "object" || metadata === null) throw wrongKind("metadata", "an object of strings", metadata);
  if (typeof tensors !== "object" || tensors === null) {
    throw wrongKind("tensors", "a Map or an object of tensors by name", tensors);
  }
  const { entries, arrays } = layOut(tensors instanceof Map ? tensors : Object.entries(tensors));
  for (const [key, text] of Object.entries(metadata)) {
    if (typeof text !== "string") throw wrongKind(`metadata.${key}`, "a string", text);
  }
  const header = formatHeader({ entries, metadata });
  const file = await open(path, "w");
  try {
    for (const part of [header, ...arrays]) await writePart(file, part);
  } finally {
    await file.close();
  }
}

function layOut(tensors: Iterable<[string, TensorLike]>): Pick<Header, "entries"> & { arrays: StoredArray[] } {
  const checked = [...tensors].map(([name, tensor]) => ({ name, ...checkTensor(name, tensor) }));
  checked.sort((a, b) => b.type.bits - a.type.bits || (a.name < b.name ? -1 : 1));
  let end = 0;
  const entries = checked.map(({ name, type, dims, data }) => {
    const start = end;
    end += data.byteLength;
    return { name, type, dims, start, end };
  });
  return { entries, arrays: checked.map(({ data }) => data) };
}

function checkTensor(name: string, tensor: TensorLike): { type: StoredType; dims: number[]; data: StoredArray } {
  if (typeof tensor !== "object" || tensor === null) throw wrongKind(name, "a tensor { data, dims }", tensor);
  if (tensor.strides !== undefined) throw wrongKind(`${name}.strides`, "nothing (a contiguous tensor)", tensor.strides);
  const data = tensor.data as unknown as StoredArray;
  const className = arrayClass(data);
  const tag = tensor.type ?? tensor.dtype;
  const held = STORED_TYPES.filter(({ array, type }) => array.name === className || halves(className, type));
  const type = held.find((known) => tag === undefined || known.type === tag);
  if (held.length === 0) throw wrongKind(`${name}.data`, "a typed array", data);
  if (type === undefined) {
    throw wrongKind(
      `${name}.type`,
      `${held.map((known) => `"${known.type}"`).join(" or ")} (its data is a ${className})`,
      tag,
    );
  }
  const dims = integers(name, tensor.dims === undefined ? "shape" : "dims", tensor.dims ?? tensor.shape);
  const length = (product(dims) * type.bits) / (8 * data.BYTES_PER_ELEMENT);
  if (data.length !== length)
    throw wrongValue(`${name}.data.length`, `${length} (dims [${dims.join(", ")}])`, data.length);
  return { type, dims, data };
}

/** float16 may come as bits even where the runtime has an array class for it. */
function halves(className: unknown, type: string): boolean {
  return className === "Uint16Array" && type === "float16";
}

async function writePart(
  file: FileHandle,
  { buffer, byteOffset, byteLength }: StoredArray | Uint8Array,
): Promise<void> {
  const bytes = new Uint8Array(buffer, byteOffset, byteLength);
  for (let at = 0; at < byteLength; ) {
    const { bytesWritten } = await file.write(bytes, at, Math.min(CHUNK, byteLength - at));
    at += bytesWritten;
  }
}
