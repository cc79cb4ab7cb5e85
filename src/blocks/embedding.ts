import { arrayClass } from "../arrays.js";
import { currentBackend } from "../backend.js";
import { wrongKind, wrongValue } from "../errors.js";
import { isPacked, pack, type TensorLike } from "../tensor.js";
import { finite, withDefaults } from "../values.js";
import { checkApart, resultOf } from "./check.js";
import { weightView } from "./weights.js";

export interface EmbeddingOptions {
  /** Factor of every element; 1 by default. Many models take sqrt(width). */
  scale?: number | undefined;
  /** Takes the output: of its exact length. */
  out?: Float32Array | undefined;
}

/** Integers that name rows: tokens, positions. */
export type Ids = ArrayLike<number> | ArrayLike<bigint>;

/**
 * Rows of a table, times a factor.
 *
 * @param table `[entries, width]` of any float type
 * @param ids integers from 0 to entries - 1
 * @returns `[ids.length, width]`
 * @throws TypeError and RangeError for wrong arguments, before any work
 * @example
 * const x = embedding(table, [5, 17, 2], { scale: Math.sqrt(512) });
 */
export function embedding(table: TensorLike, ids: Ids, options?: EmbeddingOptions): Float32Array {
  const given = withDefaults(options, { scale: 1, out: undefined as Float32Array | undefined });
  const scale = finite("scale", given.scale, -Infinity);
  const view = weightView("table", table, [-1, -1], "[entries, width], at least one of each");
  const [entries, width] = view.dims;
  const rows = integersOf("ids", ids, entries - 1, 'entries of "table"');
  const y = resultOf(given.out, rows.length * width, `${rows.length} ids, width ${width}`);
  checkApart(y, "table", view.data);
  const { data, type, strides } = isPacked(view) ? view : pack(view);
  const numbers = data as Float32Array | Uint16Array;
  if (y.length > 0) {
    const call = { table: numbers, type: type as "float32", stride: strides[0], width, ids: rows, scale, y };
    currentBackend().blocks.embedding(call);
  }
  return y;
}

/** A copy as int32, each from 0 to `most`. */
export function integersOf(name: string, given: Ids, most: number, why: string): Int32Array {
  if (!Array.isArray(given) && arrayClass(given) === undefined) throw wrongKind(name, "an array of integers", given);
  const integers = new Int32Array(given.length);
  for (let i = 0; i < given.length; i++) {
    const entry = typeof given[i] === "bigint" ? Number(given[i]) : (given[i] as number);
    if (!Number.isInteger(entry) || entry < 0 || entry > most) {
      const wrong = typeof entry === "number" ? wrongValue : wrongKind;
      throw wrong(`${name}[${i}]`, `an integer from 0 to ${most} (${why})`, given[i]);
    }
    integers[i] = entry;
  }
  return integers;
}
