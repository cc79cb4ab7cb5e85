// What the option `weights` asks for: its check, the dims of its result, and memory for it.
import { allocate, allocateIntegers } from "./arrays.js";
import { wrongKind, wrongValue } from "./errors.js";
import { mapDims, type Size, type Sizes } from "./layout.js";
import type { WeightMap } from "./problem.js";
import type { Shapes } from "./shapes.js";
import { product, type Tensor } from "./tensor.js";
import { indicesOf, integer, readGroup } from "./values.js";

/**
 * A part or a reduction of the weights, for which no array of heads * tq * tk is made. `heads` and `keys` go together with
 * every reduction, and `reduce` and `topK` exclude each other.
 */
export interface MapOptions {
  /** Heads to look at, and their order in the result; all by default. Only they are computed again. */
  heads?: ArrayLike<number> | undefined;
  /** Keys to look at, and their order in the result; all by default. */
  keys?: ArrayLike<number> | undefined;
  /**
   * "mean": of the weights over the heads, `[batch, tq, tk]`. "entropy": -sum of w ln w over the keys, in nats,
   * `[batch, heads, tq]`. "sum", with `over: "queries"`: how much each key was looked at, `[batch, heads, tk]`.
   */
  reduce?: "mean" | "entropy" | "sum" | undefined;
  over?: "queries" | undefined;
  /** The largest weights of each query and the indices of their keys, `[batch, heads, tq, topK]`. */
  topK?: number | undefined;
}

/** Descending; of equal weights the one of the lower key is first. Where a query sees fewer keys: 0 and -1. */
export interface TopK {
  weights: Tensor<Float32Array>;
  indices: { data: Int32Array; dims: number[]; type: "int32" };
}

/** What comes of an option `weights`. */
export type WeightsResult<Asked> = Asked extends true
  ? Tensor<Float32Array>
  : Asked extends { topK: number }
    ? TopK
    : Asked extends object
      ? "topK" extends keyof Asked
        ? Tensor<Float32Array> | TopK
        : Tensor<Float32Array>
      : undefined;

const DEFAULTS = {
  heads: undefined,
  keys: undefined,
  reduce: undefined,
  over: undefined,
  topK: undefined,
} as const satisfies Record<keyof MapOptions, unknown>;
const KNOWN: ReadonlySet<string> = new Set(Object.keys(DEFAULTS));

export const FORMS = "a boolean or { heads, keys, reduce, over, topK }";

/** Sizes of the result by kind; a map has sizes of its own for the heads and keys that were chosen. */
const RESULTS = {
  weights: ["batch", "heads", "tq", "tk"],
  mean: ["batch", "tq", "tk"],
  topK: ["batch", "heads", "tq"],
  entropy: ["batch", "heads", "tq"],
  sum: ["batch", "heads", "tk"],
} as const satisfies Record<WeightMap["kind"], readonly Size[]>;

const NO_VALUES = new Float32Array(1);

/** A map after its checks. Its results have no memory before allocateMap(). */
export function mapOf(weights: boolean | MapOptions | undefined, sizes: Sizes): WeightMap | undefined {
  if (weights === undefined || weights === false) return undefined;
  if (weights !== true && (typeof weights !== "object" || weights === null)) throw wrongKind("weights", FORMS, weights);
  const { heads, keys, ...options } = weights === true ? DEFAULTS : readGroup<MapOptions>(weights, KNOWN, "weights");
  const kind = kindOf(options);
  const chosenHeads = heads === undefined ? undefined : indicesOf("weights.heads", heads, sizes.heads);
  const chosenKeys = keys === undefined ? undefined : indicesOf("weights.keys", keys, sizes.tk);
  return {
    kind,
    heads: chosenHeads && placesOf(chosenHeads, sizes.heads),
    headCount: chosenHeads?.length ?? sizes.heads,
    keys: chosenKeys?.slice().sort(),
    columns: chosenKeys && columnsOf(chosenKeys),
    keyCount: chosenKeys?.length ?? sizes.tk,
    k: kind === "topK" ? integer("weights.topK", options.topK, 1) : 0,
    values: NO_VALUES,
    indices: undefined,
  };
}

function kindOf({ reduce, over, topK }: MapOptions): WeightMap["kind"] {
  if (over !== undefined && reduce !== "sum") throw wrongValue("weights.over", 'to be left out but with "sum"', over);
  if (reduce === "sum" && over !== "queries") throw wrongValue("weights.over", '"queries"', over);
  if (topK !== undefined) {
    if (reduce !== undefined) throw wrongValue("weights.reduce", 'to be left out together with "topK"', reduce);
    return "topK";
  }
  if (reduce === undefined) return "weights";
  if (reduce === "mean" || reduce === "entropy" || reduce === "sum") return reduce;
  const wrong = typeof reduce === "string" ? wrongValue : wrongKind;
  throw wrong("weights.reduce", '"mean", "entropy" or "sum"', reduce);
}

/** Per head its place among the chosen ones, or -1. */
function placesOf(chosen: Int32Array, heads: number): Int32Array {
  const places = new Int32Array(heads).fill(-1);
  chosen.forEach((head, place) => {
    places[head] = place;
  });
  return places;
}

/** Columns of the chosen keys in ascending order; undefined where they are in that order already. */
function columnsOf(chosen: Int32Array): Int32Array | undefined {
  const columns = Int32Array.from(chosen.keys()).sort((a, b) => chosen[a] - chosen[b]);
  return columns.every((column, at) => column === at) ? undefined : columns;
}

/** Gives a map memory: zeros, and indices of -1. Backends write what is not so. */
export function allocateMap(map: WeightMap, { layout, sizes }: Shapes): Tensor<Float32Array> | TopK {
  const chosen = { ...sizes, heads: map.headCount, tk: map.keyCount };
  const dims = mapDims(RESULTS[map.kind], layout, chosen);
  if (map.kind === "topK") dims.push(map.k);
  map.values = allocate("weights", "Float32Array", product(dims)) as Float32Array;
  const weights = { data: map.values, dims, type: "float32" } as const;
  if (map.kind !== "topK") return weights;
  map.indices = allocateIntegers("weights.indices", product(dims)).fill(-1);
  return { weights, indices: { data: map.indices, dims: dims.slice(), type: "int32" } };
}
