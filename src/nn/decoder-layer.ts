import { wrongValue } from "../errors.js";
import type { MapOptions } from "../maps.js";
import { KeyValueMemory } from "../memory.js";
import type { AttentionOptions } from "../options.js";
import type { MemoryType } from "../problem.js";
import type { TensorLike } from "../tensor.js";
import { checkNames } from "../values.js";
import { type Activations, activations } from "./activations.js";
import { type LayerOptions, type Part, TransformerLayer } from "./layer.js";
import type { Reach } from "./lineage.js";
import { MultiheadAttention } from "./multihead.js";
import type { Causal, DecoderResult, MapOf, RunOptions, Visibility } from "./options.js";
import { giveBack } from "./scratch.js";
import type { LayerState } from "./state.js";

/** What the tokens of the target see of the memory. */
export interface MemoryVisibility {
  /** As `mask`, to `[batch, heads, tq, tk]` of the cross-attention. */
  memoryMask?: TensorLike | undefined;
  /** Per batch entry: rows of the memory from that index on are padding. */
  memoryKeyLengths?: AttentionOptions["keyLengths"];
}

/** Options of every call of a decoder. */
export interface DecoderRunOptions<
  Asked extends boolean | MapOptions = boolean | MapOptions,
  Own extends boolean | MapOptions = boolean | MapOptions,
> extends RunOptions<Asked> {
  /** As `weights`, which are those of the cross-attention: the weights of the self-attention. */
  selfWeights?: Own | undefined;
}

/** Options of a decoder's forward(): `mask`, `keyLengths` and `causal` are for the self-attention. */
export interface DecoderForwardOptions<
  Asked extends boolean | MapOptions = boolean | MapOptions,
  Own extends boolean | MapOptions = boolean | MapOptions,
> extends DecoderRunOptions<Asked, Own>,
    Visibility,
    MemoryVisibility {
  causal?: Causal;
}

export const DECODER_NAMES: ReadonlySet<string> = new Set([
  "mask",
  "keyLengths",
  "causal",
  "memoryMask",
  "memoryKeyLengths",
  "weights",
  "selfWeights",
  "threads",
  "signal",
]);

/**
 * torch.nn.TransformerDecoderLayer: self-attention of the target, cross-attention to the memory (the encoder's output),
 * then a feed-forward, each with a residual sum and a norm.
 *
 * Parameters: those of self_attn and multihead_attn (see MultiheadAttention), linear1, linear2, norm1, norm2 and norm3.
 * @example
 * const layer = new TransformerDecoderLayer({ dModel: 32, nhead: 4, dimFeedforward: 64, normFirst: true });
 * layer.loadStateDict(tensors, "decoder.layers.0.");
 * const { output } = await layer.forward(tgt, memory, { causal: true, memoryKeyLengths: [7, 11] });
 */
export class TransformerDecoderLayer extends TransformerLayer {
  readonly selfAttn: MultiheadAttention;
  readonly multiheadAttn: MultiheadAttention;

  constructor(options: LayerOptions) {
    super(options, 3);
    this.selfAttn = this.child("self_attn", new MultiheadAttention({ ...this.attention, rotary: this.rotary }));
    this.multiheadAttn = this.child("multihead_attn", new MultiheadAttention(this.attention));
  }

  /**
   * @param tgt `[batch, t, dModel]` or `[t, dModel]`
   * @param memory `[batch, tk, dModel]`, a batch of 1 being everybody's, or `[tk, dModel]`
   * @returns weights of the cross-attention, `[batch, nhead, t, tk]`, selfWeights of the self-attention,
   * `[batch, nhead, t, t]`, or what was asked for of them
   */
  async forward<const Asked extends boolean | MapOptions = false, const Own extends boolean | MapOptions = false>(
    tgt: TensorLike,
    memory: TensorLike,
    options: DecoderForwardOptions<Asked, Own> = {},
  ): Promise<DecoderResult<MapOf<Asked>, MapOf<Own>>> {
    checkNames(options, DECODER_NAMES);
    const result = await this.apply(...targetAndMemory(tgt, memory, this.dModel), options);
    return result as DecoderResult<MapOf<Asked>, MapOf<Own>>;
  }

  /** For other modules: x and memory are as targetAndMemory() gives them. */
  async apply(
    x: Activations,
    memory: Activations,
    { memoryMask, memoryKeyLengths, ...options }: DecoderForwardOptions,
  ) {
    const { weights, selfWeights, mask, keyLengths, causal, ...run } = options;
    const { selfAttn, multiheadAttn } = this;
    const own = { ...run, mask, keyLengths, causal, weights: selfWeights };
    const cross = { ...run, mask: memoryMask, keyLengths: memoryKeyLengths, weights };
    return this.through(
      x,
      (x, residual) => selfAttn.attendOnce(x, x, x, { ...own, residual }),
      (x, residual) => multiheadAttn.attendOnce(x, memory, memory, { ...cross, residual }),
      run,
    );
  }

  /** For a decoder: the memory's keys and values, computed once, and room for those of the target. */
  async start(memory: Activations, run: RunOptions, type: MemoryType): Promise<LayerState> {
    const { key, value } = await this.multiheadAttn.project(memory, memory, run);
    const options = { heads: this.nhead, type };
    const none = { data: new Float32Array(0), dims: [...memory.dims.slice(0, -2), 0, this.dModel] };
    const state = { own: new KeyValueMemory(none, none, options), memory: new KeyValueMemory(key, value, options) };
    giveBack(key.data);
    giveBack(value.data);
    return state;
  }

  /** For a decoder: x are further tokens of the target. */
  async step(
    x: Activations,
    { own, memory }: LayerState,
    { positions, ...visibility }: Reach,
    { memoryMask, memoryKeyLengths }: MemoryVisibility,
    { weights, selfWeights, ...run }: DecoderRunOptions,
  ) {
    const { selfAttn, multiheadAttn } = this;
    const cross = { ...run, mask: memoryMask, keyLengths: memoryKeyLengths, weights };
    return this.through(
      x,
      async (x, residual) => {
        const { key, value } = await selfAttn.project(x, x, run, positions);
        own.append(key, value);
        giveBack(key.data);
        giveBack(value.data);
        return selfAttn.attend(x, own, { ...run, ...visibility, weights: selfWeights, residual }, positions);
      },
      (x, residual) => multiheadAttn.attend(x, memory, { ...cross, residual }),
      run,
    );
  }

  /** The layer around any self- and cross-attention. */
  async through(x: Activations, attendSelf: Part, attendMemory: Part, run: RunOptions) {
    const [norm1, norm2, norm3] = this.norms;
    const own = await this.residual(x, norm1, attendSelf);
    const crossed = await this.residual(own.output, norm2, attendMemory);
    giveBack(own.output.data);
    const result = await this.residual(crossed.output, norm3, (x, residual) => this.feedForward(x, residual, run));
    giveBack(crossed.output.data);
    return { ...crossed, ...result, ...(own.weights && { selfWeights: own.weights }) };
  }
}

/** Both of the same rank, the memory of the target's batch or of 1. */
export function targetAndMemory(tgt: TensorLike, memory: TensorLike, columns: number): [Activations, Activations] {
  const [x, encoded] = [activations("tgt", tgt, columns), activations("memory", memory, columns)];
  const rank = x.dims.length;
  if (encoded.dims.length !== rank) throw wrongValue("memory.dims", `${rank} dimensions (rank of "tgt")`, encoded.dims);
  const [own, batch] = [x.dims[0], encoded.dims[0]];
  if (rank === 3 && batch !== own && batch !== 1) {
    throw wrongValue("memory.dims[0]", own === 1 ? '1 (batch of "tgt")' : `1 or ${own} (batch of "tgt")`, batch);
  }
  return [x, encoded];
}
