// Rows in a SharedArrayBuffer, for the `js` backend; native kernels read it in place, too.
import { readRow, writeRow } from "./convert.js";
import { tooLarge } from "./errors.js";
import type { Operand } from "./problem.js";
import { type Form, type Part, placesOf, type Runs, Store, type StoreSizes } from "./store.js";

// The buffer begins with a header of int32: what it is, rows that somebody has claimed, whether it was ever shared.
const HEADER_BYTES = 64;
const [MARK, CLAIMED, SHARED] = [0, 1, 2];
const MAGIC = 0x78617474; // "xatt"

/** On its way to another thread: the rows, and a cell that says with 1 that nobody has claimed them yet. */
export interface SharedRows {
  form: Form;
  rows: SharedArrayBuffer;
  ticket: SharedArrayBuffer;
}

export class SharedStore extends Store {
  readonly outside = undefined;
  readonly #buffer: SharedArrayBuffer;
  readonly #header: Int32Array;
  readonly #operands: Record<Part, Operand>;

  /** @param buffer one that is there already */
  constructor(sizes: StoreSizes, buffer?: SharedArrayBuffer) {
    super(sizes);
    this.#buffer = buffer ?? allocate(HEADER_BYTES + this.places.bytes);
    this.#header = new Int32Array(this.#buffer, 0, HEADER_BYTES / 4);
    this.#header[MARK] = MAGIC;
    this.#operands = this.operandsIn(this.#buffer, HEADER_BYTES);
  }

  /** The rows, where they are what they say and nobody has claimed them; undefined otherwise. */
  static fromShared({ form, rows, ticket }: SharedRows): SharedStore | undefined {
    const fits = rows.byteLength === HEADER_BYTES + placesOf(form).bytes && ticket.byteLength === 4;
    if (!fits || new Int32Array(rows, 0, HEADER_BYTES / 4)[MARK] !== MAGIC) return undefined;
    if (Atomics.compareExchange(new Int32Array(ticket), 0, 1, 0) !== 1) return undefined;
    return new SharedStore(form, rows);
  }

  like(sizes: StoreSizes): SharedStore {
    return new SharedStore(sizes);
  }

  claim(from: number, to: number): boolean {
    return Atomics.compareExchange(this.#header, CLAIMED, from, to) === from;
  }

  // Who has shared a buffer cannot know when the others have dropped it.
  protected reclaimFromOthers(from: number): boolean {
    if (Atomics.load(this.#header, SHARED) !== 0) return false;
    Atomics.store(this.#header, CLAIMED, from);
    return true;
  }

  write(part: Part, from: Operand, at: number, count: number): void {
    const { batch, heads, d, dv } = this.sizes;
    const to = this.#operands[part];
    const numbers = new Float64Array(part === "key" ? d : dv);
    for (let b = 0; b < batch; b++) {
      for (let h = 0; h < heads; h++) {
        for (let i = 0; i < count; i++) {
          readRow(numbers, from, b * from.batch + h * from.head + i * from.row);
          writeRow(to, b * to.batch + h * to.head + (at + i) * to.row, numbers);
        }
      }
    }
  }

  operand(part: Part): Operand {
    return this.#operands[part];
  }

  share(form: Form): SharedRows {
    Atomics.store(this.#header, SHARED, 1);
    const ticket = new SharedArrayBuffer(4);
    new Int32Array(ticket)[0] = 1;
    return { form, rows: this.#buffer, ticket };
  }

  protected copyRuns(from: SharedStore, { to, toStride, from: source, fromStride, bytes, count }: Runs): void {
    const target = new Uint8Array(this.#buffer, HEADER_BYTES);
    const origin = new Uint8Array(from.#buffer, HEADER_BYTES);
    for (let i = 0; i < count; i++) {
      const start = source + i * fromStride;
      target.set(origin.subarray(start, start + bytes), to + i * toStride);
    }
  }

  // Its memory goes with the last reference to it, in whatever thread.
  protected free(): void {}
}

function allocate(bytes: number): SharedArrayBuffer {
  try {
    return new SharedArrayBuffer(bytes);
  } catch {
    throw tooLarge("memory", bytes);
  }
}
