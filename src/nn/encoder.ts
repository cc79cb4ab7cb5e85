import type { MapOptions } from "../maps.js";
import type { TensorLike } from "../tensor.js";
import { checkNames } from "../values.js";
import { type Activations, activations } from "./activations.js";
import { type LayerOptions, TransformerLayer } from "./layer.js";
import { MultiheadAttention } from "./multihead.js";
import {
  type AnyMap,
  ATTENTION_NAMES,
  type Causal,
  type MapOf,
  type ModuleResult,
  type RunOptions,
  type Visibility,
} from "./options.js";
import { giveBack } from "./scratch.js";
import { Stack, type StackOptions } from "./stack.js";

/** Options of an encoder's forward(): what the tokens of the source see of each other. */
export interface EncoderForwardOptions<Asked extends boolean | MapOptions = boolean | MapOptions>
  extends RunOptions<Asked>,
    Visibility {
  causal?: Causal;
}

/**
 * torch.nn.TransformerEncoderLayer: self-attention, then a feed-forward, each with a residual sum and a norm.
 *
 * Parameters: those of self_attn (see MultiheadAttention), linear1, linear2, norm1 and norm2.
 * @example
 * const layer = new TransformerEncoderLayer({ dModel: 32, nhead: 4, dimFeedforward: 64 });
 * layer.loadStateDict(tensors, "encoder.layers.0.");
 * const { output } = await layer.forward(src, { keyLengths: [7, 11] });
 */
export class TransformerEncoderLayer extends TransformerLayer {
  readonly selfAttn: MultiheadAttention;

  constructor(options: LayerOptions) {
    super(options, 2);
    this.selfAttn = this.child("self_attn", new MultiheadAttention({ ...this.attention, rotary: this.rotary }));
  }

  /**
   * @param src `[batch, t, dModel]` or `[t, dModel]`
   * @returns weights `[batch, nhead, t, t]`, or what was asked for of them
   */
  async forward<const Asked extends boolean | MapOptions = false>(
    src: TensorLike,
    options: EncoderForwardOptions<Asked> = {},
  ): Promise<ModuleResult<MapOf<Asked>>> {
    checkNames(options, ATTENTION_NAMES);
    const result = await this.apply(activations("src", src, this.dModel), options);
    return result as ModuleResult<MapOf<Asked>>;
  }

  /** For other modules: x is as activations() gives it. */
  async apply(x: Activations, options: EncoderForwardOptions): Promise<ModuleResult<AnyMap>> {
    const [norm1, norm2] = this.norms;
    const own = await this.residual(x, norm1, (x, residual) =>
      this.selfAttn.attendOnce(x, x, x, { ...options, residual }),
    );
    const result = await this.residual(own.output, norm2, (x, residual) => this.feedForward(x, residual, options));
    giveBack(own.output.data);
    return { ...own, ...result };
  }
}

/**
 * torch.nn.TransformerEncoder: layers of one kind, and a final norm if asked for.
 *
 * Parameters: those of layers.0, layers.1 and so on, and of norm.
 * @example
 * const encoder = new TransformerEncoder({ dModel: 32, nhead: 4, numLayers: 6, norm: true });
 */
export class TransformerEncoder extends Stack<TransformerEncoderLayer> {
  constructor(options: StackOptions) {
    super(options, (layer) => new TransformerEncoderLayer(layer));
  }

  /**
   * @param src `[batch, t, dModel]` or `[t, dModel]`
   * @returns weights of every layer, `[batch, nhead, t, t]`, or what was asked for of them
   */
  async forward<const Asked extends boolean | MapOptions = false>(
    src: TensorLike,
    options: EncoderForwardOptions<Asked> = {},
  ): Promise<ModuleResult<MapOf<Asked>[]>> {
    checkNames(options, ATTENTION_NAMES);
    const x = activations("src", src, this.dModel);
    const result = await this.through(x, (layer, x) => layer.apply(x, options));
    return result as ModuleResult<MapOf<Asked>[]>;
  }
}
