// What the `js` backend makes of the weights, row by row.
import type { Problem, WeightMap } from "./problem.js";
import type { Row } from "./row.js";

/** Writes a map from blocks of weights: of any rows in any order, of one row in the order of the keys. */
export class Reducer {
  constructor(
    private readonly p: Problem,
    private readonly map: WeightMap,
  ) {}

  wantsRow({ head }: Row): boolean {
    return this.place(head) >= 0;
  }

  wantsKeys(start: number, count: number): boolean {
    const { keys } = this.map;
    return keys === undefined || this.firstFrom(start) < this.firstFrom(start + count);
  }

  /** `count` weights from key `start` on, with their logarithms. */
  take(row: Row, start: number, count: number, weights: Float64Array, logarithms: Float64Array): void {
    const { kind, values, keys, columns, headCount, k } = this.map;
    const [from, to] = [this.firstFrom(start), this.firstFrom(start + count)];
    const cell = this.cellOf(row);
    let entropy = 0;
    for (let n = from; n < to; n++) {
      const key = keys === undefined ? n : keys[n];
      const column = columns === undefined ? n : columns[n];
      const w = weights[key - start];
      if (kind === "weights") values[cell + column] = w;
      else if (kind === "mean") values[cell + column] += w / headCount;
      else if (kind === "sum") values[cell + column] += w;
      else if (kind === "topK") this.insert(cell, k, w, key);
      else if (w !== 0) entropy -= w * logarithms[key - start];
    }
    if (kind === "entropy") values[cell] += entropy;
  }

  /** Place of a head in the map; negative: none. */
  private place(head: number): number {
    return this.map.heads === undefined ? head : this.map.heads[head];
  }

  /** How many of the chosen keys lie before this one. */
  private firstFrom(key: number): number {
    const { keys } = this.map;
    if (keys === undefined) return key;
    let [low, high] = [0, keys.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (keys[middle] < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Where a row's part of the map begins. */
  private cellOf({ batch, head, query }: Row): number {
    const { tq } = this.p;
    const { kind, headCount, keyCount, k } = this.map;
    const sequence = batch * headCount + this.place(head);
    if (kind === "mean") return (batch * tq + query) * keyCount;
    if (kind === "sum") return sequence * keyCount;
    const width = kind === "weights" ? keyCount : kind === "topK" ? k : 1;
    return (sequence * tq + query) * width;
  }

  /** Into a list of k weights from `cell` on, behind those that are as large. NaN is largest, and 0 is not listed. */
  private insert(cell: number, k: number, weight: number, key: number): void {
    const { values } = this.map;
    const indices = this.map.indices as Int32Array;
    const w = Math.fround(weight);
    let at = cell + k;
    while (at > cell && isAbove(w, values[at - 1])) at--;
    if (at === cell + k) return;
    values.copyWithin(at + 1, at, cell + k - 1);
    indices.copyWithin(at + 1, at, cell + k - 1);
    values[at] = w;
    indices[at] = key;
  }
}

function isAbove(a: number, b: number): boolean {
  return a > b || (Number.isNaN(a) && !Number.isNaN(b));
}
