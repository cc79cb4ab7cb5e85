// @ts-check
// What an ONNX file says of its weights: initializers, and which node multiplies by which. Fields are numbered as in
// https://github.com/onnx/onnx/blob/main/onnx/onnx.proto

/**
 * @typedef {object} Initializer
 * @property {number[]} dims
 * @property {number} type 1: float32, 2: uint8, 3: int8
 * @property {Uint8Array} bytes
 */

/**
 * @typedef {object} Graph
 * @property {Map<string, Initializer>} initializers
 * @property {Map<string, string[]>} inputs of each node, by its name
 */

/** @typedef {[field: number, value: bigint | Uint8Array]} Field */

/** The graph of a model, and of the branches in it. @param {Uint8Array} file @returns {Graph} */
export function readGraph(file) {
  /** @type {Graph} */
  const graph = { initializers: new Map(), inputs: new Map() };
  addGraph(graph, message(file, 7));
  return graph;
}

/** @param {Graph} graph @param {Uint8Array} bytes a GraphProto */
function addGraph(graph, bytes) {
  for (const [field, value] of fields(bytes)) {
    if (field === 1) addNode(graph, /** @type {Uint8Array} */ (value));
    if (field === 5) addInitializer(graph, /** @type {Uint8Array} */ (value));
  }
}

/** @param {Graph} graph @param {Uint8Array} bytes a NodeProto */
function addNode(graph, bytes) {
  /** @type {string[]} */
  const inputs = [];
  let name = "";
  for (const [field, value] of fields(bytes)) {
    if (field === 1) inputs.push(text(value));
    if (field === 3) name = text(value);
    if (field === 5) {
      for (const [part, branch] of fields(/** @type {Uint8Array} */ (value))) {
        if (part === 6) addGraph(graph, /** @type {Uint8Array} */ (branch));
      }
    }
  }
  graph.inputs.set(name, inputs);
}

/** @param {Graph} graph @param {Uint8Array} bytes a TensorProto */
function addInitializer(graph, bytes) {
  /** @type {Initializer} */
  const initializer = { dims: [], type: 0, bytes: new Uint8Array(0) };
  let name = "";
  for (const [field, value] of fields(bytes)) {
    if (field === 1) initializer.dims.push(...integers(value));
    if (field === 2) initializer.type = Number(value);
    // Floats and bytes may also come as such, and the latter then as integers.
    if (field === 5) initializer.bytes = Uint8Array.from(integers(value));
    if (field === 8) name = text(value);
    if (field === 4 || field === 9) initializer.bytes = new Uint8Array(/** @type {Uint8Array} */ (value));
  }
  graph.initializers.set(name, initializer);
}

/** @param {Uint8Array} bytes @param {number} number @returns {Uint8Array} */
function message(bytes, number) {
  for (const [field, value] of fields(bytes)) if (field === number) return /** @type {Uint8Array} */ (value);
  throw new RangeError("an ONNX model expected a graph, got none");
}

/** Repeated integers, packed or not. @param {bigint | Uint8Array} value @returns {number[]} */
function integers(value) {
  if (typeof value === "bigint") return [Number(value)];
  const list = [];
  for (let at = 0; at < value.length; ) {
    const [integer, next] = varint(value, at);
    list.push(Number(integer));
    at = next;
  }
  return list;
}

/** @param {bigint | Uint8Array} value */
function text(value) {
  return new TextDecoder().decode(/** @type {Uint8Array} */ (value));
}

/** The fields of a protocol buffers message. @param {Uint8Array} bytes @returns {Generator<Field>} */
function* fields(bytes) {
  for (let at = 0; at < bytes.length; ) {
    const [key, start] = varint(bytes, at);
    const [field, wire] = [Number(key >> 3n), Number(key & 7n)];
    if (wire === 0) {
      const [value, next] = varint(bytes, start);
      yield [field, value];
      at = next;
    } else {
      const [length, from] = wire === 2 ? varint(bytes, start) : [wire === 1 ? 8n : 4n, start];
      at = from + Number(length);
      yield [field, bytes.subarray(from, at)];
    }
  }
}

/** @param {Uint8Array} bytes @param {number} at @returns {[value: bigint, next: number]} */
function varint(bytes, at) {
  let value = 0n;
  for (let shift = 0n; at < bytes.length; shift += 7n) {
    const byte = bytes[at++];
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) return [value, at];
  }
  throw new RangeError("an ONNX model expected more bytes, got its end");
}
