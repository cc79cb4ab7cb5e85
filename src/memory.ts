/// <reference lib="esnext.disposable" preserve="true" />
import { currentBackend } from "./backend.js";
import { checkViews } from "./call.js";
import { disposed, notShared, quoted, wrongKind, wrongValue } from "./errors.js";
import { BATCH, dimsOf, fold } from "./layout.js";
import { MemoryRows } from "./memory-rows.js";
import { type KeyValueShapes, matchAppended, matchKeyValue } from "./memory-shapes.js";
import { fromShared, type Shared } from "./memory-share.js";
import { type AttentionOptions, keyLengthsOf, layoutName } from "./options.js";
import type { MemoryType, Operand } from "./problem.js";
import { inputOperand, MAX_ROWS } from "./shapes.js";
import { ARRAYS } from "./store.js";
import { floatView, isPacked, pack, type TensorLike, type View } from "./tensor.js";
import { integer, integersOf, readGroup, wrong } from "./values.js";

/** Options of a memory. An unknown name is an error. */
export interface MemoryOptions {
  /**
   * What keys and values are kept as, "float32" by default: each element rounded to the nearest, ties to even. int8 has
   * a float32 factor for each row, whose largest element becomes 127; a row that holds NaN or an infinity is then NaN.
   */
  type?: MemoryType | undefined;
  /** Order of dims of key and value: "bhtd" `[batch, kvHeads, t, d]` (the default) or "bthd" `[batch, t, kvHeads, d]`. */
  layout?: AttentionOptions["layout"];
  /** kvHeads of a key `[batch, tk, kvHeads * d]` and a value `[batch, tk, kvHeads * dv]`. Not together with `layout`. */
  heads?: number | undefined;
  /** Per batch entry, 0..tk: keys from that index on are not there. With those of a call, the smaller wins. */
  keyLengths?: AttentionOptions["keyLengths"];
}

/** What share() gives: a plain object for postMessage() and structuredClone(). */
export type MemoryDescriptor = { readonly kind: typeof KIND } & Shared;

const KIND = "xattn.KeyValueMemory";
const KNOWN: ReadonlySet<string> = new Set(["type", "layout", "heads", "keyLengths"]);
const TYPES: readonly string[] = Object.keys(ARRAYS);

let rows: (memory: KeyValueMemory) => MemoryRows;

/** What a memory holds. Throws where it was disposed. */
export function rowsOf(memory: KeyValueMemory): MemoryRows {
  return rows(memory);
}

/**
 * Keys and values that are prepared once and attended to by any number of calls, from any query, layout and batch that
 * fit. They lie outside the JavaScript heap (with the `js` backend in a SharedArrayBuffer), and go when the memory is
 * collected or disposed of. A call in flight keeps what it began with, whatever happens to the memory.
 *
 * @throws TypeError for an argument of the wrong kind and RangeError for a wrong value, before any work
 * @example
 * const memory = new KeyValueMemory(key, value, { type: "bfloat16" }); // key [8, 1500, 64], value [8, 1500, 64]
 * const { output } = await attention(query, memory); // query [8, 1, 64]
 * memory[Symbol.dispose]();
 */
export class KeyValueMemory {
  #rows: MemoryRows | undefined;

  static {
    rows = (memory) => memory.#living();
  }

  /**
   * @param key `[batch, kvHeads, tk, d]`, `[kvHeads, tk, d]` or `[tk, d]`, or as the options say; tk may be 0
   * @param value the same with dv columns
   */
  constructor(key: TensorLike, value: TensorLike, options?: MemoryOptions);
  constructor(key: TensorLike | MemoryRows, value?: TensorLike, options?: MemoryOptions) {
    this.#rows = key instanceof MemoryRows ? key : newRows(key, value as TensorLike, options);
  }

  /** A memory of these rows, which nobody else has. */
  static #of(rows: MemoryRows): KeyValueMemory {
    return new (KeyValueMemory as unknown as new (rows: MemoryRows) => KeyValueMemory)(rows);
  }

  /** Keys of each batch entry and head: tk of a call. */
  get length(): number {
    return this.#living().length;
  }

  /** Element type of what is kept. */
  get type(): MemoryType {
    return this.#living().store.sizes.type;
  }

  /** Bytes of its storage, with the room for rows to come. What memories share is counted by each. */
  get byteLength(): number {
    return this.#living().store.places.bytes;
  }

  /** Dims of the keys, in the rank and layout that it was made with. */
  get dims(): number[] {
    const { layout, sizes } = this.#living();
    return fold(dimsOf("key", layout, sizes), layout);
  }

  /**
   * Adds rows behind the last, for all batch entries and heads, in time that grows with them and not with the memory.
   *
   * @param key in the rank and layout of the memory, of any type; a batch of 1 goes to all entries
   * @throws RangeError where key lengths leave out rows of some entry: what comes behind them would never be seen
   * @example
   * memory.append(newKey, newValue); // [8, 1, 64] each: the memory is longer by 1
   */
  append(key: TensorLike, value: TensorLike): void {
    const views = [floatView("key", key), floatView("value", value)] as const;
    const rows = this.#living();
    const shapes = matchAppended(rows.layout, rows.sizes, ...views);
    const count = shapes.sizes.tk;
    if (rows.keyLengths !== undefined && count > 0) {
      throw wrongValue("keyLengths", `${rows.length} for every batch entry before rows are appended`, rows.keyLengths);
    }
    integer("memory.length", rows.length + count, 0, MAX_ROWS);
    const [from, values] = operands(shapes, views);
    rows.append(from, values, count);
  }

  /**
   * Keeps the first `length` rows.
   * @param length 0 to that of the memory
   */
  truncate(length: number): void {
    const rows = this.#living();
    rows.truncate(integer("length", length, 0, rows.length));
  }

  /**
   * Takes rows `start` .. `end` out, `end` excluded. Keys behind them move up: they are numbered anew.
   * @param start 0 to `end`, which is at most the length
   */
  evict(start: number, end: number): void {
    const rows = this.#living();
    integer("end", end, 0, rows.length);
    rows.evict(integer("start", start, 0, end), end);
  }

  /**
   * A new memory whose batch entries are copies of those with these indices, as a beam search picks its survivors.
   * @throws RangeError for a memory whose layout or rank has no batch and another number of indices than 1
   * @example
   * const next = memory.select([0, 0, 2]); // batch 3
   */
  select(indices: ArrayLike<number>): KeyValueMemory {
    const rows = this.#living();
    return KeyValueMemory.#of(rows.select(batchesOf(indices, rows)));
  }

  /**
   * A plain object from which from() makes another memory of the same rows, once, in this thread or another of the
   * process; it may go through postMessage(). What either appends later the other does not see. Until it is claimed the
   * descriptor holds the rows: get rid of one that is not wanted by `KeyValueMemory.from(descriptor)[Symbol.dispose]()`.
   * (The `js` backend's are collected with it.)
   *
   * @example
   * worker.postMessage(memory.share()); // there: const memory = KeyValueMemory.from(descriptor)
   */
  share(): MemoryDescriptor {
    const { store, form } = this.#living();
    return { kind: KIND, ...(store.share(form) as Shared) };
  }

  /**
   * The memory that share() gave away.
   * @throws TypeError for anything else, RangeError where it was claimed before, or was never there
   */
  static from(descriptor: MemoryDescriptor): KeyValueMemory {
    if (typeof descriptor !== "object" || descriptor === null || descriptor.kind !== KIND) {
      throw wrongKind("descriptor", "what share() gave", descriptor);
    }
    const rows = fromShared(descriptor);
    if (rows === undefined) throw notShared("descriptor");
    return KeyValueMemory.#of(rows);
  }

  /** Frees the storage, once no call in flight and no other memory holds it. The memory is of no use then. */
  [Symbol.dispose](): void {
    this.#rows?.store.release();
    this.#rows = undefined;
  }

  #living(): MemoryRows {
    if (this.#rows === undefined) throw disposed("memory");
    return this.#rows;
  }
}

function newRows(key: TensorLike, value: TensorLike, given: MemoryOptions = {}): MemoryRows {
  const options = readGroup(given, KNOWN);
  const name = layoutName(options);
  const type = options.type ?? "float32";
  if (!TYPES.includes(type)) throw wrong("type", quoted(TYPES), type, "string");
  const views = [floatView("key", key), floatView("value", value)] as const;
  const shapes = matchKeyValue(name, options.heads, ...views);
  const { batch, kvHeads, tk, d, dv } = shapes.sizes;
  const keyLengths = keyLengthsOf(options, shapes.sizes);
  const store = currentBackend().newStore({ type, batch, heads: kvHeads, capacity: tk, d, dv });
  const rows = new MemoryRows(store, 0, undefined, shapes.layout);
  rows.append(...operands(shapes, views), tk);
  rows.limit(keyLengths);
  return rows;
}

// Accessors of the arguments have run since they were checked.
function operands({ layout, key, value }: KeyValueShapes, views: readonly View[]): [Operand, Operand] {
  checkViews(views);
  const packed = (view: View) => inputOperand(isPacked(view) ? view : pack(view), layout);
  return [packed(key), packed(value)];
}

function batchesOf(indices: ArrayLike<number>, { sizes, layout }: MemoryRows): number[] {
  const batches = integersOf("indices", indices, 0, sizes.batch - 1);
  if (layout.axes[BATCH] < 0 && batches.length !== 1)
    throw wrongValue("indices.length", "1 (no batch)", batches.length);
  return batches;
}
