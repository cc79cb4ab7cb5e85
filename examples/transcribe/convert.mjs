// @ts-check
// Moonshine's two ONNX files as float32 tensors under PyTorch's names.
import { readGraph } from "./onnx.mjs";

/** @typedef {import("./onnx.mjs").Graph} Graph */
/** @typedef {{ data: Float32Array, dims: number[] }} Matrix */

export const LAYERS = 6;
export const WIDTH = 288;

/** @param {Uint8Array} encoder @param {Uint8Array} decoder @returns {Map<string, Matrix>} */
export function convert(encoder, decoder) {
  const tensors = new Map();
  addEncoder(tensors, readGraph(encoder));
  addDecoder(tensors, readGraph(decoder));
  return tensors;
}

/** @param {Map<string, Matrix>} tensors @param {Graph} graph */
function addEncoder(tensors, graph) {
  for (const name of ["conv1", "conv2", "conv3"]) tensors.set(`${name}.weight`, convolution(graph, `${name}.weight`));
  for (const name of ["conv2", "conv3"]) tensors.set(`${name}.bias`, vector(graph, `${name}.bias`));
  tensors.set("groupnorm.weight", vector(graph, input(graph, "/groupnorm/Mul")));
  tensors.set("groupnorm.bias", vector(graph, input(graph, "/groupnorm/Add")));
  for (let i = 0; i < LAYERS; i++) {
    const [name, old] = [`encoder.layers.${i}`, `layers.${i}`];
    addNorm(tensors, `${name}.norm1`, vector(graph, `${old}.input_layernorm.weight`));
    addAttention(tensors, `${name}.self_attn`, graph, `/${old}/self_attn`);
    addNorm(tensors, `${name}.norm2`, vector(graph, `${old}.post_attention_layernorm.weight`));
    addLinear(tensors, `${name}.linear1`, graph, `/${old}/mlp/fc1`, `${old}.mlp.fc1.bias`);
    addLinear(tensors, `${name}.linear2`, graph, `/${old}/mlp/fc2`, `${old}.mlp.fc2.bias`);
  }
  addNorm(tensors, "encoder.norm", vector(graph, "layer_norm.weight"));
}

/** @param {Map<string, Matrix>} tensors @param {Graph} graph */
function addDecoder(tensors, graph) {
  const embedding = "model.decoder.embed_tokens.weight_merged_0";
  tensors.set("embedding.weight", dequantised(graph, `${embedding}_quantized`));
  for (let i = 0; i < LAYERS; i++) {
    const [name, old] = [`decoder.layers.${i}`, `model.decoder.layers.${i}`];
    const path = `/model/decoder/layers.${i}`;
    addNorm(tensors, `${name}.norm1`, vector(graph, `${old}.input_layernorm.weight_merged_0`));
    addAttention(tensors, `${name}.self_attn`, graph, `${path}/self_attn`);
    addNorm(tensors, `${name}.norm2`, vector(graph, `${old}.post_attention_layernorm.weight_merged_0`));
    addAttention(tensors, `${name}.multihead_attn`, graph, `${path}/encoder_attn`);
    addNorm(tensors, `${name}.norm3`, vector(graph, `${old}.final_layernorm.weight_merged_0`));
    addLinear(tensors, `${name}.linear1`, graph, `${path}/mlp/up_proj`, `${old}.mlp.up_proj.bias_merged_0`);
    addLinear(tensors, `${name}.linear2`, graph, `${path}/mlp/down_proj`, `${old}.mlp.down_proj.bias_merged_0`);
  }
  addNorm(tensors, "decoder.norm", vector(graph, "model.decoder.norm.weight_merged_0"));
}

/** Moonshine's norms have no bias. @param {Map<string, Matrix>} tensors @param {string} name @param {Matrix} weight */
function addNorm(tensors, name, weight) {
  tensors.set(`${name}.weight`, weight);
  tensors.set(`${name}.bias`, zeros(WIDTH));
}

/**
 * Neither have its attentions.
 * @param {Map<string, Matrix>} tensors @param {string} name @param {Graph} graph @param {string} path
 */
function addAttention(tensors, name, graph, path) {
  const parts = ["q_proj", "k_proj", "v_proj"].map((part) => matrix(graph, `${path}/${part}`));
  const stacked = new Float32Array(3 * WIDTH * WIDTH);
  parts.forEach(({ data }, i) => {
    stacked.set(data, i * data.length);
  });
  tensors.set(`${name}.in_proj_weight`, { data: stacked, dims: [3 * WIDTH, WIDTH] });
  tensors.set(`${name}.in_proj_bias`, zeros(3 * WIDTH));
  tensors.set(`${name}.out_proj.weight`, matrix(graph, `${path}/dense`));
  tensors.set(`${name}.out_proj.bias`, zeros(WIDTH));
}

/**
 * @param {Map<string, Matrix>} tensors @param {string} name @param {Graph} graph @param {string} path
 * @param {string} bias
 */
function addLinear(tensors, name, graph, path, bias) {
  tensors.set(`${name}.weight`, matrix(graph, path));
  tensors.set(`${name}.bias`, vector(graph, bias));
}

/** The weight of a MatMul, [inputs, outputs] there and [outputs, inputs] here. @param {Graph} graph @param {string} path */
function matrix(graph, path) {
  const { data, dims } = dequantised(graph, input(graph, `${path}/MatMul_quant`));
  const [inputs, outputs] = dims;
  const turned = new Float32Array(data.length);
  for (let i = 0; i < inputs; i++) for (let o = 0; o < outputs; o++) turned[o * inputs + i] = data[i * outputs + o];
  return { data: turned, dims: [outputs, inputs] };
}

/** (q - zero_point) * scale. @param {Graph} graph @param {string} quantised @returns {Matrix} */
function dequantised(graph, quantised) {
  const { bytes, dims } = initializer(graph, quantised);
  const base = quantised.replace(/_quantized$/, "");
  const [scale] = floats(graph, `${base}_scale`);
  const [zero] = initializer(graph, `${base}_zero_point`).bytes;
  return { data: Float32Array.from(bytes, (q) => (q - zero) * scale), dims };
}

/** q * scale + zero_point, which is a float here; q is signed. @param {Graph} graph @param {string} name @returns {Matrix} */
function convolution(graph, name) {
  const { bytes, dims } = initializer(graph, `${name}_quantized`);
  const [[scale], [zero]] = [floats(graph, `${name}_scale`), floats(graph, `${name}_zero_point`)];
  return { data: Float32Array.from(new Int8Array(bytes.buffer), (q) => q * scale + zero), dims };
}

/** @param {Graph} graph @param {string} name @returns {Matrix} */
function vector(graph, name) {
  const data = floats(graph, name);
  return { data, dims: [data.length] };
}

/** @param {Graph} graph @param {string} name */
function floats(graph, name) {
  return new Float32Array(initializer(graph, name).bytes.buffer);
}

/** The second input of a node: its weight. @param {Graph} graph @param {string} node */
function input(graph, node) {
  const inputs = graph.inputs.get(node);
  if (inputs === undefined) throw new RangeError(`the ONNX file expected a node "${node}", got none`);
  return inputs[1];
}

/** @param {Graph} graph @param {string} name */
function initializer(graph, name) {
  const found = graph.initializers.get(name);
  if (found === undefined) throw new RangeError(`the ONNX file expected weights "${name}", got none`);
  return found;
}

/** @param {number} length @returns {Matrix} */
function zeros(length) {
  return { data: new Float32Array(length), dims: [length] };
}
