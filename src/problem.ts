import type { Blocks } from "./blocks/calls.js";
import type { Outside, Store, StoreSizes } from "./store.js";
import type { ElementType, TypedArray } from "./tensor.js";

/** Element types of memories. int8 has a float32 factor for each row. */
export type MemoryType = ElementType | "int8";

/** A tensor as kernels see it: strides in elements, 0 where an entry is shared; the last dimension is contiguous. */
export interface Operand<Type extends MemoryType = MemoryType> {
  data: TypedArray;
  type: Type;
  /** Elements from one batch entry to the next. */
  batch: number;
  /** Elements from one head to the next (key heads for key and value). */
  head: number;
  /** Elements from one query or key to the next. */
  row: number;
  /** For int8: the factor of element i is scales[floor(i / row)]. */
  scales: Float32Array | undefined;
}

/** A mask that broadcasts by strides of 0. "bool" takes keys away where it is 0; float types are added to the scores. */
export interface Mask {
  data: TypedArray;
  type: ElementType | "bool";
  batch: number;
  head: number;
  row: number;
  key: number;
}

/** A part or a reduction of the weights. */
export interface WeightMap {
  kind: "weights" | "mean" | "topK" | "entropy" | "sum";
  /** Per head its place in the map, -1: left out. Undefined: all, in their order. */
  heads: Int32Array | undefined;
  headCount: number;
  /** The chosen ones, ascending. Undefined: all. */
  keys: Int32Array | undefined;
  /** Per chosen key its column in the map. Undefined: in the order of the keys. */
  columns: Int32Array | undefined;
  keyCount: number;
  /** Weights per query that "topK" takes. */
  k: number;
  /** Contiguous: [batch, headCount, tq, keyCount], without what is reduced; for "topK" [batch, headCount, tq, k]. */
  values: Float32Array;
  /** For "topK". */
  indices: Int32Array | undefined;
}

/** One checked call. Backends trust it: nothing in here is validated again. */
export interface Problem {
  batch: number;
  heads: number;
  kvHeads: number;
  tq: number;
  tk: number;
  d: number;
  dv: number;
  scale: number;
  /** 0: none. */
  softcap: number;
  causal: boolean;
  /** -1: open on that side. */
  windowLeft: number;
  windowRight: number;
  query: Operand<ElementType>;
  key: Operand;
  value: Operand;
  output: Operand<ElementType>;
  mask: Mask | undefined;
  /** Per batch entry, 0..tk. */
  keyLengths: Int32Array | undefined;
  /** Per batch entry: query i stands at key position i + offset. Undefined: 0. */
  offsets: Int32Array | undefined;
  /** Per head: slopes. */
  alibi: Float32Array | undefined;
  /** Per head: extra logits, -Infinity for none. */
  sinks: Float32Array | undefined;
  /** [batch, heads, tq], contiguous. */
  lse: Float32Array | undefined;
  map: WeightMap | undefined;
  /** Upper bound of threads for this call; 0: the pool's size. */
  threads: number;
  /** Where key and value lie outside JavaScript's memory, and have no data here. */
  outside: Outside | undefined;
}

/** How a backend would run a problem. */
export interface Execution {
  /** Name of the kernel, such as "prefill 4x6" or "decode". */
  kernel: string;
  /** Threads that would take part. */
  threads: number;
  /** Whether the asynchronous form would run on the caller's thread because the work is small. */
  inline: boolean;
}

/** One implementation of the same arithmetic. */
export interface Backend {
  readonly name: string;
  readonly blocks: Blocks;
  /** Runs to the end before it returns. */
  run(problem: Problem): void;
  /** Leaves the event loop free; rejects with the signal's reason within one tile row of work after an abort. */
  runAsync(problem: Problem, signal: AbortSignal | undefined): Promise<void>;
  describe(problem: Problem): Execution;
  /** An empty store of the kind that the backend reads best. All backends read all of them. */
  newStore(sizes: StoreSizes): Store;
}
