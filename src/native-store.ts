// Rows in a block of the addon, outside the JavaScript heap.
import { randomUUID } from "node:crypto";
import { tooLarge } from "./errors.js";
import type { Mask, Operand } from "./problem.js";
import { ARRAYS, type Form, type Outside, type Part, type Runs, Store, type StoreSizes } from "./store.js";

/** What native/memory-binding.cc exports. Offsets and strides of copies are in bytes. */
export interface Memories {
  readonly allocate: (bytes: number) => object;
  readonly release: (handle: object) => void;
  readonly claim: (handle: object, from: number, to: number) => boolean;
  readonly reclaim: (handle: object, from: number) => boolean;
  readonly write: (kernel: number, handle: object, fields: Float64Array, data: Operand["data"]) => void;
  readonly copy: (to: object, from: object, fields: Float64Array) => void;
  readonly read: (handle: object, bytes: Uint8Array) => void;
  readonly share: (handle: object, token: string, description: string) => void;
  readonly claimShared: (token: string) => { handle: object; description: string } | undefined;
}

/** enum Type of native/kernel.h. By comparisons, which take a fraction of a look-up by a name that varies. */
export function codeOf(type: Operand["type"] | Mask["type"]): number {
  return type === "float32" ? 0 : type === "float16" ? 1 : type === "bfloat16" ? 2 : type === "bool" ? 3 : 4;
}

const NO_DATA = new Float32Array(0);

// One for all: the addon has read them when it returns. Their order is that of write() in native/memory-binding.cc.
const fields = new Float64Array(14);

function fillOperand(at: number, { type, batch, head, row }: Operand): void {
  fields[at] = codeOf(type);
  fields[at + 1] = batch;
  fields[at + 2] = head;
  fields[at + 3] = row;
}

export class NativeStore extends Store implements Outside {
  readonly handle: object;
  readonly #memories: Memories;
  readonly #kernel: number;
  readonly #operands: Record<Part, Operand>;

  /**
   * @param kernel index of the one that converts
   * @param handle of a block that is there already
   */
  constructor(memories: Memories, kernel: number, sizes: StoreSizes, handle?: object) {
    super(sizes);
    this.#memories = memories;
    this.#kernel = kernel;
    this.handle = handle ?? allocate(memories, this.places.bytes);
    const operand = (part: Part) => this.operandOver(part, NO_DATA, undefined);
    this.#operands = { key: operand("key"), value: operand("value") };
  }

  /** The rows that wait under a token; undefined where none do. */
  static fromToken(memories: Memories, token: string): { store: NativeStore; form: Form } | undefined {
    const found = memories.claimShared(token);
    if (found === undefined) return undefined;
    const form: Form = JSON.parse(found.description);
    return { store: new NativeStore(memories, 0, form, found.handle), form };
  }

  get outside(): Outside {
    return this;
  }

  like(sizes: StoreSizes): NativeStore {
    return new NativeStore(this.#memories, this.#kernel, sizes);
  }

  claim(from: number, to: number): boolean {
    return this.#memories.claim(this.handle, from, to);
  }

  protected reclaimFromOthers(from: number): boolean {
    return this.#memories.reclaim(this.handle, from);
  }

  write(part: Part, from: Operand, at: number, count: number): void {
    const { sizes, places } = this;
    const to = this.#operands[part];
    fillOperand(0, from);
    fillOperand(4, to);
    fields[8] = places[part] + at * to.row * ARRAYS[to.type].BYTES_PER_ELEMENT;
    fields[9] = places[`${part}Scales`] + at * Float32Array.BYTES_PER_ELEMENT;
    fields[10] = sizes.batch;
    fields[11] = sizes.heads;
    fields[12] = count;
    fields[13] = part === "key" ? sizes.d : sizes.dv;
    this.#memories.write(this.#kernel, this.handle, fields, from.data);
  }

  operand(part: Part): Operand {
    return this.#operands[part];
  }

  read(): Record<Part, Operand> {
    const bytes = new Uint8Array(this.places.bytes);
    this.#memories.read(this.handle, bytes);
    return this.operandsIn(bytes.buffer, 0);
  }

  share(form: Form): { token: string } {
    const token = randomUUID();
    this.#memories.share(this.handle, token, JSON.stringify(form));
    return { token };
  }

  protected copyRuns(from: NativeStore, { to, toStride, from: source, fromStride, bytes, count }: Runs): void {
    const fields = Float64Array.of(to, toStride, source, fromStride, bytes, count);
    this.#memories.copy(this.handle, from.handle, fields);
  }

  protected free(): void {
    this.#memories.release(this.handle);
  }
}

function allocate(memories: Memories, bytes: number): object {
  try {
    return memories.allocate(bytes);
  } catch {
    throw tooLarge("memory", bytes);
  }
}
