// Layer norm and root-mean-square norm of rows.

extern "C" float sqrtf(float);

// Calls f(index, count) for each vector of a row; the last one may have fewer than W elements.
template <class F> XATTN_INLINE void overVectors(int64_t width, F f) {
  int64_t i = 0;
  for (; i + W <= width; i += W) f(i, (int)W);
  if (i < width) f(i, (int)(width - i));
}

// Sum of (x - mean)^2, or of x where squares are not asked for. Four chains cover the latency of the addition.
template <bool SQUARES> XATTN_INLINE float sumOf(const float *x, int64_t width, float mean) {
  vec s[4] = {broadcast(0.0f), broadcast(0.0f), broadcast(0.0f), broadcast(0.0f)};
  float means[W];
  for (int i = 0; i < W; i++) means[i] = mean;
  const auto include = [&](vec &sum, int64_t at, int n) XATTN_LAMBDA_INLINE {
    const vec a = loadSome(x + at, n);
    const vec away = SQUARES ? sub(a, loadSome(means, n)) : a; // 0 in the lanes behind the last element
    sum = SQUARES ? fma(away, away, sum) : add(a, sum);
  };
  int64_t i = 0;
  for (; i + 4 * W <= width; i += 4 * W) {
    XATTN_UNROLL for (int c = 0; c < 4; c++) include(s[c], i + c * W, W);
  }
  overVectors(width - i, [&](int64_t at, int n) XATTN_LAMBDA_INLINE { include(s[0], i + at, n); });
  return sum(add(add(s[0], s[1]), add(s[2], s[3])));
}

void norm(const Norm *p, int64_t from, int64_t to) {
  for (int64_t row = from; row < to; row++) {
    const float *x = p->x + row * p->width;
    float *y = p->y + row * p->width;
    const float mean = p->centred ? sumOf<false>(x, p->width, 0) / (float)p->width : 0;
    const float factor = 1 / sqrtf(sumOf<true>(x, p->width, mean) / (float)p->width + p->eps);
    overVectors(p->width, [&](int64_t i, int n) XATTN_LAMBDA_INLINE {
      vec a = mul(sub(loadSome(x + i, n), broadcast(mean)), broadcast(factor));
      if (p->weight) a = mul(a, loadSome(p->weight + i, n));
      if (p->bias) a = add(a, loadSome(p->bias + i, n));
      storeAs(XATTN_FLOAT32, y, i, a, n);
    });
  }
}
