// The rows of one memory: a store, and how much of it the memory shows. What others may see is never written: where they
// could, rows are copied to a store of its own first.

import type { Layout, Sizes } from "./layout.js";
import { type AttentionOptions, keyLengthsOf } from "./options.js";
import type { Operand } from "./problem.js";
import type { Form, Store } from "./store.js";

// Rows of the first store that grows, at least.
const MIN_CAPACITY = 16;

export class MemoryRows {
  /**
   * @param keyLengths per batch entry; undefined: all of its rows
   * @param layout of the tensors that it was made of
   */
  constructor(
    public store: Store,
    public length: number,
    public keyLengths: Int32Array | undefined,
    readonly layout: Layout,
  ) {}

  get sizes(): Sizes {
    const { batch, heads, d, dv } = this.store.sizes;
    return { batch, heads, kvHeads: heads, tq: 0, tk: this.length, d, dv };
  }

  get form(): Form {
    const { layout, length, keyLengths } = this;
    return {
      ...this.store.sizes,
      layout: layout.name,
      rank: layout.rank,
      length,
      keyLengths: keyLengths && [...keyLengths],
    };
  }

  /** Keys that a call sees per batch entry: by its own lengths and the memory's, whichever is less. */
  lengthsFor(options: AttentionOptions, sizes: Sizes): Int32Array | undefined {
    const asked = keyLengthsOf(options, sizes, 'length of "memory"');
    const own = this.keyLengths;
    if (own === undefined) return asked;
    return Int32Array.from({ length: sizes.batch }, (_, b) =>
      Math.min(asked?.[b] ?? this.length, own[own.length === 1 ? 0 : b]),
    );
  }

  append(key: Operand, value: Operand, count: number): void {
    const end = this.length + count;
    const { store } = this;
    store.reclaim(this.length);
    if (end > store.sizes.capacity || !store.claim(this.length, end)) {
      const grown = this.copyTo(Math.max(end, 2 * this.length, MIN_CAPACITY));
      grown.claim(0, end);
      this.replace(grown);
    }
    this.store.write("key", key, this.length, count);
    this.store.write("value", value, this.length, count);
    this.length = end;
  }

  truncate(length: number): void {
    this.shorten(length, (n) => Math.min(n, length));
  }

  /** Takes rows start .. end out; those behind move up. */
  evict(start: number, end: number): void {
    const length = this.length - (end - start);
    const { store } = this;
    if (store.reclaim(length)) {
      store.copy(store, end, this.length, start);
    } else {
      const rest = store.like(store.sizes);
      rest.copy(store, 0, start, 0);
      rest.copy(store, end, this.length, start);
      rest.claim(0, length);
      this.replace(rest);
    }
    this.shorten(length, (n) => n - (Math.min(n, end) - Math.min(n, start)));
  }

  /** Other rows with these batch entries. */
  select(batches: readonly number[]): MemoryRows {
    const { length, keyLengths, layout } = this;
    const store = this.store.like({ ...this.store.sizes, batch: batches.length, capacity: length });
    store.copy(this.store, 0, length, 0, batches);
    store.claim(0, length);
    return new MemoryRows(store, length, keyLengths && Int32Array.from(batches, (b) => keyLengths[b]), layout);
  }

  /** Entries that are seen whole have no length of their own, so that they can grow. */
  limit(keyLengths: Int32Array | undefined): void {
    this.keyLengths = keyLengths?.some((n) => n < this.length) ? keyLengths : undefined;
  }

  private copyTo(capacity: number): Store {
    const store = this.store.like({ ...this.store.sizes, capacity });
    store.copy(this.store, 0, this.length, 0);
    return store;
  }

  private replace(store: Store): void {
    this.store.release();
    this.store = store;
  }

  private shorten(length: number, of: (keys: number) => number): void {
    this.length = length;
    this.limit(this.keyLengths?.map(of));
  }
}
