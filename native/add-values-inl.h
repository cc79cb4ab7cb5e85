// Probabilities of a few query rows times values, with lanes along dv: rows of values are read once for all.

// One key's values times N probabilities. Carefully: leaving out what a row does not see, for 0 * NaN would be NaN.
// Attended keys weigh at least 2^-126.
template <int N, int C, Type T, bool CAREFUL>
XATTN_INLINE void addKey(vec (&acc)[N][C], const void *value, int64_t ahead, const float *s, int last) {
  enum { V = C % vectorsOf<T>() == 0 ? vectorsOf<T>() : 1, HELD = N < C ? V : C };
  // Held are values of all columns, or the probabilities of all rows.
  vec e[N];
  if constexpr (HELD < C) {
    XATTN_UNROLL for (int r = 0; r < N; r++) e[r] = broadcast(s + r * PITCH);
  }
  XATTN_UNROLL for (int v = 0; v < C; v += HELD) {
    vec x[HELD];
    XATTN_UNROLL for (int i = 0; i < HELD; i += V) {
      if constexpr (V == vectorsOf<T>()) {
        loadInOrder<T>(value, (v + i) * W, C == 1 ? last : V * W, x + i);
        fetchAhead<T>(value, (v + i) * W, ahead);
      } else {
        x[i] = loadAs(T, value, 0, last);
      }
    }
    if constexpr (N > 1 && T == XATTN_FLOAT32) {
      XATTN_UNROLL for (int i = 0; i < HELD; i++) hold(x[i]);
    }
    XATTN_UNROLL for (int r = 0; r < N; r++) {
      if (CAREFUL && s[r * PITCH] == 0) continue;
      if constexpr (HELD == C) {
        e[r] = broadcast(s + r * PITCH);
        hold(e[r]);
      }
      XATTN_UNROLL for (int i = 0; i < HELD; i++) acc[r][v + i] = fma(e[r], x[i], acc[r][v + i]);
    }
  }
}

// o += p.v for C vectors of columns, the only one of them `last` lanes wide, and n keys. Keys are dealt to U
// accumulators to hide the latency of the multiply-add. They start from 0 and not from o: the rounding of one long sum
// of like numbers goes one way, and grows with its length.
template <int N, int C, int U, Type T, bool CAREFUL>
XATTN_INLINE void addColumns(const float *s, const void *values, int64_t first, int64_t row, int n, int64_t ahead,
                             int last, float *o, int64_t pitch) {
  vec acc[U][N][C];
  XATTN_UNROLL for (int u = 0; u < U; u++) {
    XATTN_UNROLL for (int r = 0; r < N; r++) {
      XATTN_UNROLL for (int v = 0; v < C; v++) acc[u][r][v] = broadcast(0.0f);
    }
  }
  const auto addTo = [&](int u, int j) XATTN_LAMBDA_INLINE {
    const void *value = at(values, T, first + j * row);
    addKey<N, C, T, CAREFUL>(acc[u], value, ahead, s + j, last);
  };
  int j = 0;
  for (; j + U <= n; j += U) {
    XATTN_UNROLL for (int u = 0; u < U; u++) addTo(u, j + u);
  }
  for (; j < n; j++) addTo(0, j);
  XATTN_UNROLL for (int r = 0; r < N; r++) {
    vec total[C];
    XATTN_UNROLL for (int v = 0; v < C; v++) {
      total[v] = acc[0][r][v];
      XATTN_UNROLL for (int u = 1; u < U; u++) total[v] = add(total[v], acc[u][r][v]);
    }
    if constexpr (C % 2 == 0 && vectorsOf<T>() == 2) {
      XATTN_UNROLL for (int v = 0; v < C; v += 2) interleave(total + v);
    }
    float *to = o + r * pitch;
    XATTN_UNROLL for (int v = 0; v < C; v++) store(to + v * W, add(load(to + v * W), total[v]));
  }
}

constexpr int powerUpTo4(int n) {
  return n >= 4 ? 4 : n >= 2 ? 2 : 1;
}

// Beside the accumulators of so many rows there is room for values and probabilities: one of either, and the rest of
// those that are fewer.
constexpr int roomOf(int rows) {
  return REGISTERS - (rows > 1 ? 3 : 2);
}

// Keys that are dealt to accumulators of their own.
constexpr int keysAtOnce(int rows, int columns) {
  return powerUpTo4(roomOf(rows) / (rows * columns));
}

// Vectors of columns that are summed up at a time. One row sums up what most models' dv takes, if it is so wide: a
// stream is read faster in one go than in stripes.
constexpr int columnsAtOnce(int rows) {
  return rows == 1 && W < 16 ? 8 : powerUpTo4(roomOf(rows) / rows);
}

// o += p.v for N rows of [N][pitch] and n keys. The careful form takes one vector of columns at a time and gives the
// same bits.
template <int N, Type T, bool CAREFUL>
XATTN_NOINLINE void addValues(const float *s, const void *values, int64_t first, int64_t row, int n, int64_t ahead,
                              int64_t dv, float *o, int64_t pitch) {
  enum { WIDE = powerUpTo4(roomOf(N) / N), U = keysAtOnce(N, WIDE) };
  int64_t c = 0;
  if constexpr (columnsAtOnce(N) > WIDE) {
    enum { WHOLE = columnsAtOnce(N), C = CAREFUL ? 1 : WHOLE, FEWER = keysAtOnce(N, WHOLE) };
    for (const int64_t end = dv / (WHOLE * W) * (WHOLE * W); c < end; c += C * W) {
      addColumns<N, C, FEWER, T, CAREFUL>(s, values, first + c, row, n, ahead, W, o + c, pitch);
    }
  }
  for (; !CAREFUL && c + WIDE * W <= dv; c += WIDE * W) {
    addColumns<N, WIDE, U, T, CAREFUL>(s, values, first + c, row, n, ahead, W, o + c, pitch);
  }
  for (; c < dv; c += W) {
    addColumns<N, 1, U, T, CAREFUL>(s, values, first + c, row, n, ahead, (int)smaller(W, dv - c), o + c, pitch);
  }
}
