// @ts-check
// Checkpoints of other libraries under PyTorch's names.

/** @typedef {import("xattn/safetensors").StoredTensor} StoredTensor */
/** @typedef {Map<string, StoredTensor>} Tensors */

/**
 * The tensors of a checkpoint under other names. Rows of several old ones are joined to one new one, as queries, keys and
 * values are to in_proj_weight.
 * @param {Tensors} tensors
 * @param {Record<string, string | string[]>} table new name: old name or names
 * @returns {Tensors}
 */
export function renamed(tensors, table) {
  const entries = Object.entries(table).map(
    ([name, old]) => /** @type {const} */ ([name, joined(tensors, [old].flat())]),
  );
  return new Map(entries);
}

/** @param {Tensors} tensors @param {string[]} names @returns {StoredTensor} */
function joined(tensors, names) {
  const parts = names.map((name) => {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw new TypeError(`"${name}" expected a tensor of the checkpoint, got nothing`);
    return tensor;
  });
  if (parts.length === 1) return parts[0];
  const arrays = parts.map(({ data }) => /** @type {Float32Array} */ (data));
  const data = new Float32Array(arrays.reduce((length, each) => length + each.length, 0));
  let at = 0;
  for (const each of arrays) {
    data.set(each, at);
    at += each.length;
  }
  return {
    data,
    dims: [parts.reduce((rows, { dims }) => rows + dims[0], 0), ...parts[0].dims.slice(1)],
    type: "float32",
  };
}

/**
 * Weight and bias under a new and an old name.
 * @param {string} name
 * @param {string | string[]} old
 * @param {[string, string]} [suffixes] of the old ones
 * @returns {Record<string, string | string[]>}
 */
export function pair(name, old, [weight, bias] = [".weight", ".bias"]) {
  const separator = name.endsWith("in_proj") ? "_" : ".";
  /** @param {string} suffix */
  const names = (suffix) => [old].flat().map((each) => each + suffix);
  return { [`${name}${separator}weight`]: names(weight), [`${name}${separator}bias`]: names(bias) };
}
