import { checkFixed, type FloatArray } from "./arrays.js";
import { currentBackend, whyNotFaster } from "./backend.js";
import { allocateResult, type Call, checkCall, checkStillThere, fillIdle, isIdle } from "./call.js";
import { wrongKind } from "./errors.js";
import type { MapOptions, WeightsResult } from "./maps.js";
import { KeyValueMemory, rowsOf } from "./memory.js";
import type { AttentionOptions } from "./options.js";
import type { Backend, Execution } from "./problem.js";
import { isPacked, type Tensor, type TensorLike } from "./tensor.js";
import { checkSignal } from "./values.js";

type If<Flag extends boolean, T> = Flag extends true ? T : undefined;

/** The array class of the output: the query's. */
export type OutputData<Query extends TensorLike> = Query["data"] extends Float32Array
  ? Float32Array
  : Query["data"] extends Uint16Array
    ? Uint16Array
    : FloatArray;

/** `lse` and `weights` are there when they were asked for. */
export interface AttentionResult<
  Data extends FloatArray = FloatArray,
  Lse extends boolean = boolean,
  Weights extends boolean | MapOptions = boolean | MapOptions,
> {
  /** The query's rank, layout and type, with dv columns. */
  output: Tensor<Data>;
  /** `[batch, heads, tq]`: natural logarithm of each query's sum of exponentials. */
  lse: If<Lse, Tensor<Float32Array>>;
  /** `[batch, heads, tq, tk]`, or what the option asked for. */
  weights: WeightsResult<Weights>;
}

/** How a call would run. */
export interface Explanation extends Execution {
  /** Its name in `backends`. */
  backend: string;
  /** Why it does not run faster, one sentence each. */
  reasons: string[];
}

/**
 * `softmax(query key^T * scale + mask) value` per batch entry and head (Vaswani et al., "Attention is all you need",
 * 2017, equation 1), on threads of the library: the event loop stays free.
 *
 * Dims: query `[tq, d]`, `[heads, tq, d]` or `[batch, heads, tq, d]`, keys `[.., tk, d]`, values `[.., tk, dv]`, all of
 * one rank; other layouts by the options `layout` and `heads`. Key heads may divide query heads, and a batch of 1 is
 * shared by the others' batch. The three tensors may differ in type; the output has the query's. A tensor whose last
 * dimension has a stride other than 1 is copied first, on the caller's thread.
 *
 * Do not write to the inputs, and do not transfer their buffers or that of `out`, before the promise has settled: native
 * threads use them in place, and Node-API cannot hold them. A transfer rejects the promise at the end of the call, but
 * where the memory is freed before that, the process may crash. A SharedArrayBuffer cannot be transferred.
 *
 * A KeyValueMemory instead of key and value may have another layout and rank than the query. The call sees it as it is
 * when the call begins; what happens to it later does not matter.
 *
 * @returns a promise that rejects with TypeError for an argument of the wrong kind and RangeError for a wrong value,
 * before any work; with the signal's reason after an abort, and then the content of `out` is undefined
 * @example
 * const query = { data: new Float32Array(8 * 10 * 64), dims: [8, 10, 64] };
 * const memory = { data: new Float32Array(8 * 77 * 64), dims: [8, 77, 64] };
 * const { output, lse } = await attention(query, memory, memory, { lse: true }); // dims [8, 10, 64] and [8, 10]
 */
export function attention<
  Query extends TensorLike,
  Lse extends boolean = false,
  const Weights extends boolean | MapOptions = false,
>(
  query: Query,
  memory: KeyValueMemory,
  options?: AttentionOptions<Lse, Weights>,
): Promise<AttentionResult<OutputData<Query>, Lse, Weights>>;
export function attention<
  Query extends TensorLike,
  Lse extends boolean = false,
  const Weights extends boolean | MapOptions = false,
>(
  query: Query,
  key: TensorLike,
  value: TensorLike,
  options?: AttentionOptions<Lse, Weights>,
): Promise<AttentionResult<OutputData<Query>, Lse, Weights>>;
export async function attention(...given: Arguments): Promise<AttentionResult> {
  const call = checkArguments(...given);
  const { signal, out } = call.options;
  checkSignal(signal);
  for (const { name, data } of call.inputs) checkFixed(`${name}.data`, data);
  if (out !== undefined) checkFixed("out", out);
  signal?.throwIfAborted();
  const backend = currentBackend();
  const result = allocateResult(call);
  if (isIdle(call.problem)) fillIdle(call.problem);
  else await runAsync(backend, call, signal);
  return result as AttentionResult;
}

type Arguments = [
  query: TensorLike,
  keyOrMemory: TensorLike | KeyValueMemory,
  valueOrOptions?: TensorLike | AttentionOptions,
  options?: AttentionOptions,
];

function checkArguments(...[query, key, value, options = {}]: Arguments): Call {
  if (!(key instanceof KeyValueMemory)) return checkCall(query, { key, value: value as TensorLike }, options);
  return checkCall(query, rowsOf(key), (value === undefined ? {} : value) as AttentionOptions);
}

async function runAsync(backend: Backend, call: Call, signal: AbortSignal | undefined): Promise<void> {
  // The memory may move on to another store, or be disposed.
  const store = call.memory?.store;
  store?.hold();
  try {
    await backend.runAsync(call.problem, signal);
  } catch (error) {
    // An abort is what the caller wanted; else lost memory is the cause, whatever the backend made of it.
    signal?.throwIfAborted();
    checkStillThere(call);
    throw error;
  } finally {
    store?.release();
  }
  checkStillThere(call);
}

/**
 * The same as attention(), with the same bits, before it returns: for small work and for worker threads. Refuses the
 * option `signal`.
 *
 * @throws TypeError for an argument of the wrong kind and RangeError for a wrong value, before any work
 * @example
 * const { output } = attentionSync(query, key, value, { causal: "bottom-right" });
 */
export function attentionSync<
  Query extends TensorLike,
  Lse extends boolean = false,
  const Weights extends boolean | MapOptions = false,
>(
  query: Query,
  memory: KeyValueMemory,
  options?: AttentionOptions<Lse, Weights>,
): AttentionResult<OutputData<Query>, Lse, Weights>;
export function attentionSync<
  Query extends TensorLike,
  Lse extends boolean = false,
  const Weights extends boolean | MapOptions = false,
>(
  query: Query,
  key: TensorLike,
  value: TensorLike,
  options?: AttentionOptions<Lse, Weights>,
): AttentionResult<OutputData<Query>, Lse, Weights>;
export function attentionSync(...given: Arguments): AttentionResult {
  const call = checkArguments(...given);
  const { signal } = call.options;
  if (signal !== undefined) throw wrongKind("signal", "nothing (attentionSync cannot abort)", signal);
  const backend = currentBackend();
  const result = allocateResult(call);
  if (isIdle(call.problem)) fillIdle(call.problem);
  else backend.run(call.problem);
  return result as AttentionResult;
}

/**
 * How attention() would run these arguments, and why not faster. Computes nothing.
 *
 * @throws as attentionSync() does
 * @example
 * explain(query, key, value); // { backend: "avx2", kernel: "prefill", threads: 8, inline: false, reasons: [] }
 */
export function explain(query: TensorLike, memory: KeyValueMemory, options?: AttentionOptions): Explanation;
export function explain(query: TensorLike, key: TensorLike, value: TensorLike, options?: AttentionOptions): Explanation;
export function explain(...given: Arguments): Explanation {
  const { options: read, problem, shapes } = checkArguments(...given);
  checkSignal(read.signal);
  const backend = currentBackend();
  const reasons = whyNotFaster(backend);
  for (const view of [shapes.query, ...Object.values(shapes.keyValue ?? {})]) {
    if (!isPacked(view)) reasons.push(`"${view.name}" is copied first: the stride of its last dimension is not 1`);
  }
  const execution = isIdle(problem) ? { kernel: "none", threads: 1, inline: true } : backend.describe(problem);
  return { backend: backend.name, ...execution, reasons };
}
