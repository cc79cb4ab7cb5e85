// Vector exponential and hyperbolic tangent.

const float LOG2E = 1.44269504f;

// 2^x for x <= 127, at least 2^-126 however small x is, so that a key that is attended never weighs 0; NaN stays NaN.
// Relative errors are below 2e-7.
#ifdef XATTN_POWERS
// x = k / POWERS + f; 2^(k / POWERS) comes from a table, 2^f - 1 is a minimax polynomial of degree 2 (relative error of
// the power 5.3e-8 before rounding). It leaves more of the multipliers to the scores than one polynomial does.
XATTN_INLINE vec exp2(vec x) {
  x = max(broadcast(-126.0f), x);
  // Its last digit is worth 1 / POWERS, so that k is in the lowest bits of the sum.
  const vec shift = broadcast(1.5f * (1 << 23) / POWERS), k = add(x, shift), f = sub(x, sub(k, shift));
  const vec power = powerOf(k), p = fma(broadcast(2.402269483e-1f), f, broadcast(6.931573378e-1f));
  return fma(power, mul(p, f), power);
}
#else
// x = n + f with |f| <= 1/2; 2^f is a minimax polynomial of degree 5 (relative error 7.5e-8 before rounding).
XATTN_INLINE vec exp2(vec x) {
  x = max(broadcast(-126.0f), x);
  vec n = roundNearest(x), f = sub(x, n);
  vec p = fma(broadcast(1.327647198e-3f), f, broadcast(9.675541334e-3f));
  p = fma(p, f, broadcast(5.550713274e-2f));
  p = fma(p, f, broadcast(2.402211972e-1f));
  p = fma(p, f, broadcast(6.931469671e-1f));
  p = fma(p, f, broadcast(1.000000072f));
  return scaleByPower(p, n);
}
#endif

// Below 5/8 an odd polynomial (relative error 6e-9 before rounding), above 1 - 2 / (e^2|x| + 1).
XATTN_INLINE vec tanh(vec x) {
  vec size = absolute(x), z = mul(x, x);
  vec p = fma(broadcast(-5.736179006e-3f), z, broadcast(2.066970831e-2f));
  p = fma(p, z, broadcast(-5.375018879e-2f));
  p = fma(p, z, broadcast(1.333158592e-1f));
  p = fma(p, z, broadcast(-3.333328828e-1f));
  vec small = fma(mul(p, z), x, x);
  vec power = exp2(mul(min(broadcast(10.0f), size), broadcast(2 * LOG2E)));
  vec large = sub(broadcast(1.0f), div(broadcast(2.0f), add(power, broadcast(1.0f))));
  large = select(less(x, broadcast(0.0f)), sub(broadcast(0.0f), large), large);
  return select(less(size, broadcast(0.625f)), small, large);
}
