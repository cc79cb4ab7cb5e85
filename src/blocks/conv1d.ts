import { wrongValue } from "../errors.js";
import type { TensorLike } from "../tensor.js";
import { integer, withDefaults } from "../values.js";
import type { WeightType } from "./calls.js";
import { floats, rowsOf } from "./check.js";
import { type ApplyOptions, type AsyncApplyOptions, type LinearOptions, PackedLayer } from "./linear.js";
import { float32, weightView } from "./weights.js";

export interface Conv1dOptions extends LinearOptions {
  /** Steps from one window to the next; 1 by default. */
  stride?: number | undefined;
  /** Zeros before and after x; 0 by default. */
  padding?: number | undefined;
}

/**
 * 1-D convolution (torch.nn.Conv1d without groups and dilation) over rows of channels: x is `[length, inputs]`, the
 * transpose of PyTorch's. The windows of such an x lie without gaps in memory, so it is a Linear over overlapping rows.
 *
 * @example
 * const stem = new Conv1d({ data: weight, dims: [288, 1, 127] }, undefined, { stride: 64 });
 * const features = await stem.apply(audio); // audio: [samples, 1]; features: [floor((samples - 127) / 64) + 1, 288]
 */
export class Conv1d {
  readonly inputs: number;
  readonly outputs: number;
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
  readonly type: WeightType;
  readonly #packed: PackedLayer;

  /**
   * @param weight `[outputs, inputs, kernel]`, PyTorch's layout, of any float type
   * @param bias one entry per row of the weight
   * @throws TypeError and RangeError for wrong arguments, before any work
   */
  constructor(weight: TensorLike, bias?: TensorLike, options: Conv1dOptions = {}) {
    const { stride, padding, ...rest } = options;
    const view = weightView("weight", weight, [-1, -1, -1], "[outputs, inputs, kernel], at least one of each");
    const [rows, inputs, kernel] = view.dims;
    this.inputs = inputs;
    this.kernel = kernel;
    ({ stride: this.stride, padding: this.padding } = withDefaults({ stride, padding }, { stride: 1, padding: 0 }));
    integer("stride", this.stride, 1);
    integer("padding", this.padding, 0);
    this.#packed = new PackedLayer(windowed(float32(view), rows, inputs, kernel), kernel * inputs, bias, rest);
    ({ outputs: this.outputs, type: this.type } = this.#packed.layer);
  }

  /**
   * On threads of the library; small work is done at once. Do not write to x or transfer it before the promise settles.
   *
   * @param x `[length, inputs]`, with the padding at least as long as the kernel
   * @returns `[floor((length + 2 * padding - kernel) / stride) + 1, outputs]`
   */
  async apply(x: Float32Array, options?: AsyncApplyOptions): Promise<Float32Array> {
    const { padded, windows, step } = this.#windows(x);
    return this.#packed.apply(padded, windows, step, options);
  }

  /** The same before it returns, with the same bits. */
  applySync(x: Float32Array, options?: ApplyOptions): Float32Array {
    const { padded, windows, step } = this.#windows(x);
    return this.#packed.applySync(padded, windows, step, options);
  }

  #windows(x: Float32Array) {
    const { inputs, kernel, stride, padding } = this;
    const length = rowsOf("x", floats("x", x), inputs, 'inputs of "weight"');
    if (length + 2 * padding < kernel) {
      const least = Math.max(0, kernel - 2 * padding) * inputs;
      throw wrongValue("x.length", `at least ${least} (kernel ${kernel}, padding ${padding})`, x.length);
    }
    const windows = Math.floor((length + 2 * padding - kernel) / stride) + 1;
    return { padded: padding === 0 ? x : pad(x, padding * inputs), windows, step: stride * inputs };
  }
}

function pad(x: Float32Array, zeros: number): Float32Array {
  const padded = new Float32Array(x.length + 2 * zeros);
  padded.set(x, zeros);
  return padded;
}

// [rows, inputs, kernel] to [rows, kernel, inputs], the order in which a window lies in memory.
function windowed(weight: Float32Array, rows: number, inputs: number, kernel: number): Float32Array {
  const turned = new Float32Array(weight.length);
  let to = 0;
  for (let r = 0; r < rows; r++) {
    for (let k = 0; k < kernel; k++) {
      for (let c = 0; c < inputs; c++) turned[to++] = weight[(r * inputs + c) * kernel + k];
    }
  }
  return turned;
}
