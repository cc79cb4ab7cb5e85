import type { TensorLike } from "../tensor.js";
import type { Activations } from "./activations.js";
import type { Projected } from "./multihead.js";

/** Keys and values that grow in place: appending takes constant time a row, on average. */
export class Cache {
  readonly #key: Rows;
  readonly #value: Rows;

  constructor({ key, value }: Projected) {
    this.#key = new Rows(key);
    this.#value = new Rows(value);
  }

  append({ key, value }: Projected): void {
    this.#key.append(key);
    this.#value.append(value);
  }

  truncate(length: number): void {
    this.#key.length = length;
    this.#value.length = length;
  }

  /** In place. */
  get projected(): Projected<TensorLike> {
    return { key: this.#key.view, value: this.#value.view };
  }
}

/** `[batch, capacity, columns]`, of which the first `length` rows are used. */
class Rows {
  length: number;
  readonly #outer: readonly number[];
  readonly #columns: number;
  #capacity: number;
  #data: Float32Array;

  constructor({ data, dims }: Activations) {
    this.#outer = dims.slice(0, -2);
    [this.#capacity, this.#columns] = dims.slice(-2);
    this.length = this.#capacity;
    this.#data = data;
  }

  get #entries(): number {
    return this.#outer[0] ?? 1;
  }

  append({ data, dims }: Activations): void {
    const count = dims[dims.length - 2];
    if (this.length + count > this.#capacity) this.#resize(Math.max(16, 2 * (this.length + count)));
    const size = count * this.#columns;
    for (let b = 0; b < this.#entries; b++) {
      this.#data.set(data.subarray(b * size, (b + 1) * size), (b * this.#capacity + this.length) * this.#columns);
    }
    this.length += count;
  }

  #resize(capacity: number): void {
    const larger = new Float32Array(this.#entries * capacity * this.#columns);
    for (let b = 0; b < this.#entries; b++) {
      const from = b * this.#capacity * this.#columns;
      const used = this.#data.subarray(from, from + this.length * this.#columns);
      larger.set(used, b * capacity * this.#columns);
    }
    this.#data = larger;
    this.#capacity = capacity;
  }

  get view(): TensorLike {
    const strides = [this.#capacity * this.#columns, this.#columns, 1].slice(-this.#outer.length - 2);
    return { data: this.#data, dims: [...this.#outer, this.length, this.#columns], strides };
  }
}
