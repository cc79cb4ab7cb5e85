// The steps of the softmax on a run of scores, s[at .. at + count).

/** exponentiate() takes scores that exceed the reference by no more than this: e^32 is far from any limit. */
export const HEADROOM = 32;

// e^x = 2^(n / 16) * e^f with |f| <= ln(2) / 32: the power comes from a table, e^f from its series up to f^3, relative
// error 1e-8, in half the time of Math.exp. The table begins at 2^-150, less than half of the smallest float32: its
// first entry is 0 and stands for all that is smaller, down to -Infinity.
const STEPS = 16;
const STEP = Math.LN2 / STEPS;
const DEPTH = 150 * Math.LN2;
const POWERS = Float64Array.from(
  { length: Math.ceil((DEPTH + HEADROOM) / STEP) + 1 },
  (_, n) => 2 ** (n / STEPS - 150),
);
POWERS[0] = 0;

function exp(x: number): number {
  const height = Math.max(x + DEPTH, 0);
  const n = (height * (1 / STEP) + 0.5) | 0;
  const f = height - n * STEP;
  return POWERS[n] * (1 + f * (1 + f * (1 / 2 + f * (1 / 6))));
}

/** s = e^(s - m), of which it returns the sum. */
export function exponentiate(s: Float64Array, at: number, count: number, m: number): number {
  const end = (at + count) | 0;
  let sum = 0;
  for (let i = at | 0; i < end; i = (i + 1) | 0) {
    const p = exp(s[i] - m);
    s[i] = p;
    sum += p;
  }
  return sum;
}

/** The largest that is not NaN. */
export function largest(s: Float64Array, at: number, count: number): number {
  const end = (at + count) | 0;
  let m = -Infinity;
  for (let i = at | 0; i < end; i = (i + 1) | 0) if (s[i] > m) m = s[i];
  return m;
}

/** s *= factor; here `at` may be beyond 2^31. */
export function multiply(s: Float64Array | Float32Array, at: number, count: number, factor: number): void {
  const end = at + count;
  for (let i = at; i < end; i++) s[i] *= factor;
}

/** s = softcap * tanh(s / softcap) */
export function addSoftcap(s: Float64Array, at: number, count: number, softcap: number): void {
  for (let i = at; i < at + count; i++) s[i] = softcap * Math.tanh(s[i] / softcap);
}

/** s -= slope * |distance to the query|; the query stands `distance` keys after the first one. */
export function addAlibi(s: Float64Array, at: number, count: number, slope: number, distance: number): void {
  for (let i = 0; i < count; i++) s[at + i] -= slope * Math.abs(distance - i);
}

/** s += bias, where -Infinity hides the key, whatever its score. Returns how many keys are seen. */
export function addBias(s: Float64Array, at: number, count: number, bias: Float64Array): number {
  const end = count | 0;
  let hidden = 0;
  for (let i = 0, k = at | 0; i < end; i = (i + 1) | 0, k = (k + 1) | 0) {
    const b = bias[i];
    if (b === -Infinity) {
      s[k] = b;
      hidden++;
    } else if (b !== 0) {
      s[k] += b;
    }
  }
  return count - hidden;
}
