// Just enough of the ONNX protobuf to write models of one operator, and the four graphs that compute attention.

const encoder = new TextEncoder();

/** @param {number} n not negative @returns {number[]} */
function varint(n) {
  const out = [];
  for (; n > 127; n = Math.floor(n / 128)) out.push((n % 128) | 128);
  return [...out, n];
}

const int = (field, n) => [...varint(field << 3), ...varint(n)];
const bytes = (field, content) => {
  const list = typeof content === "string" ? encoder.encode(content) : content;
  return [...varint((field << 3) | 2), ...varint(list.length), ...list];
};
const float32 = (x) => new Uint8Array(Float32Array.of(x).buffer);

// Numbers of the format: TensorProto.DataType.FLOAT, AttributeProto.INT and .INTS, IR versions by opset.
const FLOAT = 1;
const INT = 2;
const INTS = 7;
const IR_VERSION = { 21: 10, 23: 11 };

const attribute = ([name, value]) => {
  const list = Array.isArray(value);
  const content = list ? value.flatMap((v) => int(8, v)) : int(3, value);
  return bytes(5, [...bytes(1, name), ...content, ...int(20, list ? INTS : INT)]);
};

const node = (operator, inputs, output, attributes = {}, domain = "") =>
  bytes(1, [
    ...inputs.flatMap((name) => bytes(1, name)),
    ...bytes(2, output),
    ...bytes(4, operator),
    ...Object.entries(attributes).flatMap(attribute),
    ...bytes(7, domain),
  ]);

const valueInfo = (field, [name, dims]) => {
  const shape = dims.flatMap((n) => bytes(1, int(1, n)));
  return bytes(field, [...bytes(1, name), ...bytes(2, bytes(1, [...int(1, FLOAT), ...bytes(2, shape)]))]);
};

const constant = (name, x) => bytes(5, [...int(2, FLOAT), ...bytes(8, name), ...bytes(9, float32(x))]);

/** Inputs q, k, v and output y by their dims. */
function model({ nodes, dims: { y, ...inputs }, constants = [], opset }) {
  const graph = [
    ...nodes.flat(),
    ...bytes(2, "attention"),
    ...constants.flat(),
    ...Object.entries(inputs).flatMap((input) => valueInfo(11, input)),
    ...valueInfo(12, ["y", y]),
  ];
  const opsets = [
    ...bytes(8, [...bytes(1, ""), ...int(2, opset)]),
    ...bytes(8, [...bytes(1, MICROSOFT), ...int(2, 1)]),
  ];
  return Uint8Array.from([...int(1, IR_VERSION[opset]), ...bytes(7, graph), ...opsets]);
}

const MICROSOFT = "com.microsoft";

/** Of the graphs: dims of inputs and output; 4-D [batch, heads, t, width], 3-D [batch, t, heads * width]. */
const four = ({ batch, heads }, t, width) => [batch, heads, t, width];
const three = ({ batch, heads }, t, width) => [batch, t, heads * width];

/** com.microsoft.MultiHeadAttention, everything 3-D. */
export function multiHead(s) {
  const dims = { q: three(s, s.tq, s.d), k: three(s, s.tk, s.d), v: three(s, s.tk, s.dv), y: three(s, s.tq, s.dv) };
  const nodes = [node("MultiHeadAttention", ["q", "k", "v"], "y", { num_heads: s.heads }, MICROSOFT)];
  return { dims, model: model({ nodes, dims, opset: 21 }) };
}

/** com.microsoft.MultiHeadAttention with keys and values 4-D, as a decoder caches them. */
export function multiHeadCached(s) {
  const dims = { q: three(s, s.tq, s.d), k: four(s, s.tk, s.d), v: four(s, s.tk, s.dv), y: three(s, s.tq, s.dv) };
  const nodes = [node("MultiHeadAttention", ["q", "k", "v"], "y", { num_heads: s.heads }, MICROSOFT)];
  return { dims, model: model({ nodes, dims, opset: 21 }) };
}

/** ai.onnx Attention of opset 23, everything 4-D. */
export function attention(s) {
  const dims = { q: four(s, s.tq, s.d), k: four(s, s.tk, s.d), v: four(s, s.tk, s.dv), y: four(s, s.tq, s.dv) };
  return { dims, model: model({ nodes: [node("Attention", ["q", "k", "v"], "y")], dims, opset: 23 }) };
}

/** As an exporter without a fused operator writes it, everything 4-D. */
export function unfused(s) {
  const { dims } = attention(s);
  const nodes = [
    node("Transpose", ["k"], "kt", { perm: [0, 1, 3, 2] }),
    node("MatMul", ["q", "kt"], "products"),
    node("Mul", ["products", "scale"], "scores"),
    node("Softmax", ["scores"], "weights"),
    node("MatMul", ["weights", "v"], "y"),
  ];
  return { dims, model: model({ nodes, dims, constants: [constant("scale", 1 / Math.sqrt(s.d))], opset: 21 }) };
}
