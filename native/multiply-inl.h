// The one loop that the work is in, and how a length is cut into steps of a size that is known at compile time.

// What a step of a product takes: a float, or a pair of bfloat16 that lie side by side.
XATTN_INLINE vec factors(const float *a) {
  return broadcast(a);
}
XATTN_INLINE vec addProducts(const float *, vec sum, vec a, vec x) {
  return fma(a, x, sum);
}
#ifdef XATTN_PAIRS
XATTN_INLINE vec factors(const uint16_t *a) {
  return broadcastPair(a);
}
XATTN_INLINE vec addProducts(const uint16_t *, vec sum, vec a, vec x) {
  return addDots(sum, a, x);
}
#endif
template <class E> struct Step {
  enum { ELEMENTS = sizeof(float) / sizeof(E) };
};

// acc[r][v] += a[r * rowStride + k * stepStride] * lanesIn[k][v] for k < n: q.k with rows = keys and steps along d, and
// p.v with rows = columns of the value and steps along the keys. Each step fetches a line.
template <int LEVEL, int NV, int N, class E>
XATTN_INLINE void multiply(vec (&acc)[N][NV], const E *a, int64_t rowStride, int64_t stepStride, const float *lanesIn,
                           int64_t n, Stream fetched) {
  for (int64_t k = 0; k < n; k++) {
    fetched.fetchLine<LEVEL>();
    vec x[NV];
    XATTN_UNROLL for (int v = 0; v < NV; v++) x[v] = load(lanesIn + v * W);
    XATTN_UNROLL for (int r = 0; r < N; r++) {
      const vec b = factors(a + r * rowStride);
      XATTN_UNROLL for (int v = 0; v < NV; v++) acc[r][v] = addProducts(a, acc[r][v], b, x[v]);
    }
    a += stepStride;
    lanesIn += NV * W;
  }
}

template <int N> struct Count {
  enum { value = N };
};

// f(Count<n>()), where N <= n <= MOST.
template <int N, int MOST, class F> XATTN_INLINE void withCount(int n, F f) {
  if constexpr (N < MOST) {
    if (n > N) return withCount<N + 1, MOST>(n, f);
  }
  f(Count<N>());
}

// f(Count<size>, i) over n in steps of MOST. A rest of less than half a step is shared with the step before it: so few
// sums would wait for each other.
template <int MOST, class F> XATTN_INLINE void inSteps(int n, F f) {
  int i = 0;
  for (; n - i == MOST || n - i > MOST + MOST / 2; i += MOST) f(Count<MOST>(), i);
  for (int size; i < n; i += size) {
    size = n - i > MOST ? (n - i + 1) / 2 : n - i;
    withCount<1, MOST - 1>(size, [&](auto count) XATTN_LAMBDA_INLINE { f(count, i); });
  }
}

// The same with any rest in steps of 1: fewer instances of f, for where the rest does not matter.
template <int STEP, class F> XATTN_INLINE void inWholeSteps(int n, F f) {
  int i = 0;
  for (; i + STEP <= n; i += STEP) f(Count<STEP>(), i);
  for (; i < n; i++) f(Count<1>(), i);
}
