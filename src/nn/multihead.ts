import { Linear as PackedLinear, Rotary, type RotaryOptions, type WeightType } from "../blocks/index.js";
import { wrongValue } from "../errors.js";
import type { MapOptions } from "../maps.js";
import { KeyValueMemory } from "../memory.js";
import type { TensorLike, View } from "../tensor.js";
import { checkNames, integer, withDefaults } from "../values.js";
import { type Activations, activations } from "./activations.js";
import { attendTo, attendWithExtra, extraKeys } from "./extra.js";
import { applied, Linear } from "./linear.js";
import { Module, type Parameters, type Shapes } from "./module.js";
import {
  type AnyMap,
  ATTENTION_NAMES,
  type Causal,
  causalOf,
  type MapOf,
  type ModuleResult,
  type RunOptions,
  type Visibility,
} from "./options.js";
import { borrow, giveBack } from "./scratch.js";

/** Options of torch.nn.MultiheadAttention, and `headDim`. */
export interface MultiheadAttentionOptions {
  embedDim: number;
  numHeads: number;
  /** Columns of key and value; embedDim by default. */
  kdim?: number | null | undefined;
  vdim?: number | null | undefined;
  /** Columns of a head; embedDim / numHeads by default, as always in PyTorch. */
  headDim?: number | undefined;
  /** Whether the projections have biases; true by default. */
  bias?: boolean | undefined;
  /** Adds a learned key and value; false by default. */
  addBiasKv?: boolean | undefined;
  /** Adds a key and value of zeros; false by default. */
  addZeroAttn?: boolean | undefined;
  /** Rotary positions of queries and keys; none by default, as always in PyTorch. */
  rotary?: RotaryOptions | undefined;
  /** How weights are kept: "float32" (the default), "bfloat16", "int8" with a scale per row, or "int8-dynamic". */
  weightType?: WeightType | undefined;
  /** Without effect: there is no training here. */
  dropout?: number | undefined;
}

/** Options of MultiheadAttention.forward(). */
export interface MultiheadForwardOptions<Asked extends boolean | MapOptions = boolean | MapOptions>
  extends RunOptions<Asked>,
    Visibility {
  causal?: Causal;
}

/** For other modules: also what is added to the output. */
interface AttendOptions extends MultiheadForwardOptions {
  residual?: Activations;
}

type Projections = Record<"query" | "key" | "value", PackedLinear>;

/** Keys and values after their projections. */
export interface Projected {
  key: Activations;
  value: Activations;
}

const DEFAULTS = {
  embedDim: undefined,
  numHeads: undefined,
  kdim: undefined,
  vdim: undefined,
  headDim: undefined,
  bias: true,
  addBiasKv: false,
  addZeroAttn: false,
  rotary: undefined,
  weightType: "float32",
  dropout: 0,
} as const;

/**
 * torch.nn.MultiheadAttention: heads of attention() between linear projections of query, key and value and one of the
 * output (Vaswani et al., "Attention is all you need", 2017, section 3.2.2).
 *
 * Parameters: in_proj_weight `[3 * n, embedDim]`, or where kdim or vdim differ q_proj_weight `[n, embedDim]`, k_proj_weight
 * `[n, kdim]`, v_proj_weight `[n, vdim]`; in_proj_bias `[3 * n]`; bias_k and bias_v `[1, 1, n]`; out_proj.weight `[embedDim, n]`,
 * out_proj.bias `[embedDim]`; n = numHeads * headDim.
 * @example
 * const attend = new MultiheadAttention({ embedDim: 24, numHeads: 3, kdim: 20, vdim: 28 });
 * attend.loadStateDict(tensors, "decoder.layers.0.multihead_attn.");
 * const { output, weights } = await attend.forward(query, key, value, { keyLengths: [7, 11], weights: true });
 */
export class MultiheadAttention extends Module {
  readonly embedDim: number;
  readonly numHeads: number;
  readonly kdim: number;
  readonly vdim: number;
  readonly headDim: number;
  readonly outProj: Linear;
  readonly #weightType: WeightType;
  readonly #rotary: Rotary | undefined;
  readonly #addZeroAttn: boolean;
  #projections: Projections | undefined;
  #extra: Projected | undefined;

  constructor(options: MultiheadAttentionOptions) {
    const given = withDefaults(options, DEFAULTS);
    const embedDim = integer("embedDim", given.embedDim, 1);
    const numHeads = integer("numHeads", given.numHeads, 1);
    const headDim = integer("headDim", given.headDim ?? headDimOf(embedDim, numHeads), 1);
    const kdim = integer("kdim", given.kdim ?? embedDim, 1);
    const vdim = integer("vdim", given.vdim ?? embedDim, 1);
    super(shapesOf({ ...given, embedDim, kdim, vdim, n: numHeads * headDim }));
    this.embedDim = embedDim;
    this.numHeads = numHeads;
    this.headDim = headDim;
    this.kdim = kdim;
    this.vdim = vdim;
    const { bias, weightType, rotary } = given;
    this.#rotary = rotary && new Rotary(headDim, rotary);
    this.#weightType = weightType;
    this.#addZeroAttn = given.addZeroAttn;
    const inFeatures = numHeads * headDim;
    this.outProj = this.child("out_proj", new Linear({ inFeatures, outFeatures: embedDim, bias, weightType }));
  }

  protected override take(parameters: Parameters): void {
    const n = this.numHeads * this.headDim;
    const { in_proj_weight: fused, in_proj_bias: bias } = parameters;
    const pack = (i: number, name: string) => {
      const weight = fused ? rows(fused, i * n, n) : parameters[name];
      return new PackedLinear(weight, bias && rows(bias, i * n, n), { type: this.#weightType });
    };
    this.#projections = {
      query: pack(0, "q_proj_weight"),
      key: pack(1, "k_proj_weight"),
      value: pack(2, "v_proj_weight"),
    };
    this.#extra = extraKeys(parameters, this.#addZeroAttn, n);
  }

  /**
   * @param query `[batch, tq, embedDim]` or `[tq, embedDim]`
   * @param key `[batch, tk, kdim]` or `[tk, kdim]`
   * @param value `[batch, tk, vdim]` or `[tk, vdim]`
   * @returns weights `[batch, numHeads, tq, tk]`, or what was asked for of them
   */
  async forward<const Asked extends boolean | MapOptions = false>(
    query: TensorLike,
    key: TensorLike,
    value: TensorLike,
    options: MultiheadForwardOptions<Asked> = {},
  ): Promise<ModuleResult<MapOf<Asked>>> {
    checkNames(options, ATTENTION_NAMES);
    const q = activations("query", query, this.embedDim);
    const [k, v] = [activations("key", key, this.kdim), activations("value", value, this.vdim)];
    return (await this.attendOnce(q, k, v, options)) as ModuleResult<MapOf<Asked>>;
  }

  /** For other modules: arguments are as activations() gives them. */
  async attendOnce(query: Activations, key: Activations, value: Activations, options: AttendOptions) {
    const projected = await this.project(key, value, options);
    const result = await this.attend(query, projected, options);
    giveBack(projected.key.data);
    giveBack(projected.value.data);
    return result;
  }

  /**
   * Keys and values as attend() takes them, borrowed: for a memory, once for all queries.
   * @param positions of the keys, the same in every batch entry; 0, 1, 2 and so on by default
   */
  async project(
    key: Activations,
    value: Activations,
    run: RunOptions,
    positions?: readonly number[],
  ): Promise<Projected> {
    const { projections } = this;
    const projected = await applied(projections.key, key, run);
    return { key: this.turn(projected, positions), value: await applied(projections.value, value, run) };
  }

  /** For other modules: query is as activations() gives it. */
  async attend(
    query: Activations,
    memory: Projected | KeyValueMemory,
    { causal, mask, keyLengths, weights: wanted, residual, ...run }: AttendOptions,
    positions?: readonly number[],
  ): Promise<ModuleResult<AnyMap>> {
    const projected = this.turn(await applied(this.projections.query, query, run), positions);
    const options = { ...run, mask, keyLengths, causal: causalOf(causal), weights: wanted, heads: this.numHeads };
    const { output: attended, weights } = await (this.#extra
      ? attendWithExtra(this.#extra, projected, memory, options)
      : attendTo(projected, memory, { ...options, out: borrow(outputLength(projected, memory)) }));
    const output = await this.outProj.apply(attended, run, residual);
    giveBack(projected.data);
    giveBack(attended.data);
    return { output, ...(weights && { weights }) };
  }

  /** In place. */
  private turn({ data, dims, type }: Activations, positions?: readonly number[]): Activations {
    if (this.#rotary === undefined) return { data, dims, type };
    const t = dims[dims.length - 2];
    const rows = data.length / dims[dims.length - 1];
    const places = Array.from({ length: rows }, (_, row) => positions?.[row % t] ?? row % t);
    return { data: this.#rotary.apply(data, { heads: this.numHeads, positions: places, out: data }), dims, type };
  }

  private get projections(): Projections {
    this.prepare();
    return this.#projections as Projections;
  }
}

/** One entry of queries may ask the keys of several. */
function outputLength({ data, dims }: Activations, memory: Projected | KeyValueMemory): number {
  const keys = memory instanceof KeyValueMemory ? memory.dims : memory.key.dims;
  return dims.length === 3 && dims[0] === 1 ? data.length * keys[0] : data.length;
}

function headDimOf(embedDim: number, numHeads: number): number {
  if (embedDim % numHeads === 0) return embedDim / numHeads;
  throw wrongValue("embedDim", `a multiple of ${numHeads} (numHeads), or the option headDim`, embedDim);
}

interface ShapeOptions {
  embedDim: number;
  kdim: number;
  vdim: number;
  n: number;
  bias: boolean;
  addBiasKv: boolean;
}

function shapesOf({ embedDim, kdim, vdim, n, bias, addBiasKv }: ShapeOptions): Shapes {
  const fused = kdim === embedDim && vdim === embedDim;
  return {
    ...(fused && { in_proj_weight: [3 * n, embedDim] }),
    ...(!fused && { q_proj_weight: [n, embedDim], k_proj_weight: [n, kdim], v_proj_weight: [n, vdim] }),
    ...(bias && { in_proj_bias: [3 * n] }),
    ...(addBiasKv && { bias_k: [1, 1, n], bias_v: [1, 1, n] }),
  };
}

/** `count` of the first dimension's entries, from one on: a view. */
function rows(view: View, from: number, count: number): View {
  const start = from * view.strides[0];
  const length = count === 0 ? 0 : view.length - start;
  return { ...view, data: view.data.subarray(start), length, dims: [count, ...view.dims.slice(1)] };
}
