import {
  addScores,
  addValues,
  COLUMNS,
  holdQueries,
  holdRows,
  KEYS,
  ONE_QUERY_KEYS,
  ROWS,
  scores,
  takeNonFinite,
  valueStride,
  WIDTH,
} from "./block.js";
import { addDots, addWeighted } from "./decode.js";
import type { Problem } from "./problem.js";
import { type Rows, readRows, writeRow } from "./read.js";
import type { Reducer } from "./reduce.js";
import { makeRow, maskAt, type Row, readBias } from "./row.js";
import { addAlibi, addBias, addSoftcap, exponentiate, HEADROOM, largest, multiply } from "./softmax.js";

// Numbers of the queries and accumulators of a tile, at most (256 KiB), unless MIN_ROWS rows need more.
const TILE_NUMBERS = 32768;
const MIN_ROWS = 4;

// Weights of one row, and their logarithms.
const weights = new Float64Array(ONE_QUERY_KEYS);
const logarithms = new Float64Array(ONE_QUERY_KEYS);

// A run of one row of the mask, as numbers to add.
const bias = new Float64Array(ONE_QUERY_KEYS);

/** Queries in a tile of this problem, at most. */
export function maxRows({ d, dv }: Problem): number {
  return Math.min(ROWS, Math.max(MIN_ROWS, Math.floor(TILE_NUMBERS / (d + dv))));
}

/**
 * Queries that read the same keys and values: of one batch entry or of all that share a memory, and of all heads that
 * share a key head. Online softmax: https://arxiv.org/abs/1805.02867.
 */
export class Tile {
  /** Some row sees keys of lo <= j < hi, and none sees others. */
  lo = 0;
  hi = 0;
  /** Keys that attend() takes, at most. */
  keys = KEYS;
  private rows: Row[] = [];
  private keyStart = 0;
  private valueStart = 0;
  /** Queries times scale, WIDTH columns after WIDTH columns, each [rows, width]. */
  private readonly q: Float64Array;
  /** Accumulators, [rows, pitch]. */
  private readonly o: Float64Array;
  private readonly pitch: number;

  constructor(
    private readonly p: Problem,
    size: number,
  ) {
    this.pitch = Math.ceil(p.dv / COLUMNS) * COLUMNS;
    this.q = new Float64Array(size * p.d);
    this.o = new Float64Array(size * this.pitch);
  }

  /** Rows first .. first + count of those that read a key head, counted query by query, head by head, entry by entry. */
  begin(batch: number, kvHead: number, first: number, count: number): void {
    const { p } = this;
    const group = p.heads / p.kvHeads;
    this.keyStart = batch * p.key.batch + kvHead * p.key.head;
    this.valueStart = batch * p.value.batch + kvHead * p.value.head;
    this.keys = count === 1 ? this.oneQueryKeys() : KEYS;
    this.rows = [];
    for (let n = first; n < first + count; n++) {
      const head = Math.floor(n / p.tq) % group;
      this.rows.push(makeRow(p, batch + Math.floor(n / (p.tq * group)), kvHead * group + head, n % p.tq));
    }
    const looking = this.rows.filter((row) => row.lo < row.hi);
    this.hi = looking.reduce((hi, row) => Math.max(hi, row.hi), 0);
    this.lo = looking.reduce((lo, row) => Math.min(lo, row.lo), this.hi);
    this.loadQueries();
    this.o.fill(0, 0, count * this.pitch);
  }

  private oneQueryKeys(): number {
    const width = Math.min(Math.max(this.p.d, this.p.dv), WIDTH);
    return Math.min(Math.floor((KEYS * WIDTH) / width), ONE_QUERY_KEYS);
  }

  private loadQueries(): void {
    const { d, scale, query: from } = this.p;
    const count = this.rows.length;
    for (let r = 0; r < count; r++) {
      const { batch, head, query } = this.rows[r];
      const at = batch * from.batch + head * from.head + query * from.row;
      for (let c = 0; c < d; c += WIDTH) {
        const width = Math.min(WIDTH, d - c);
        const { data, start } = readRows(from, at + c, 1, width);
        this.q.set(data.subarray(start, start + width), c * count + r * width);
      }
    }
    multiply(this.q, 0, count * d, scale);
  }

  /** Attends `keys` keys from `start` on. */
  attend(start: number, keys: number): void {
    const rows = this.rows.length;
    this.computeScores(start, keys);
    let seen = 0;
    for (let r = 0; r < rows; r++) seen += this.finishScores(this.rows[r], r, start, keys);
    for (let r = 0; r < rows; r++) this.exponentiateRow(this.rows[r], r, keys);
    if (seen > 0) this.accumulate(start, keys, seen < rows * keys);
  }

  private computeScores(start: number, keys: number): void {
    const { d, key } = this.p;
    const rows = this.rows.length;
    scores.fill(0, 0, (rows - 1) * KEYS + keys);
    for (let c = 0; c < d; c += WIDTH) {
      const width = Math.min(WIDTH, d - c);
      const part = readRows(key, this.keyStart + start * key.row + c, keys, width);
      if (rows === 1) {
        addDots(scores, this.q, c, part, keys, width);
      } else {
        holdQueries(this.q, c * rows, rows, width);
        holdRows(part, keys, width, width);
        addScores(rows, keys, width);
      }
    }
  }

  /** Softcap, alibi and mask; then hides what the row does not see. Returns how many keys it sees. */
  private finishScores(row: Row, r: number, start: number, keys: number): number {
    const { softcap, alibi, mask } = this.p;
    const from = Math.min(Math.max(row.lo - start, 0), keys);
    const to = Math.max(Math.min(row.hi - start, keys), from);
    const at = r * KEYS;
    if (softcap !== 0) addSoftcap(scores, at + from, to - from, softcap);
    if (alibi) addAlibi(scores, at + from, to - from, alibi[row.head], row.position - start - from);
    let seen = to - from;
    if (mask) {
      readBias(bias, mask, maskAt(mask, row, start + from), to - from);
      seen = addBias(scores, at + from, to - from, bias);
    }
    if (from > 0) scores.fill(-Infinity, at, at + from);
    if (to < keys) scores.fill(-Infinity, at + to, at + keys);
    row.seen ||= seen > 0;
    return seen;
  }

  private exponentiateRow(row: Row, r: number, keys: number): void {
    const m = largest(scores, r * KEYS, keys);
    if (m > row.m + HEADROOM) this.raise(row, r, m);
    row.l += exponentiate(scores, r * KEYS, keys, row.m);
  }

  /** m grows, so what was summed up so far is e^(m - row.m) times too large. */
  private raise(row: Row, r: number, m: number): void {
    const factor = Math.exp(row.m - m);
    row.m = m;
    row.l *= factor;
    multiply(this.o, r * this.pitch, this.p.dv, factor);
  }

  private accumulate(start: number, keys: number, someHidden: boolean): void {
    const { dv, value } = this.p;
    for (let c = 0; c < dv; c += WIDTH) {
      const width = Math.min(WIDTH, dv - c);
      const part = readRows(value, this.valueStart + start * value.row + c, keys, width);
      if (this.rows.length > 1 || someHidden) this.addPart(part, start, keys, c, width, someHidden);
      else addWeighted(this.o, c, scores, part, keys, width);
    }
  }

  private addPart(part: Rows, start: number, keys: number, c: number, width: number, someHidden: boolean): void {
    const rows = this.rows.length;
    const stride = valueStride(rows, width);
    holdRows(part, keys, width, stride);
    // A weight of 0 does not keep NaN and Infinity from a row, so only the rows that see such values get them.
    const taken = someHidden ? takeNonFinite(keys, width, stride) : [];
    addValues(rows, keys, width, stride, this.o, c, this.pitch);
    for (const { key, values } of taken) this.addTaken(start, key, values, c);
  }

  private addTaken(start: number, key: number, values: Float64Array, c: number): void {
    this.rows.forEach((row, r) => {
      if (!this.sees(row, start + key)) return;
      const p = scores[r * KEYS + key];
      values.forEach((value, i) => {
        this.o[r * this.pitch + c + i] += p * value;
      });
    });
  }

  private sees(row: Row, j: number): boolean {
    const { mask } = this.p;
    if (j < row.lo || j >= row.hi) return false;
    if (mask) readBias(bias, mask, maskAt(mask, row, j), 1);
    return !mask || bias[0] !== -Infinity;
  }

  /** Writes output and lse of one row. */
  finish(r: number): void {
    const { heads, tq, lse } = this.p;
    const row = this.rows[r];
    const factor = row.seen ? 1 / row.l : 0;
    this.writeOutput(row, r, factor);
    if (lse) lse[(row.batch * heads + row.head) * tq + row.query] = row.m + Math.log(row.l);
  }

  /** Hands the weights of `keys` keys from `start` on to a map, once all rows are finished. */
  reduce(map: Reducer, start: number, keys: number): void {
    if (!map.wantsKeys(start, keys)) return;
    this.computeScores(start, keys);
    this.rows.forEach((row, r) => {
      if (!map.wantsRow(row)) return;
      this.finishScores(row, r, start, keys);
      logarithms.set(scores.subarray(r * KEYS, r * KEYS + keys));
      exponentiate(scores, r * KEYS, keys, row.m);
      this.weigh(row, r, start, keys);
      map.take(row, start, keys, weights, logarithms);
    });
  }

  /** Probabilities become weights, and scores their logarithms. */
  private weigh(row: Row, r: number, start: number, keys: number): void {
    const factor = row.seen ? 1 / row.l : 0;
    const logarithm = Math.log(factor);
    for (let i = 0; i < keys; i++) {
      // NaN or Infinity in the input: NaN in all weights of the row but the hidden ones.
      weights[i] = Number.isFinite(factor) ? scores[r * KEYS + i] * factor : this.sees(row, start + i) ? NaN : 0;
      logarithms[i] = logarithms[i] - row.m + logarithm;
    }
  }

  private writeOutput({ batch, head, query }: Row, r: number, factor: number): void {
    const { dv, output: to } = this.p;
    const from = r * this.pitch;
    const at = batch * to.batch + head * to.head + query * to.row;
    multiply(this.o, from, dv, factor);
    writeRow(to, at, this.o, from, dv);
  }
}
