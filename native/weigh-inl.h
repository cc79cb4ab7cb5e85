// The second pass: the weights of a tile, block by block, from scores that are computed once more and what the first
// pass has found of the rows.

extern "C" float logf(float);

// What the rows of a tile have in the end.
struct Ends {
  alignas(64) float factor[4 * W] = {0};    // of probabilities, to be weights
  alignas(64) float logarithm[4 * W] = {0}; // of the factor
  alignas(64) float entropy[4 * W] = {0};   // sum of w ln w so far
};

// The same of one row in all lanes, or of a row per lane.
struct End {
  vec factor, logarithm;
  Units units;
};

// Scores come relative to the reference of their row, -infinity where it does not see the key, and nowhere else.
XATTN_INLINE vec weightAt(vec x, const End &row) {
  return weightOf(probability(x, broadcast(0.0f), row.units), row.factor);
}

// total + w ln w, where ln w = t ln 2 + ln factor; 0 ln 0 = 0.
XATTN_INLINE vec addEntropy(vec total, vec x, const End &row) {
  const vec w = weightAt(x, row), t = max(broadcast(-126.0f), mul(x, broadcast(row.units.log2))); // as exp2 has it
  const vec sum = fma(w, fma(t, broadcast(0.693147181f), row.logarithm), total);
  return select(equal(w, broadcast(0.0f)), total, sum);
}

// A final score less the reference.
XATTN_INLINE vec relative(vec x, vec reference) {
  return select(equal(x, broadcast(-INFINITE)), x, max(broadcast(-LARGEST), sub(x, reference)));
}

// On tiles, where s is [key][row]:

// Scores of N keys that every row sees as they are, but for a boolean mask; they round as what the first pass summed
// up.
template <int N, int NV, int KR>
XATTN_NOINLINE void openScores(Tile<NV, KR> *t, const float *k, int64_t stride, int j, bool masked) {
  enum { R = Tile<NV, KR>::R };
  const vec none = broadcast(-INFINITE);
  vec acc[N][NV], top = none;
  XATTN_UNROLL for (int v = 0; v < NV; v++) {
    XATTN_UNROLL for (int r = 0; r < N; r++) {
      const vec bias = masked ? t->template biasAt<true>(j + r, v) : broadcast(0.0f);
      acc[r][v] = sub(bias, load(t->m + v * W));
    }
  }
  t->template multiplyKeys<N>(acc, k, stride);
  XATTN_UNROLL for (int r = 0; r < N; r++) {
    XATTN_UNROLL for (int v = 0; v < NV; v++) top = max(acc[r][v], top);
  }
  // Scores so large that rounding alone exceeds the reference.
  const bool large = any(less(broadcast(HEADROOM), top));
  if (XATTN_UNLIKELY(large)) t->template rawKeys<N>(k, stride, j, masked);
  XATTN_UNROLL for (int r = 0; r < N; r++) {
    XATTN_UNROLL for (int v = 0; v < NV; v++) {
      float *to = t->s + (j + r) * R + v * W;
      const vec x = large ? sub(load(to), load(t->m + v * W)) : acc[r][v];
      const vec bias = masked ? t->template biasAt<true>(j + r, v) : broadcast(0.0f);
      store(to, select(equal(bias, none), none, max(broadcast(-LARGEST), x)));
    }
  }
}

// Scores of n keys. False: no row sees any of them.
template <int NV, int KR> XATTN_NOINLINE bool scoresOf(Tile<NV, KR> *t, int64_t key, int n) {
  enum { R = Tile<NV, KR>::R };
  const Problem *p = t->p;
  const bool masked = p->mask.data, within = key >= t->rows.allLo && key + n <= t->rows.allHi;
  const bool open = within && (!isGeneral(p) || isBoolean(p));
  if (masked && !t->readMask(key, n)) return false;
  int64_t stride;
  const float *k = asFloats(p->key, t->rows.key, p->d, key, n, t->keys, &stride);
  inWholeSteps<KR>(n, [&](auto count, int j) XATTN_LAMBDA_INLINE {
    enum { N = decltype(count)::value };
    t->ahead.followKeys(p, t->rows, key + j, N);
    if (open)
      openScores<N>(t, k + j * stride, stride, j, masked);
    else
      t->template rawKeys<N>(k + j * stride, stride, j, false);
  });
  if (open) return true;
  t->adjust(key, n);
  for (int i = 0; i < n * R; i += W) store(t->s + i, relative(load(t->s + i), load(t->m + i % R)));
  return true;
}

// Moves the scores of n chosen keys, which begin with `key`, together.
template <int NV, int KR> XATTN_INLINE void gather(Tile<NV, KR> *t, const int32_t *chosen, int n, int64_t key) {
  enum { R = Tile<NV, KR>::R };
  for (int c = 0; c < n; c++) {
    for (int v = 0; v < R; v += W) store(t->s + c * R + v, load(t->s + (chosen[c] - key) * R + v));
  }
}

template <int NV, int KR> constexpr int mapBlock(const Tile<NV, KR> *) {
  return Tile<NV, KR>::BLOCK;
}
template <int NV, int KR> constexpr int mapPitch(const Tile<NV, KR> *) {
  return (Tile<NV, KR>::BLOCK + W - 1) / W * W;
}

template <int NV, int KR> XATTN_INLINE End endOf(const Tile<NV, KR> *t, const Ends &ends, int v) {
  return {load(ends.factor + v), load(ends.logarithm + v), t->units};
}

// n keys of [key][row], row by row.
template <int NV, int KR>
XATTN_NOINLINE const float *byRows(const Tile<NV, KR> *t, const float *from, int n, float *w) {
  enum { R = Tile<NV, KR>::R };
  for (int g = 0; g < t->rows.count; g += W) {
    for (int j = 0; j < n; j += W) {
      vec x[W];
      XATTN_UNROLL for (int i = 0; i < W; i++) x[i] = load(from + (j + i) * R + g);
      transpose(x);
      XATTN_UNROLL for (int i = 0; i < W; i++) store(w + (g + i) * mapPitch(t) + j, x[i]);
    }
  }
  return w;
}

// Weights of n keys, row by row, with zeros behind them.
template <int NV, int KR> XATTN_NOINLINE const float *weigh(Tile<NV, KR> *t, int n, const Ends &ends, float *w) {
  enum { R = Tile<NV, KR>::R };
  float *s = t->s;
  for (int v = 0; v < R; v += W) {
    const End end = endOf(t, ends, v);
    for (int j = 0; j < n; j++) store(s + j * R + v, weightAt(load(s + j * R + v), end));
  }
  for (int i = n * R; i % (W * R) != 0; i += W) store(s + i, broadcast(0.0f));
  return byRows(t, s, n, w);
}

// sums += share * weights of n keys, both [key][row].
template <int NV, int KR>
XATTN_NOINLINE void addShares(Tile<NV, KR> *t, int n, const Ends &ends, float share, float *sums) {
  enum { R = Tile<NV, KR>::R };
  for (int v = 0; v < R; v += W) {
    const End end = endOf(t, ends, v);
    for (int i = v; i < n * R; i += R) {
      store(sums + i, fma(broadcast(share), weightAt(load(t->s + i), end), load(sums + i)));
    }
  }
}

template <int NV, int KR> XATTN_NOINLINE void addEntropies(Tile<NV, KR> *t, int n, Ends *ends) {
  enum { R = Tile<NV, KR>::R };
  for (int v = 0; v < R; v += W) {
    const End end = endOf(t, *ends, v);
    vec total = load(ends->entropy + v);
    for (int j = 0; j < n; j++) total = addEntropy(total, load(t->s + j * R + v), end);
    store(ends->entropy + v, total);
  }
}

// The same of decode, where s is [row][key]:

XATTN_NOINLINE bool scoresOf(Decode *t, int64_t key, int n) {
  t->scoreChunk(key, n);
  for (int r = 0; r < t->rows.count; r++) {
    float *s = t->s + r * PITCH;
    t->adjust(r, key, n);
    for (int j = 0; j < n; j += W) store(s + j, relative(load(s + j), broadcast(t->m[r])));
  }
  return true;
}

XATTN_INLINE void gather(Decode *t, const int32_t *chosen, int n, int64_t key) {
  for (int r = 0; r < t->rows.count; r++) {
    float *s = t->s + r * PITCH;
    for (int c = 0; c < n; c++) s[c] = s[chosen[c] - key];
    for (int c = n; c % W != 0; c++) s[c] = -INFINITE;
  }
}

constexpr int mapBlock(const Decode *) {
  return CHUNK;
}
constexpr int mapPitch(const Decode *) {
  return PITCH;
}

XATTN_INLINE End endOf(const Decode *t, const Ends &ends, int r) {
  return {broadcast(ends.factor[r]), broadcast(ends.logarithm[r]), t->units};
}

XATTN_NOINLINE const float *weigh(Decode *t, int n, const Ends &ends, float *) {
  for (int r = 0; r < t->rows.count; r++) {
    float *s = t->s + r * PITCH;
    const End end = endOf(t, ends, r);
    for (int j = 0; j < n; j += W) store(s + j, weightAt(load(s + j), end));
  }
  return t->s;
}

XATTN_NOINLINE void addEntropies(Decode *t, int n, Ends *ends) {
  for (int r = 0; r < t->rows.count; r++) {
    const End end = endOf(t, *ends, r);
    vec total = broadcast(0.0f);
    for (int j = 0; j < n; j += W) total = addEntropy(total, load(t->s + r * PITCH + j), end);
    ends->entropy[r] += sum(total);
  }
}
