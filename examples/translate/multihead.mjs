// @ts-check
// torch.nn.MultiheadAttention: linear projections around xattn's attention().
import { attention } from "xattn";
import { linear } from "./layers.mjs";

/**
 * @typedef {import("./weights.mjs").Matrix} Matrix
 * @typedef {import("xattn").AttentionOptions} AttentionOptions
 * @typedef {typeof attention} Attention
 */

export class MultiheadAttention {
  /** @param {Record<string, Matrix>} weights @param {string} name @param {number} heads @param {Attention} attend */
  constructor(weights, name, heads, attend = attention) {
    this.heads = heads;
    this.attend = attend;
    const [weight, bias] = [weights[`${name}.in_proj_weight`], weights[`${name}.in_proj_bias`]];
    const d = weight.dims[1];
    // in_proj stacks the projections of queries, keys and values.
    this.query = { weight: rows(weight, 0, d), bias: rows(bias, 0, d) };
    this.keyValue = { weight: rows(weight, d, 3 * d), bias: rows(bias, d, 3 * d) };
    this.output = { weight: weights[`${name}.out_proj.weight`], bias: weights[`${name}.out_proj.bias`] };
  }

  /** Keys and values of what is attended to, side by side. @param {Matrix} x [rows, d] @returns {Matrix} [rows, 2 d] */
  project(x) {
    return linear(x, this.keyValue.weight, this.keyValue.bias);
  }

  /**
   * @param {Matrix} x [tq, d]
   * @param {Matrix} memory [tk, 2 d], from project()
   * @param {AttentionOptions} [options]
   */
  async apply(x, { data, dims: [tk, width] }, options) {
    const d = width / 2;
    const key = { data, dims: [tk, d], strides: [width, 1] };
    const value = { ...key, data: data.subarray(d) };
    const query = linear(x, this.query.weight, this.query.bias);
    const { output, weights } = await this.attend(query, key, value, { ...options, heads: this.heads });
    return { output: linear(output, this.output.weight, this.output.bias), weights };
  }
}

/** @param {Matrix} matrix @param {number} from @param {number} to @returns {Matrix} */
function rows({ data, dims: [_, ...rest] }, from, to) {
  const width = rest[0] ?? 1;
  return { data: data.subarray(from * width, to * width), dims: [to - from, ...rest] };
}
