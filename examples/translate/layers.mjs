// @ts-check
// What a Transformer has besides attention, in plain JavaScript. Rows of a matrix are tokens.

/** @typedef {import("./weights.mjs").Matrix} Matrix */

/**
 * x weight^T + bias.
 * @param {Matrix} x [rows, n]
 * @param {Matrix} weight [m, n], m at least 4
 * @param {Matrix} [bias] [m]
 * @returns {Matrix} [rows, m]
 */
export function linear(x, weight, bias) {
  const [rows, n] = x.dims;
  const m = weight.dims[0];
  const output = new Float32Array(rows * m);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < m; column += 4) {
      // Where m is no multiple of 4, the last four overlap those before.
      const first = Math.min(column, m - 4);
      fourDots(x.data, row * n, weight.data, first * n, n, output, row * m + first);
    }
    if (bias !== undefined) for (let i = 0; i < m; i++) output[row * m + i] += bias.data[i];
  }
  return { data: output, dims: [rows, m] };
}

/**
 * Dot products of a row at x[from] and four rows of w, the first at w[start]: one read of x serves four sums.
 * @param {Float32Array} x @param {number} from @param {Float32Array} w @param {number} start @param {number} n
 * @param {Float32Array} output @param {number} at
 */
function fourDots(x, from, w, start, n, output, at) {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  // `| 0` says that indices are int32: V8 then leaves out its checks for overflow, and the loop takes half the time.
  for (let k = 0; k < n; k = (k + 1) | 0) {
    const value = x[(from + k) | 0];
    const i = (start + k) | 0;
    s0 += value * w[i];
    s1 += value * w[(i + n) | 0];
    s2 += value * w[(i + 2 * n) | 0];
    s3 += value * w[(i + 3 * n) | 0];
  }
  output[at] = s0;
  output[at + 1] = s1;
  output[at + 2] = s2;
  output[at + 3] = s3;
}

/** @param {Matrix} x @returns {Matrix} */
export function relu({ data, dims }) {
  return { data: data.map((value) => Math.max(value, 0)), dims };
}

/** @param {Matrix} a @param {Matrix} b of the same dims @returns {Matrix} */
export function add(a, b) {
  return { data: a.data.map((value, i) => value + b.data[i]), dims: a.dims };
}

/** Every row gets mean 0 and variance 1, then gain and bias. */
export class LayerNorm {
  /** @param {Record<string, Matrix>} weights @param {string} name @param {number} epsilon */
  constructor(weights, name, epsilon) {
    this.gain = weights[`${name}.weight`].data;
    this.bias = weights[`${name}.bias`].data;
    this.epsilon = epsilon;
  }

  /** @param {Matrix} x @returns {Matrix} */
  apply({ data, dims }) {
    const [rows, n] = dims;
    const output = new Float32Array(data.length);
    for (let row = 0; row < rows; row++) {
      const values = data.subarray(row * n, (row + 1) * n);
      const mean = values.reduce((sum, value) => sum + value, 0) / n;
      const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / n;
      const factor = 1 / Math.sqrt(variance + this.epsilon);
      for (let i = 0; i < n; i++) output[row * n + i] = (values[i] - mean) * factor * this.gain[i] + this.bias[i];
    }
    return { data: output, dims };
  }
}

/** Two linear layers with a ReLU between them. */
export class FeedForward {
  /** @param {Record<string, Matrix>} weights @param {string} name */
  constructor(weights, name) {
    const [first, second] = [`${name}.linear1`, `${name}.linear2`];
    this.first = { weight: weights[`${first}.weight`], bias: weights[`${first}.bias`] };
    this.second = { weight: weights[`${second}.weight`], bias: weights[`${second}.bias`] };
  }

  /** @param {Matrix} x @returns {Matrix} */
  apply(x) {
    const hidden = relu(linear(x, this.first.weight, this.first.bias));
    return linear(hidden, this.second.weight, this.second.bias);
  }
}

/** Token embeddings, scaled, plus sinusoids of the position: even columns sin, odd columns cos. */
export class Embedding {
  /** @param {Matrix} table [vocabulary, d] */
  constructor(table) {
    this.table = table;
  }

  /** @param {readonly number[]} ids @param {number} from position of the first @returns {Matrix} */
  apply(ids, from = 0) {
    const d = this.table.dims[1];
    const output = new Float32Array(ids.length * d);
    for (const [row, id] of ids.entries()) {
      for (let i = 0; i < d; i++) {
        const angle = (from + row) / 10000 ** ((i - (i % 2)) / d);
        const position = i % 2 === 0 ? Math.sin(angle) : Math.cos(angle);
        output[row * d + i] = this.table.data[id * d + i] * Math.sqrt(d) + position;
      }
    }
    return { data: output, dims: [ids.length, d] };
  }
}

/** Rows that are kept, such as the keys and values of the tokens so far. */
export class RowCache {
  /** @param {number} columns */
  constructor(columns) {
    this.columns = columns;
    this.rows = 0;
    this.store = new Float32Array(16 * columns);
  }

  /** @param {Matrix} x [rows, columns] */
  append({ data }) {
    const used = this.rows * this.columns;
    if (used + data.length > this.store.length) {
      const larger = new Float32Array(2 * (used + data.length));
      larger.set(this.store);
      this.store = larger;
    }
    this.store.set(data, used);
    this.rows += data.length / this.columns;
  }

  /** All rows, in place. @returns {Matrix} */
  get matrix() {
    return { data: this.store.subarray(0, this.rows * this.columns), dims: [this.rows, this.columns] };
  }
}
