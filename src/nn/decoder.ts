import { wrongKind, wrongValue } from "../errors.js";
import type { MapOptions } from "../maps.js";
import type { MemoryType } from "../problem.js";
import type { TensorLike } from "../tensor.js";
import { checkNames } from "../values.js";
import { activations } from "./activations.js";
import {
  DECODER_NAMES,
  type DecoderForwardOptions,
  type DecoderRunOptions,
  type MemoryVisibility,
  TransformerDecoderLayer,
  targetAndMemory,
} from "./decoder-layer.js";
import type { DecoderResult, MapOf, RunOptions } from "./options.js";
import { Stack, type StackOptions } from "./stack.js";
import { DecoderState } from "./state.js";

/** Options of TransformerDecoder.start(). */
export interface StartOptions extends MemoryVisibility, Pick<RunOptions, "threads" | "signal"> {
  /** What keys and values are kept as, "float32" by default; see KeyValueMemory. */
  type?: MemoryType | undefined;
}

const START_NAMES = new Set(["memoryMask", "memoryKeyLengths", "type", "threads", "signal"]);
const STEP_NAMES = new Set(["weights", "selfWeights", "threads", "signal"]);

/**
 * torch.nn.TransformerDecoder: layers of one kind, and a final norm if asked for; forward() for a whole target, start()
 * and step() for a target that is decoded token by token.
 *
 * Parameters: those of layers.0, layers.1 and so on, and of norm.
 * @example
 * const decoder = new TransformerDecoder({ dModel: 32, nhead: 4, numLayers: 6, norm: true });
 * const state = await decoder.start(memory);
 * const { output } = await decoder.step(token, state); // token [1, 1, 32]
 */
export class TransformerDecoder extends Stack<TransformerDecoderLayer> {
  constructor(options: StackOptions) {
    super(options, (layer) => new TransformerDecoderLayer(layer));
  }

  /**
   * @param tgt `[batch, t, dModel]` or `[t, dModel]`
   * @param memory `[batch, tk, dModel]`, a batch of 1 being everybody's, or `[tk, dModel]`
   * @returns of every layer: weights of the cross-attention, `[batch, nhead, t, tk]`, selfWeights of the self-attention,
   * `[batch, nhead, t, t]`, or what was asked for of them
   */
  async forward<const Asked extends boolean | MapOptions = false, const Own extends boolean | MapOptions = false>(
    tgt: TensorLike,
    memory: TensorLike,
    options: DecoderForwardOptions<Asked, Own> = {},
  ): Promise<DecoderResult<MapOf<Asked>[], MapOf<Own>[]>> {
    checkNames(options, DECODER_NAMES);
    const [x, encoded] = targetAndMemory(tgt, memory, this.dModel);
    const result = await this.through(x, (layer, x) => layer.apply(x, encoded, options));
    return result as DecoderResult<MapOf<Asked>[], MapOf<Own>[]>;
  }

  /**
   * Prepares decoding: the memory's keys and values are computed once, for all steps.
   * @param memory `[batch, tk, dModel]` or `[tk, dModel]`
   */
  async start(memory: TensorLike, options: StartOptions = {}): Promise<DecoderState> {
    checkNames(options, START_NAMES);
    const { memoryMask, memoryKeyLengths, type = "float32", ...run } = options;
    const encoded = activations("memory", memory, this.dModel);
    const layers = [];
    for (const layer of this.layers) layers.push(await layer.start(encoded, run, type));
    return new DecoderState(encoded.dims.slice(0, -2), layers, { memoryMask, memoryKeyLengths });
  }

  /**
   * Takes the next tokens of the target and gives what forward() would give for them, in work that grows with their number
   * alone but for the attention to the keys that there are.
   *
   * @param token embedded, of the memory's rank: `[batch, t, dModel]`, where t is any number of tokens that follow each
   * other, or after state.reorder() one token for each beam
   * @param state grows; after an error or an abort it is as it was before
   * @returns of every layer, as forward() does: weights, selfWeights over the tokens so far, those of all beams
   */
  async step<const Asked extends boolean | MapOptions = false, const Own extends boolean | MapOptions = false>(
    token: TensorLike,
    state: DecoderState,
    options: DecoderRunOptions<Asked, Own> = {},
  ): Promise<DecoderResult<MapOf<Asked>[], MapOf<Own>[]>> {
    checkNames(options, STEP_NAMES);
    if (!(state instanceof DecoderState)) throw wrongKind("state", "a DecoderState, from start()", state);
    if (state.layers.length !== this.layers.length) {
      throw wrongValue("state", `a state of ${this.layers.length} layers`, state.layers.length);
    }
    const x = activations("token", token, this.dModel);
    const outer = x.dims.slice(0, -2);
    if (outer.join() !== state.outer.join()) {
      throw wrongValue("token.dims", `[${[...state.outer, "t", this.dModel].join(", ")}] (as "memory")`, x.dims);
    }
    const result = await state.grow(x.dims[outer.length], (reach) =>
      this.through(x, (layer, x, i) => layer.step(x, state.layers[i], reach, state.visibility, options)),
    );
    return result as DecoderResult<MapOf<Asked>[], MapOf<Own>[]>;
  }
}
