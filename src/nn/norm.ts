import { layerNorm } from "../blocks/index.js";
import { float32 } from "../blocks/weights.js";
import type { TensorLike } from "../tensor.js";
import { finite, integer, withDefaults } from "../values.js";
import { type Activations, activations } from "./activations.js";
import { Module, type Parameters } from "./module.js";

/** Options of torch.nn.LayerNorm. */
export interface LayerNormOptions {
  normalizedShape: number;
  /** 1e-5 by default. */
  eps?: number | undefined;
  /** true by default. */
  bias?: boolean | undefined;
}

/** torch.nn.LayerNorm over the last dimension. Parameters: weight and bias `[normalizedShape]`. */
export class LayerNorm extends Module {
  readonly normalizedShape: number;
  readonly eps: number;
  #weight: Float32Array | undefined;
  #bias: Float32Array | undefined;

  constructor(options: LayerNormOptions) {
    const { normalizedShape, eps, bias } = withDefaults(options, { normalizedShape: undefined, eps: 1e-5, bias: true });
    const columns = integer("normalizedShape", normalizedShape, 1);
    super({ weight: [columns], ...(bias && { bias: [columns] }) });
    this.normalizedShape = columns;
    this.eps = finite("eps", eps, 0);
  }

  // Copies, so that the file's memory can go.
  protected override take({ weight, bias }: Parameters): void {
    this.#weight = float32(weight).slice();
    this.#bias = bias && float32(bias).slice();
  }

  /** @param x `[batch, t, normalizedShape]` or `[t, normalizedShape]` */
  async forward(x: TensorLike): Promise<Activations> {
    return this.apply(activations("x", x, this.normalizedShape));
  }

  /** For other modules: x is as activations() gives it, and `out` may be its memory. */
  apply({ data, dims }: Activations, out?: Float32Array): Activations {
    this.prepare();
    const options = { weight: this.#weight, bias: this.#bias, eps: this.eps, out };
    return { data: layerNorm(data, this.normalizedShape, options), dims, type: "float32" };
  }
}
