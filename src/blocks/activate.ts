// Activations in float64, one number at a time: the `js` backend's.
import type { Activation } from "./calls.js";

export const ACTIVATE: Record<Activation, (x: number) => number> = {
  none: (x) => x,
  relu: (x) => Math.max(x, 0),
  gelu: (x) => x * normalIntegral(x),
  "gelu-tanh": (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  silu: (x) => x / (1 + Math.exp(-x)),
  tanh: Math.tanh,
};

// erfc(z) = t e^(-z^2) p(t) with t = 1 / (1 + 0.4 z) for z >= 0: p is a minimax polynomial, relative error 8e-9.
const ERFC = [
  -0.02959433761, 0.1980132166, -0.4988114964, 0.547435444, -0.2843666866, 0.2720662331, 0.1296796035, 0.2149191003,
  0.2249520218, 0.2257069092,
];

/** Of the standard normal distribution, from -Infinity to x. */
function normalIntegral(x: number): number {
  const t = 1 / (1 + 0.4 * Math.SQRT1_2 * Math.abs(x));
  const p = ERFC.reduce((sum, c) => sum * t + c, 0);
  const tail = 0.5 * t * p * Math.exp(-0.5 * x * x);
  return x < 0 ? tail : 1 - tail;
}
