import { readFileSync } from "node:fs";

/** A tensor of a test file, ready for the public API. int64 comes as numbers. */
export interface Stored {
  data: Float32Array | Uint16Array | Uint8Array | number[];
  dims: number[];
  type: string;
}

const READERS: Record<string, { type: string; read: (bytes: ArrayBuffer) => Stored["data"] }> = {
  F32: { type: "float32", read: (bytes) => new Float32Array(bytes) },
  F16: { type: "float16", read: (bytes) => new Uint16Array(bytes) },
  BF16: { type: "bfloat16", read: (bytes) => new Uint16Array(bytes) },
  BOOL: { type: "bool", read: (bytes) => new Uint8Array(bytes) },
  I64: { type: "int64", read: (bytes) => Array.from(new BigInt64Array(bytes), Number) },
};

/** All tensors of a safetensors file: 8 bytes with the header's length, the header as JSON, then the bytes. */
export function readTensors(path: URL): Record<string, Stored> {
  const file = readFileSync(path);
  const start = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString("utf8", 8, start));
  const tensors: Record<string, Stored> = {};
  for (const [name, { dtype, shape, data_offsets }] of Object.entries<Entry>(header)) {
    if (name === "__metadata__") continue;
    const { type, read } = READERS[dtype];
    const [from, to] = data_offsets;
    tensors[name] = { data: read(new Uint8Array(file.subarray(start + from, start + to)).buffer), dims: shape, type };
  }
  return tensors;
}

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}
