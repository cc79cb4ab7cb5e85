// The addon's kernels as backends: hands them problems.
import { lengthOf } from "./arrays.js";
import type { Blocks } from "./blocks/calls.js";
import { type BlocksAddon, NativeBlocks } from "./blocks/native.js";
import { detached } from "./errors.js";
import { codeOf, type Memories, NativeStore } from "./native-store.js";
import type { Backend, Execution, Mask, Operand, Problem } from "./problem.js";
import type { Store, StoreSizes } from "./store.js";
import type { TypedArray } from "./tensor.js";
import { watched } from "./watch.js";

/** What native/binding.cc exports. */
export interface Addon {
  /** Kernels that this CPU can run, best first. Calls name one by its index. */
  readonly kernels: readonly string[];
  /** Order of the parameters in a block. */
  readonly fields: readonly string[];
  /** Size of the pool. */
  readonly threads: number;
  /** What it follows from. */
  readonly limits: ThreadLimits;
  readonly attend: Entry<void>;
  /** Once `cancel[0]` is not 0, leaves out what is left of the work and resolves all the same. */
  readonly attendAsync: Entry<Promise<void>>;
  readonly describe: Entry<Execution>;
  /** Makes cancelled calls resolve that have not had their turn. */
  readonly sweep: () => void;
  readonly memories: Memories;
  readonly blocks: BlocksAddon;
}

/** What bounds the native threads; struct CpuLimits of native/cpus.h. */
export interface ThreadLimits {
  /** XATTN_NUM_THREADS, 0 where it is not set or cannot be. */
  readonly wanted: number;
  /** CPUs that the process may run on. */
  readonly allowed: number;
  /** CPUs that its control groups pay for; Infinity: no limit. */
  readonly quota: number;
}

type Entry<Result> = (
  kernel: number,
  block: Float64Array,
  memory: object | undefined,
  query: TypedArray,
  key: TypedArray,
  value: TypedArray,
  output: TypedArray,
  keyScales?: Float32Array | undefined,
  valueScales?: Float32Array | undefined,
  mask?: TypedArray | undefined,
  keyLengths?: Int32Array | undefined,
  offsets?: Int32Array | undefined,
  alibi?: Float32Array | undefined,
  sinks?: Float32Array | undefined,
  lse?: Float32Array | undefined,
  values?: Float32Array | undefined,
  indices?: Int32Array | undefined,
  heads?: Int32Array | undefined,
  keys?: Int32Array | undefined,
  columns?: Int32Array | undefined,
  cancel?: Int32Array | undefined,
) => Result;

// The order of fillBlock().
const OPERAND_FIELDS = ["type", "batch", "head", "row"];
const OPERANDS = ["query", "key", "value", "output", "mask"];
export const FIELDS = [
  ..."batch heads kvHeads tq tk d dv scale softcap causal windowLeft windowRight".split(" "),
  ...OPERANDS.flatMap((operand) => OPERAND_FIELDS.map((field) => `${operand}.${field}`)),
  "mask.key",
  ..."map.kind map.headCount map.keyCount map.k".split(" "),
  "threads",
  ..."memory.key memory.value memory.keyScales memory.valueScales".split(" "),
];

/** enum MapKind of native/kernel.h; 0 is no map. */
const MAPS = { weights: 1, mean: 2, topK: 3, entropy: 4, sum: 5 };
const NO_MASK = { type: "bool", batch: 0, head: 0, row: 0, key: 0 } as const;

// One for all calls: the addon has read it when it returns.
const block = new Float64Array(FIELDS.length);

// Written out: a loop over names takes 150 ns, this 10, and a whole small call 2000.
function fillBlock(p: Problem): void {
  const mask = p.mask ?? NO_MASK;
  block[0] = p.batch;
  block[1] = p.heads;
  block[2] = p.kvHeads;
  block[3] = p.tq;
  block[4] = p.tk;
  block[5] = p.d;
  block[6] = p.dv;
  block[7] = p.scale;
  block[8] = p.softcap;
  block[9] = p.causal ? 1 : 0;
  block[10] = p.windowLeft;
  block[11] = p.windowRight;
  fillOperand(12, p.query);
  fillOperand(16, p.key);
  fillOperand(20, p.value);
  fillOperand(24, p.output);
  fillOperand(28, mask);
  block[32] = mask.key;
  block[33] = p.map === undefined ? 0 : MAPS[p.map.kind];
  block[34] = p.map?.headCount ?? 0;
  block[35] = p.map?.keyCount ?? 0;
  block[36] = p.map?.k ?? 0;
  block[37] = p.threads;
  if (p.outside === undefined) return;
  block[38] = p.outside.places.key;
  block[39] = p.outside.places.value;
  block[40] = p.outside.places.keyScales;
  block[41] = p.outside.places.valueScales;
}

function fillOperand(
  at: number,
  { type, batch, head, row }: Pick<Operand | Mask, "type" | "batch" | "head" | "row">,
): void {
  block[at] = codeOf(type);
  block[at + 1] = batch;
  block[at + 2] = head;
  block[at + 3] = row;
}

function enter<Result>(entry: Entry<Result>, kernel: number, p: Problem, cancel?: Int32Array): Result {
  fillBlock(p);
  const { query, key, value, output, mask, keyLengths, offsets, alibi, sinks, lse, map } = p;
  const memory = p.outside?.handle;
  const optional =
    key.scales ?? value.scales ?? mask ?? keyLengths ?? offsets ?? alibi ?? sinks ?? lse ?? map ?? cancel;
  // The addon looks at every argument, which takes 8 ns each.
  if (optional === undefined) return entry(kernel, block, memory, query.data, key.data, value.data, output.data);
  return entry(
    kernel,
    block,
    memory,
    query.data,
    key.data,
    value.data,
    output.data,
    key.scales,
    value.scales,
    mask?.data,
    keyLengths,
    offsets,
    alibi,
    sinks,
    lse,
    map?.values,
    map?.indices,
    map?.heads,
    map?.keys,
    map?.columns,
    cancel,
  );
}

/** One kernel of the addon. */
export class NativeBackend implements Backend {
  readonly name: string;
  readonly blocks: Blocks;
  readonly #addon: Addon;
  readonly #kernel: number;

  constructor(addon: Addon, kernel: number) {
    this.name = addon.kernels[kernel];
    this.#addon = addon;
    this.#kernel = kernel;
    this.blocks = new NativeBlocks(addon.blocks, kernel, (signal, start) => watched(signal, addon.sweep, start));
  }

  run(problem: Problem): void {
    enter(this.#addon.attend, this.#kernel, problem);
  }

  describe(problem: Problem): Execution {
    return enter(this.#addon.describe, this.#kernel, problem);
  }

  newStore(sizes: StoreSizes): Store {
    return new NativeStore(this.#addon.memories, this.#kernel, sizes);
  }

  runAsync(problem: Problem, signal: AbortSignal | undefined): Promise<void> {
    return watched(signal, this.#addon.sweep, (cancel) => {
      if (signal !== undefined) checkArrays(problem); // what looks like a signal may have run the caller's code
      return enter(this.#addon.attendAsync, this.#kernel, problem, cancel);
    });
  }
}

// An array that has been detached has no memory.
function checkArrays({ dv, query, key, value, output, mask, outside }: Problem): void {
  const arrays = {
    query,
    mask,
    ...(dv > 0 && { output }),
    ...(!outside && { key }),
    ...(!outside && dv > 0 && { value }),
  };
  for (const [name, array] of Object.entries(arrays)) if (array && lengthOf(array.data) === 0) throw detached(name);
}
