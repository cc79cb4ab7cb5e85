// What the building blocks mean, in float64 and in the order of the definitions. It imports nothing of src. Slow on
// purpose: made to be read.

export type Numbers = ArrayLike<number>;

/** Results, and beside each the sum of the magnitudes that it was added up from: what roundings are measured by. */
export interface Sums {
  values: Float64Array;
  magnitudes: Float64Array;
}

export interface LinearSizes {
  rows: number;
  inputs: number;
  /** Of the weight. */
  outputs: number;
}

/** x W^T + b: x `[rows, inputs]`, W `[outputs, inputs]`. */
export function linear(x: Numbers, weight: Numbers, bias: Numbers | undefined, sizes: LinearSizes): Sums {
  const { rows, inputs, outputs } = sizes;
  const sums = { values: new Float64Array(rows * outputs), magnitudes: new Float64Array(rows * outputs) };
  for (let r = 0; r < rows; r++) {
    for (let o = 0; o < outputs; o++) {
      const terms = [bias?.[o] ?? 0];
      for (let k = 0; k < inputs; k++) terms.push(x[r * inputs + k] * weight[o * inputs + k]);
      sums.values[r * outputs + o] = terms.reduce((a, b) => a + b, 0);
      sums.magnitudes[r * outputs + o] = terms.reduce((a, b) => a + Math.abs(b), 0);
    }
  }
  return sums;
}

/** A tensor `[length, inputs]` and weights `[outputs, inputs, kernel]`, as torch.nn.Conv1d defines it. */
export function conv1d(
  x: Numbers,
  weight: Numbers,
  bias: Numbers | undefined,
  sizes: { length: number; inputs: number; outputs: number; kernel: number; stride: number; padding: number },
): Sums {
  const { length, inputs, outputs, kernel, stride, padding } = sizes;
  const count = Math.floor((length + 2 * padding - kernel) / stride) + 1;
  const sums = { values: new Float64Array(count * outputs), magnitudes: new Float64Array(count * outputs) };
  for (let t = 0; t < count; t++) {
    for (let o = 0; o < outputs; o++) {
      const terms = [bias?.[o] ?? 0];
      for (let k = 0; k < kernel; k++) {
        const from = t * stride - padding + k;
        if (from < 0 || from >= length) continue;
        for (let c = 0; c < inputs; c++) terms.push(x[from * inputs + c] * weight[(o * inputs + c) * kernel + k]);
      }
      sums.values[t * outputs + o] = terms.reduce((a, b) => a + b, 0);
      sums.magnitudes[t * outputs + o] = terms.reduce((a, b) => a + Math.abs(b), 0);
    }
  }
  return sums;
}

export const activations: Record<string, (x: number) => number> = {
  none: (x) => x,
  relu: (x) => Math.max(x, 0),
  gelu: (x) => (x * (1 + erf(x / Math.sqrt(2)))) / 2,
  "gelu-tanh": (x) => (x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)))) / 2,
  silu: (x) => x / (1 + Math.exp(-x)),
  tanh: Math.tanh,
};

/** Its Taylor series; beyond 4.5 the error function is 1 but for 2e-10. */
function erf(z: number): number {
  if (Math.abs(z) > 4.5) return Math.sign(z);
  let sum = 0;
  let power = z; // (-1)^n z^(2n + 1) / n!
  for (let n = 0; n < 120; n++) {
    sum += power / (2 * n + 1);
    power *= (-z * z) / (n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

/** The nearest number of 8 significant bits, ties to even. For normal bfloat16 numbers. */
export function nearestBfloat16(x: number): number {
  if (x === 0) return 0;
  const step = 2 ** (Math.floor(Math.log2(Math.abs(x))) - 7);
  const steps = x / step;
  const below = Math.floor(steps);
  const rest = steps - below;
  const up = rest > 0.5 || (rest === 0.5 && below % 2 !== 0);
  return (below + (up ? 1 : 0)) * step;
}

/** A row of weights in 127 steps either way of its largest magnitude. */
export function nearestInt8(row: number[]): number[] {
  const most = Math.max(...row.map(Math.abs));
  const scale = Math.fround(most / 127);
  return row.map((x) => (most === 0 ? 0 : Math.round((x * 127) / most) * scale));
}

/** Into which a layer of a type rounds rows of x. */
export const STEPS: { readonly [type: string]: number | undefined } = { int8: 32639, "int8-dynamic": 127 };

/** A row of x in `steps` either way of its largest magnitude, as float32 has it: ties would show the difference. */
export function inSteps(row: number[], steps: number): number[] {
  const scale = Math.fround(Math.max(...row.map(Math.abs)) / steps);
  return row.map((x) => (scale === 0 ? 0 : nearestEven(Math.fround(x / scale)) * scale));
}

function nearestEven(x: number): number {
  const below = Math.floor(x);
  const up = x - below > 0.5 || (x - below === 0.5 && below % 2 !== 0);
  return below + (up ? 1 : 0);
}

export function layerNorm(row: number[], eps: number): number[] {
  const mean = average(row);
  const variance = average(row.map((x) => (x - mean) ** 2));
  return row.map((x) => (x - mean) / Math.sqrt(variance + eps));
}

export function rmsNorm(row: number[], eps: number): number[] {
  const square = average(row.map((x) => x * x));
  return row.map((x) => x / Math.sqrt(square + eps));
}

function average(row: number[]): number {
  return row.reduce((a, b) => a + b, 0) / row.length;
}

/** One head at a position: the pairs are complex numbers that turn by position * base^(-2i / dims). */
export function rotary(head: number[], position: number, dims: number, base: number, interleaved: boolean): number[] {
  const turned = head.slice();
  for (let i = 0; i < dims / 2; i++) {
    const [re, im] = interleaved ? [2 * i, 2 * i + 1] : [i, i + dims / 2];
    const angle = position * base ** ((-2 * i) / dims);
    turned[re] = head[re] * Math.cos(angle) - head[im] * Math.sin(angle);
    turned[im] = head[re] * Math.sin(angle) + head[im] * Math.cos(angle);
  }
  return turned;
}
