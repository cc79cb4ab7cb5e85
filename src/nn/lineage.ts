import { wrongValue } from "../errors.js";
import type { TensorLike } from "../tensor.js";
import { integersOf } from "../values.js";

/** Where new tokens stand, and what they see of the cache. */
export interface Reach {
  positions: readonly number[];
  mask?: TensorLike;
  causal: "bottom-right" | false;
}

/**
 * Which rows of a decoder's cache belong to which beam. The cache only grows: beams that split go on sharing the rows that
 * they have in common, and a mask hides from each what is another's. As queries of one call they fill the lanes of a vector
 * anyway, so that hidden rows cost little.
 */
export class Lineage {
  /** Rows of every beam, oldest first; undefined: one beam, to which all rows belong. */
  #rows: readonly (readonly number[])[] | undefined;
  #total = 0;
  #length = 0;

  /** Rows of the cache. */
  get total(): number {
    return this.#total;
  }

  /** Tokens of each beam. */
  get length(): number {
    return this.#length;
  }

  get beams(): number {
    return this.#rows?.length ?? 1;
  }

  /** Of new rows, when the cache has them. One beam takes any number of tokens, several take one each. */
  reach(count: number): Reach {
    const isOne = this.beams === 1;
    const positions = Array.from({ length: count }, (_, i) => this.#length + (isOne ? i : 0));
    if (this.#rows === undefined) return { positions, causal: "bottom-right" };
    const tk = this.#total + count;
    const mask = new Uint8Array(count * tk);
    const rows = this.#grown(this.#rows, count);
    for (let i = 0; i < count; i++) {
      for (const row of rows[Math.min(i, rows.length - 1)]) mask[i * tk + row] = 1;
    }
    return { positions, mask: { data: mask, dims: [count, tk] }, causal: isOne ? "bottom-right" : false };
  }

  /** The cache has got `count` rows more. */
  grow(count: number): void {
    if (this.#rows !== undefined) this.#rows = this.#grown(this.#rows, count);
    this.#total += count;
    this.#length += this.beams === 1 ? count : 1;
  }

  #grown(rows: readonly (readonly number[])[], count: number): number[][] {
    const added = Array.from({ length: count }, (_, i) => this.#total + i);
    return rows.map((own, beam) => [...own, ...(rows.length === 1 ? added : [added[beam]])]);
  }

  /** Beam i goes on from what beam parents[i] was. */
  reorder(given: ArrayLike<number>): void {
    const { beams } = this;
    const parents = integersOf("parents", given, 0, beams - 1);
    if (parents.length === 0) throw wrongValue("parents.length", "at least 1", 0);
    if (parents.length === beams && parents.every((parent, i) => parent === i)) return;
    const rows = this.#rows ?? [Array.from({ length: this.#total }, (_, row) => row)];
    this.#rows = parents.map((parent) => rows[parent]);
  }
}
