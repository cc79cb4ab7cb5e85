import { currentBackend } from "../backend.js";
import { finite, integer, withDefaults } from "../values.js";
import { checkApart, checkSameOrApart, floats, floatsOf, resultOf, rowsOf } from "./check.js";

export interface RmsNormOptions {
  /** `[width]`: factors; 1 by default. */
  weight?: Float32Array | undefined;
  /** Added to the mean square; by default 1e-5 for layerNorm() and 2^-23 for rmsNorm(), as in PyTorch. */
  eps?: number | undefined;
  /** Takes the output: of x's length; x itself, or apart from it. */
  out?: Float32Array | undefined;
}

export interface LayerNormOptions extends RmsNormOptions {
  /** `[width]`: terms; 0 by default. */
  bias?: Float32Array | undefined;
}

/**
 * `(x - mean) / sqrt(variance + eps) * weight + bias` per row (Ba, Kiros and Hinton, arXiv:1607.06450), where the
 * variance is the mean square of x - mean. A pass over memory: it runs before it returns, on the pool's threads if large.
 *
 * @param x `[rows, width]`
 * @returns `[rows, width]`
 * @throws TypeError and RangeError for wrong arguments, before any work
 * @example
 * const normed = layerNorm(x, 512, { weight: gamma, bias: beta, eps: 1e-6 });
 */
export function layerNorm(x: Float32Array, width: number, options?: LayerNormOptions): Float32Array {
  return norm(x, width, true, withDefaults(options, LAYER_DEFAULTS));
}

/**
 * `x / sqrt(mean(x^2) + eps) * weight` per row (Zhang and Sennrich, arXiv:1910.07467).
 *
 * @param x `[rows, width]`
 * @returns `[rows, width]`
 * @throws TypeError and RangeError for wrong arguments, before any work
 * @example
 * const normed = rmsNorm(x, 512, { weight: gamma, eps: 1e-6 });
 */
export function rmsNorm(x: Float32Array, width: number, options?: RmsNormOptions): Float32Array {
  return norm(x, width, false, withDefaults(options, RMS_DEFAULTS));
}

type Arrays = Record<"weight" | "out", Float32Array | undefined>;
const RMS_DEFAULTS: Arrays & { eps: number } = { weight: undefined, eps: 2 ** -23, out: undefined };
const LAYER_DEFAULTS = { ...RMS_DEFAULTS, bias: undefined as Float32Array | undefined, eps: 1e-5 };

function norm(x: Float32Array, width: number, centred: boolean, options: LayerNormOptions): Float32Array {
  integer("width", width, 1);
  const rows = rowsOf("x", floats("x", x), width, "width");
  const eps = finite("eps", options.eps, 0);
  const weight = options.weight && floatsOf("weight", options.weight, width, "width");
  const bias = options.bias && floatsOf("bias", options.bias, width, "width");
  const y = resultOf(options.out, x.length, 'as "x"');
  checkSameOrApart(y, "x", x);
  if (weight) checkApart(y, "weight", weight);
  if (bias) checkApart(y, "bias", bias);
  if (rows > 0) currentBackend().blocks.norm({ x, rows, width, centred, eps, weight, bias, y });
  return y;
}
