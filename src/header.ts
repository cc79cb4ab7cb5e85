// The header of a safetensors file: its length in 8 bytes, then JSON. https://github.com/huggingface/safetensors
import { quoted, wrongKind, wrongValue } from "./errors.js";
import { STORED_TYPES, type StoredType } from "./stored.js";
import { integers, product } from "./tensor.js";

/** Where one tensor lies: bytes from the end of the header. */
export interface Entry {
  name: string;
  type: StoredType;
  dims: number[];
  start: number;
  end: number;
}

export interface Header {
  entries: Entry[];
  /** The file's `__metadata__`. */
  metadata: Record<string, string>;
}

/** Bytes of the header's length. */
export const PREFIX = 8;
const METADATA = "__metadata__";
// The reference implementation's limit: what is longer is no header.
const LONGEST = 100_000_000;

/** @param prefix the first bytes of the file; `size` bytes has all of it */
export function headerLength(prefix: Uint8Array, size: number): number {
  if (size < PREFIX) throw wrongValue("file.length", `at least ${PREFIX} (bytes of the header's length)`, size);
  const length = new DataView(prefix.buffer, prefix.byteOffset, PREFIX).getBigUint64(0, true);
  const limit = Math.min(LONGEST, size - PREFIX);
  if (length > limit) throw wrongValue("header.length", `at most ${limit} (the file has ${size} bytes)`, length);
  return Number(length);
}

/**
 * Every entry checked, by itself and against the others: together they cover the bytes after the header exactly once.
 * @param size bytes after the header
 */
export function parseHeader(bytes: Uint8Array, size: number): Header {
  const parsed = parseJson(bytes);
  const { [METADATA]: metadata = {}, ...described } = record("header", parsed) as Record<string, unknown>;
  for (const [key, text] of Object.entries(record(METADATA, metadata))) {
    if (typeof text !== "string") throw wrongKind(`${METADATA}.${key}`, "a string", text);
  }
  const entries = Object.entries(described).map(([name, entry]) => parseEntry(name, record(name, entry), size));
  checkCover(entries, size);
  return { entries, metadata: metadata as Record<string, string> };
}

function parseEntry(name: string, { dtype, shape, data_offsets }: Record<string, unknown>, size: number): Entry {
  const type = STORED_TYPES.find((known) => known.dtype === dtype);
  if (type === undefined) {
    throw wrongValue(`${name}.dtype`, `one of ${quoted(STORED_TYPES.map((known) => known.dtype))}`, dtype);
  }
  const dims = integers(name, "shape", shape as number[]);
  const offsets = integers(name, "data_offsets", data_offsets as number[]);
  const [start, end] = offsets;
  if (offsets.length !== 2 || start > end || end > size) {
    throw wrongValue(`${name}.data_offsets`, `[start, end] within the ${size} bytes after the header`, offsets);
  }
  const needed = (product(dims) * type.bits) / 8;
  if (end - start !== needed) {
    throw wrongValue(`${name}.data_offsets`, `${needed} bytes apart (${dtype} [${dims.join(", ")}])`, offsets);
  }
  return { name, type, dims, start, end };
}

function checkCover(entries: readonly Entry[], size: number): void {
  let covered = 0;
  let after = "the header";
  for (const { name, start, end } of entries.toSorted((a, b) => a.start - b.start || a.end - b.end)) {
    if (start !== covered) throw wrongValue(`${name}.data_offsets[0]`, `${covered} (end of ${after})`, start);
    covered = end;
    after = JSON.stringify(name);
  }
  if (covered !== size) throw wrongValue("file.length", `nothing after byte ${covered} (end of ${after})`, size);
}

/** The header's length and its JSON, padded with spaces so that what follows begins at a multiple of 8 bytes. */
export function formatHeader({ entries, metadata }: Header): Uint8Array {
  // Without a prototype, so that no name is special.
  const described = Object.create(null);
  if (Object.keys(metadata).length > 0) described[METADATA] = metadata;
  for (const { name, type, dims, start, end } of entries) {
    if (name === METADATA) throw wrongValue("name", `another name than "${METADATA}" (give the option metadata)`, name);
    described[name] = { dtype: type.dtype, shape: dims, data_offsets: [start, end] };
  }
  const json = new TextEncoder().encode(JSON.stringify(described));
  const length = Math.ceil(json.length / PREFIX) * PREFIX;
  const bytes = new Uint8Array(PREFIX + length).fill(" ".charCodeAt(0));
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(json, PREFIX);
  return bytes;
}

function record(name: string, given: unknown): Record<string, unknown> {
  if (typeof given === "object" && given !== null && !Array.isArray(given)) return given as Record<string, unknown>;
  throw wrongKind(name, "a JSON object", given);
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    checkKeys(text);
    return JSON.parse(text);
  } catch (error) {
    const notText = (error as NodeJS.ErrnoException).code === "ERR_ENCODING_INVALID_ENCODED_DATA";
    if (notText || error instanceof SyntaxError) throw wrongValue("header", "JSON in UTF-8", (error as Error).message);
    throw error;
  }
}

// { name: { shape: [..] } }: what is nested deeper is no header, and might exhaust the heap before it is found out.
const DEEPEST = 3;

// JSON.parse() keeps the last of equal keys, so they are looked for in the text.
function checkKeys(text: string): void {
  const open: Set<string>[] = [];
  const path: string[] = [];
  const colon = /\s*:/y;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === "{" || text[at] === "[") {
      if (open.push(new Set()) > DEEPEST) throw wrongValue("header", `at most ${DEEPEST} levels`, open.length);
    } else if (text[at] === "}" || text[at] === "]") {
      open.pop();
    } else if (text[at] === '"') {
      const start = at;
      at = endOfString(text, at);
      colon.lastIndex = at + 1;
      if (open.length === 0 || !colon.test(text)) continue;
      const key: string = JSON.parse(text.slice(start, at + 1));
      path.splice(open.length - 1, path.length, key);
      const keys = open[open.length - 1];
      if (keys.has(key)) throw wrongValue(path.join("."), "one entry of this name", "another");
      keys.add(key);
    }
  }
}

/** Where the closing quote is. */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at;
}
