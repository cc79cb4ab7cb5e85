import { currentBackend } from "../backend.js";
import { wrongValue } from "../errors.js";
import { finite, integer, oneOf, withDefaults } from "../values.js";
import { checkSameOrApart, floats, resultOf, rowsOf } from "./check.js";
import { type Ids, integersOf } from "./embedding.js";

export type Pairs = "halves" | "interleaved";

export interface RotaryOptions {
  /** Leading elements of each head that are turned, even; the rest stays as it is. The whole head by default. */
  dims?: number | undefined;
  /** Pair i turns by position * base^(-2i / dims); 10000 by default. */
  base?: number | undefined;
  /**
   * Which elements make a pair: "halves" i and i + dims / 2 (the default; GPT-NeoX, Llama in transformers), "interleaved"
   * 2i and 2i + 1 (RoFormer, Moonshine).
   */
  pairs?: Pairs | undefined;
}

export interface RotateOptions {
  /** 1 by default. */
  heads?: number | undefined;
  /** Position of the first row, the others follow it (0 by default); or one per row. */
  positions?: number | Ids | undefined;
  /** Takes the output: of x's length; x itself, or apart from it. */
  out?: Float32Array | undefined;
}

// Positions end here: their table takes up to 4 * dims bytes each.
const MOST_POSITIONS = 2 ** 24;

/**
 * Rotary positions (Su et al., "RoFormer", arXiv:2104.09864): pairs of elements turn by an angle that grows with the
 * position, so that a product of a query and a key depends on their distance.
 *
 * @example
 * const rotary = new Rotary(36, { dims: 32, pairs: "interleaved" });
 * const turned = rotary.apply(query, { heads: 8, positions: step }); // query: [rows, 8 * 36]
 */
export class Rotary {
  readonly size: number;
  readonly dims: number;
  readonly #interleaved: boolean;
  readonly #frequencies: Float64Array;
  /** `[position, 2, dims / 2]`: cosines, then sines, as far as they were needed. */
  #table = new Float32Array(0);

  /** @param size elements of a head */
  constructor(size: number, options?: RotaryOptions) {
    this.size = integer("size", size, 1);
    const { dims, base, pairs } = withDefaults(options, { dims: size, base: 10000, pairs: "halves" as Pairs });
    this.dims = integer("dims", dims, 0, size);
    if (dims % 2 !== 0) throw wrongValue("dims", "an even number", dims);
    if (finite("base", base, 0) === 0) throw wrongValue("base", "a positive finite number", base);
    this.#interleaved = oneOf("pairs", pairs, ["halves", "interleaved"]) === "interleaved";
    this.#frequencies = Float64Array.from({ length: dims / 2 }, (_, i) => base ** ((-2 * i) / dims));
  }

  /**
   * @param x `[rows, heads * size]`
   * @returns the same shape
   * @throws TypeError and RangeError for wrong arguments, before any work
   */
  apply(x: Float32Array, options?: RotateOptions): Float32Array {
    const defaults = { heads: 1, positions: 0 as number | Ids, out: undefined as Float32Array | undefined };
    const { heads, positions, out } = withDefaults(options, defaults);
    const { size, dims } = this;
    const width = integer("heads", heads, 1) * size;
    const rows = rowsOf("x", floats("x", x), width, `${heads} heads of ${size}`);
    const places = placesOf(positions, rows);
    const y = resultOf(out, x.length, 'as "x"');
    checkSameOrApart(y, "x", x);
    const table = this.#upTo(places.reduce((most, at) => Math.max(most, at), -1) + 1);
    const call = { x, heads, size, dims, interleaved: this.#interleaved, positions: places, table, y };
    if (rows > 0) currentBackend().blocks.rotary(call);
    return y;
  }

  /** The table for at least so many positions; it grows by halves, so that decoding does not make it anew each step. */
  #upTo(positions: number): Float32Array {
    const { dims } = this;
    const known = dims === 0 ? positions : this.#table.length / dims;
    if (positions <= known) return this.#table;
    const count = Math.min(Math.max(positions, Math.ceil(1.5 * known), 64), MOST_POSITIONS);
    const table = new Float32Array(count * dims);
    table.set(this.#table);
    for (let position = known, at = known * dims; position < count; position++, at += dims) {
      this.#frequencies.forEach((frequency, i) => {
        table[at + i] = Math.cos(position * frequency);
        table[at + dims / 2 + i] = Math.sin(position * frequency);
      });
    }
    this.#table = table;
    return table;
  }
}

function placesOf(positions: number | Ids, rows: number): Int32Array {
  if (typeof positions === "number") {
    integer("positions", positions, 0, MOST_POSITIONS - Math.max(rows, 1));
    return Int32Array.from({ length: rows }, (_, row) => positions + row);
  }
  const places = integersOf("positions", positions, MOST_POSITIONS - 1, "positions that a table can hold");
  if (places.length !== rows) throw wrongValue("positions.length", `${rows} (rows of "x")`, places.length);
  return places;
}
