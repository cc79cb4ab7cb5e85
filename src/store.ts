// Where memories keep their rows.
import type { MemoryType, Operand } from "./problem.js";

/** Keys `[batch, heads, capacity, d]` and values `[batch, heads, capacity, dv]`, of one type. */
export interface StoreSizes {
  type: MemoryType;
  batch: number;
  heads: number;
  capacity: number;
  d: number;
  dv: number;
}

/** What a memory is besides its rows: another thread makes one from it. */
export interface Form extends StoreSizes {
  layout: string;
  rank: number;
  length: number;
  keyLengths: readonly number[] | undefined;
}

/** The arrays of a store; the scales are there for int8, a float32 for each row. */
const PARTS = ["key", "value", "keyScales", "valueScales"] as const;
export type Part = "key" | "value";

/** Where the arrays begin, in bytes from the beginning of the store, and how many bytes it has. */
export type Places = Record<(typeof PARTS)[number] | "bytes", number>;

/** Bytes `from` on of one store, which become bytes `to` on of another: `count` runs of `bytes`, a stride apart. */
export interface Runs {
  to: number;
  toStride: number;
  from: number;
  fromStride: number;
  bytes: number;
  count: number;
}

/** A store that only kernels of the addon read in place. */
export interface Outside {
  readonly handle: object;
  readonly places: Places;
  /** Operands over a copy of it as it is now. */
  read(): Record<Part, Operand>;
}

/** What holds elements of a type. */
export const ARRAYS = { float32: Float32Array, float16: Uint16Array, bfloat16: Uint16Array, int8: Int8Array } as const;

/**
 * Rows of keys and values with room for more, which several memories may hold. Rows that one of them shows are not
 * written any more; the spare ones behind belong to whoever claims them.
 */
export abstract class Store {
  readonly places: Places;
  /** A memory, and calls in flight. */
  #holders = 1;

  constructor(readonly sizes: StoreSizes) {
    this.places = placesOf(sizes);
  }

  /** The store itself, where it lies outside JavaScript's memory. */
  abstract readonly outside: Outside | undefined;

  /** An empty store of this kind. */
  abstract like(sizes: StoreSizes): Store;

  /** Whether rows from .. to are now the caller's to write: only where nobody has claimed rows from there on. */
  abstract claim(from: number, to: number): boolean;

  /** Writes `count` rows of every entry from row `at` on, rounded to the nearest, ties to even. */
  abstract write(part: Part, from: Operand, at: number, count: number): void;

  /** What kernels see of a part. Its data is empty where `outside` is there. */
  abstract operand(part: Part): Operand;

  /** What another thread makes a memory of this form from, once. */
  abstract share(form: Form): object;

  /** Gives rows from `from` on back, and says whether that could be: nobody else sees them. */
  reclaim(from: number): boolean {
    return this.#holders === 1 && this.reclaimFromOthers(from);
  }

  /** The same where this thread's only holder is the memory. */
  protected abstract reclaimFromOthers(from: number): boolean;

  protected abstract copyRuns(from: Store, runs: Runs): void;

  protected abstract free(): void;

  hold(): void {
    this.#holders++;
  }

  /** The last one frees it. */
  release(): void {
    if (--this.#holders === 0) this.free();
  }

  /**
   * Rows `start` .. `end` of a store of the same kind, type and widths become rows from `at` on.
   * @param batches which entry of the other each batch entry comes from; the same by default
   */
  copy(from: Store, start: number, end: number, at: number, batches?: ArrayLike<number>): void {
    const { batch, heads, capacity } = this.sizes;
    for (const name of PARTS) {
      const row = rowBytes(this.sizes, name);
      const [toStride, fromStride] = [capacity * row, from.sizes.capacity * row];
      for (let b = 0; b < batch && row > 0; b++) {
        const to = this.places[name] + b * heads * toStride + at * row;
        const source = from.places[name] + (batches?.[b] ?? b) * heads * fromStride + start * row;
        this.copyRuns(from, { to, toStride, from: source, fromStride, bytes: (end - start) * row, count: heads });
      }
    }
  }

  /** Rows without gaps, entries a capacity apart, a single batch entry shared by all. */
  protected operandOver(part: Part, data: Operand["data"], scales: Float32Array | undefined): Operand {
    const { type, batch, heads, capacity } = this.sizes;
    const row = columns(this.sizes, part);
    const head = capacity * row;
    // In the order of all operands: backends read them ten times faster than a mixture.
    return { data, type, batch: batch === 1 ? 0 : heads * head, head, row, scales };
  }

  /** Operands over bytes of this store that begin somewhere in a buffer. */
  protected operandsIn(buffer: ArrayBufferLike, start: number): Record<Part, Operand> {
    const { type, batch, heads, capacity } = this.sizes;
    const rows = batch * heads * capacity;
    const operand = (part: Part): Operand => {
      const length = rows * columns(this.sizes, part);
      const data = new ARRAYS[type](buffer as ArrayBuffer, start + this.places[part], length);
      if (type !== "int8") return this.operandOver(part, data, undefined);
      return this.operandOver(part, data, new Float32Array(buffer, start + this.places[`${part}Scales`], rows));
    };
    return { key: operand("key"), value: operand("value") };
  }
}

/** Values without columns get one, which nobody reads, so that scales are found by dividing by it. */
function columns({ d, dv }: StoreSizes, part: Part): number {
  return Math.max(part === "key" ? d : dv, 1);
}

function rowBytes(sizes: StoreSizes, name: (typeof PARTS)[number]): number {
  if (name === "key" || name === "value") return columns(sizes, name) * ARRAYS[sizes.type].BYTES_PER_ELEMENT;
  return sizes.type === "int8" ? Float32Array.BYTES_PER_ELEMENT : 0;
}

// Keys and values begin at cache lines; scales need no more than their own size.
const ALIGNMENT = { key: 64, value: 64, keyScales: 4, valueScales: 4 };

export function placesOf(sizes: StoreSizes): Places {
  const rows = sizes.batch * sizes.heads * sizes.capacity;
  const places = { key: 0, value: 0, keyScales: 0, valueScales: 0, bytes: 0 };
  for (const name of PARTS) {
    places[name] = Math.ceil(places.bytes / ALIGNMENT[name]) * ALIGNMENT[name];
    const bytes = rows * rowBytes(sizes, name);
    if (bytes > 0) places.bytes = places[name] + bytes;
  }
  return places;
}
