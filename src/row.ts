import type { Mask, Problem } from "./problem.js";
import { readRows } from "./read.js";

/** One query of a tile. */
export interface Row {
  batch: number;
  head: number;
  query: number;
  /** Where it stands among the keys. */
  position: number;
  /** The bounds leave it the keys lo <= j < hi. */
  lo: number;
  hi: number;
  /** Whether the mask has left it any of them so far. */
  seen: boolean;
  /** Reference of the exponentials. */
  m: number;
  /** Their sum. */
  l: number;
}

/** A row before its first key. */
export function makeRow(p: Problem, batch: number, head: number, query: number): Row {
  const position = query + (p.offsets?.[batch] ?? 0);
  const length = p.keyLengths?.[batch] ?? p.tk;
  const right = Math.min(p.causal ? 0 : Infinity, p.windowRight < 0 ? Infinity : p.windowRight);
  const lo = p.windowLeft < 0 ? 0 : Math.max(position - p.windowLeft, 0);
  const hi = Math.min(position + right + 1, length);
  // The sink is a first term of the sum that adds nothing to the output.
  const sink = p.sinks?.[head] ?? -Infinity;
  const m = Math.max(sink, -Number.MAX_VALUE);
  return { batch, head, query, position, lo, hi, seen: false, m, l: sink === -Infinity ? 0 : 1 };
}

/** Where the mask has its entry for a key. */
export function maskAt(mask: Mask, { batch, head, query }: Row, key: number): number {
  return batch * mask.batch + head * mask.head + query * mask.row + key * mask.key;
}

/** `count` entries of a mask as numbers to add; -Infinity hides the key. */
export function readBias(bias: Float64Array, { data, type, key }: Mask, at: number, count: number): void {
  if (type === "bool") {
    for (let i = 0; i < count; i++) bias[i] = data[at + i * key] === 0 ? -Infinity : 0;
    return;
  }
  const { data: floats, start, stride } = readRows({ data, type, row: key }, at, count, 1);
  for (let i = 0; i < count; i++) bias[i] = floats[start + i * stride];
}
