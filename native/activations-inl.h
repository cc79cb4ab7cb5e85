// Activations of vectors. NaN stays NaN.

// x / (1 + 2^y): 0 where 2^y is beyond what exp2() can say.
XATTN_INLINE vec overOnePlusPower(vec x, vec y) {
  const vec most = broadcast(127.0f), power = exp2(min(most, y));
  return div(x, add(broadcast(1.0f), select(less(most, y), broadcast(INFINITE), power)));
}

XATTN_INLINE vec silu(vec x) {
  return overOnePlusPower(x, mul(x, broadcast(-LOG2E)));
}

// x (1 + tanh(u)) / 2 = x / (1 + e^(-2u)) with u = sqrt(2 / pi) (x + 0.044715 x^3).
XATTN_INLINE vec geluTanh(vec x) {
  const float linear = -2 * 0.797884561f * LOG2E, cubic = 0.044715f * linear;
  return overOnePlusPower(x, mul(x, fma(mul(x, x), broadcast(cubic), broadcast(linear))));
}

// x times the integral of the normal distribution up to x, 1 - erfc(|x| / sqrt(2)) / 2 or the same below 0, where
// erfc(z) = t e^(-z^2) p(t) with t = 1 / (1 + 0.4 z): p is a minimax polynomial, relative error 8e-9 before rounding.
XATTN_INLINE vec gelu(vec x) {
  const vec one = broadcast(1.0f);
  const vec t = div(one, fma(absolute(x), broadcast(0.4f * 0.707106781f), one));
  vec p = fma(broadcast(-2.959433761e-2f), t, broadcast(1.980132166e-1f));
  p = fma(p, t, broadcast(-4.988114964e-1f));
  p = fma(p, t, broadcast(5.474354440e-1f));
  p = fma(p, t, broadcast(-2.843666866e-1f));
  p = fma(p, t, broadcast(2.720662331e-1f));
  p = fma(p, t, broadcast(1.296796035e-1f));
  p = fma(p, t, broadcast(2.149191003e-1f));
  p = fma(p, t, broadcast(2.249520218e-1f));
  p = fma(p, t, broadcast(2.257069092e-1f));
  const vec power = exp2(mul(mul(x, x), broadcast(-0.5f * LOG2E)));
  const vec tail = mul(mul(mul(t, p), broadcast(0.5f)), power);
  return mul(x, select(less(x, broadcast(0.0f)), tail, sub(one, tail)));
}

XATTN_INLINE vec activate(Activation activation, vec x) {
  switch (activation) {
  case XATTN_RELU:
    return max(broadcast(0.0f), x);
  case XATTN_GELU:
    return gelu(x);
  case XATTN_GELU_TANH:
    return geluTanh(x);
  case XATTN_SILU:
    return silu(x);
  case XATTN_TANH:
    return tanh(x);
  default:
    return x;
  }
}
