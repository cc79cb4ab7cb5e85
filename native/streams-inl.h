// Rows of keys or values read once for a few query rows, with lanes along d or dv.

// Keys whose scores are held at a time, query rows that are served by one read of keys and of values (their sums stay
// in registers; with more rows values would be read in narrow stripes), and keys whose sums are folded together.
enum { CHUNK = 1024, BATCH = W < 8 ? 3 : 6, VALUE_BATCH = W < 16 ? 3 : 6, STEP = 4 };

// bfloat16 is read two vectors at a time, the even ones of 2 W first, which saves half of the work.
template <Type T> constexpr int vectorsOf() {
  return T == XATTN_BFLOAT16 ? 2 : 1;
}
// Hardware reads ahead no further than the end of a page, and stalls there; rows are fetched a page early instead.
enum { FETCH_AHEAD = 4096 };
template <Type T> XATTN_INLINE void fetchAhead(const void *data, int64_t index, int64_t column) {
  if (column * sizeOf(T) % 64 == 0) XATTN_PREFETCH((const char *)at(data, T, index + column) + FETCH_AHEAD, 3);
}
template <Type T> XATTN_INLINE void loadInOrder(const void *data, int64_t index, int n, vec *x) {
  if constexpr (T == XATTN_BFLOAT16) {
    fromBfloats((const uint16_t *)data + index, n, x);
  } else {
    x[0] = loadAs(T, data, index, n);
  }
}
// Keys times queries: a Part is EACH elements of either, a Sum W partial sums.
template <Type T> struct Products {
  enum { EACH = vectorsOf<T>() * W };
  struct Part {
    vec x[vectorsOf<T>()];
  };
  typedef vec Sum;
  typedef float Query;

  static XATTN_INLINE Part key(const void *keys, int64_t index, int n) {
    Part part;
    loadInOrder<T>(keys, index, n, part.x);
    return part;
  }
  static XATTN_INLINE Part query(const float *q) {
    Part part;
    part.x[0] = load(q);
    if constexpr (vectorsOf<T>() == 2) part.x[1] = load(q + W);
    return part;
  }
  static XATTN_INLINE Sum none() { return broadcast(0.0f); }
  static XATTN_INLINE Sum add(Sum sum, const Part &x, const Part &y) {
    sum = fma(x.x[0], y.x[0], sum);
    if constexpr (vectorsOf<T>() == 2) sum = fma(x.x[1], y.x[1], sum);
    return sum;
  }
  static XATTN_INLINE vec total(Sum sum) { return sum; }

  // Puts a query, of which `padded` floats are there, into the order of the keys. Returns a factor for its scores.
  static XATTN_INLINE float prepare(float *q, int64_t padded) {
    for (int64_t k = 0; vectorsOf<T>() == 2 && k < padded; k += 2 * W) {
      float t[2 * W];
      for (int i = 0; i < 2 * W; i++) t[i] = q[k + i];
      for (int i = 0; i < W; i++) q[k + i] = t[2 * i], q[k + W + i] = t[2 * i + 1];
    }
    return 1;
  }
};

// int8 is multiplied in integers of 16 bits, to which the query is rounded: 2^-8 of the keys' own rounding.
template <> struct Products<XATTN_INT8> {
  enum { EACH = 2 * W };
  typedef shorts Part;
  typedef ints Sum;
  typedef int16_t Query;

  static XATTN_INLINE Part key(const void *keys, int64_t index, int n) {
    return widenBytes((const int8_t *)keys + index, n);
  }
  static XATTN_INLINE Part query(const int16_t *q) { return loadShorts(q); }
  static XATTN_INLINE Sum none() { return noInts(); }
  static XATTN_INLINE Sum add(Sum sum, Part x, Part y) { return addPairs(sum, x, y); }
  static XATTN_INLINE vec total(Sum sum) { return toFloats(sum); }

  static XATTN_NOINLINE float prepare(float *q, int64_t padded) {
    // No more than what keeps W sums of products with 127 within 32 bits.
    const float most = (float)smaller(32767, INT32_MAX / 127 / (padded / W));
    const float factor = scaleOf(XATTN_FLOAT32, q, padded, most);
    toShortRow(q, (int16_t *)q, factor, most, padded); // behind what is still to be read
    return factor;
  }
};

// Scores of N rows and n keys: s[r * CHUNK + j], up to a whole vector, where what is behind n says nothing. Queries lie
// `pitch` floats apart. D is 0, or d where that is known at compile time and keys are at least W: then the last W are
// whole, some of them once more, and key follows key without a look at how many are left.
template <int N, Type T, int D>
XATTN_NOINLINE void scoreKeys(const float *q, int64_t pitch, int64_t d, const void *keys, int64_t first, int64_t row,
                              int n, float *s) {
  typedef Products<T> P;
  enum { EACH = P::EACH, OWN = D > 0 ? D / EACH : 1 };
  // Beside N * KEYS sums there is room for one of either kind and for those of the kind that are fewer.
  enum { KEYS = N * STEP < REGISTERS ? STEP : STEP / 2, FEWER = N < KEYS && W >= 8 ? 1 : KEYS };
  enum { HELD = D == 0 ? FEWER : N > 3 ? 2 : 1 };
  const auto query = [&](int r, int64_t k)
                         XATTN_LAMBDA_INLINE { return P::query((const typename P::Query *)(q + r * pitch) + k); };
  typename P::Part own[N][OWN];
  XATTN_UNROLL for (int r = 0; r < N; r++) {
    XATTN_UNROLL for (int k = 0; k < OWN; k++) own[r][k] = query(r, k * EACH);
  }
  for (int next = 0; next < n; next += W) {
    const int j = D > 0 ? (int)smaller(next, n - W) : next;
    int64_t at = first + j * row;
    vec folds[N][W / STEP];
    const auto foldKeys = [&](int f) XATTN_LAMBDA_INLINE {
      int64_t key[STEP]; // behind the last one that is read again
      XATTN_UNROLL for (int i = 0; i < STEP; i++, at += row) {
        key[i] = D > 0 ? at : first + smaller(j + STEP * f + i, n - 1) * row;
      }
      typename P::Sum acc[N][STEP];
      XATTN_UNROLL for (int r = 0; r < N; r++) {
        XATTN_UNROLL for (int i = 0; i < STEP; i++) acc[r][i] = P::none();
      }
      // For some keys from the i-th on.
      const auto addProducts = [&](int i, int64_t k, int some) XATTN_LAMBDA_INLINE {
        typename P::Part x[HELD];
        XATTN_UNROLL for (int e = 0; e < HELD; e++) {
          x[e] = P::key(keys, key[i + e] + k, some);
          fetchAhead<T>(keys, key[i + e], k);
        }
        if constexpr (N > 1 && T == XATTN_FLOAT32) {
          XATTN_UNROLL for (int e = 0; e < HELD; e++) hold(x[e].x[0]);
        }
        XATTN_UNROLL for (int r = 0; r < N; r++) {
          typename P::Part y = D > 0 ? own[r][k / EACH] : query(r, k);
          if constexpr (HELD > 1 && T == XATTN_FLOAT32) hold(y.x[0]); // loads are fewer than keys times rows
          XATTN_UNROLL for (int e = 0; e < HELD; e++) acc[r][i + e] = P::add(acc[r][i + e], x[e], y);
        }
      };
      if constexpr (D > 0) { // one or two keys after the other, which memory likes best
        XATTN_UNROLL for (int i = 0; i < STEP; i += HELD) {
          XATTN_UNROLL for (int k = 0; k < D; k += EACH) addProducts(i, k, EACH);
        }
      } else {
        XATTN_UNROLL for (int start = 0; start < STEP; start += KEYS) {
          int64_t k = 0;
          for (; k + EACH <= d; k += EACH) {
            XATTN_UNROLL for (int i = start; i < start + KEYS; i += HELD) addProducts(i, k, EACH);
          }
          if (k < d) {
            XATTN_UNROLL for (int i = start; i < start + KEYS; i += HELD) addProducts(i, k, (int)(d - k));
          }
        }
      }
      XATTN_UNROLL for (int r = 0; r < N; r++) {
        vec total[STEP];
        XATTN_UNROLL for (int i = 0; i < STEP; i++) total[i] = P::total(acc[r][i]);
        folds[r][f] = foldFour(total);
      }
    };
    if constexpr (N <= 2) { // the code of more rows would be four times as long, and no faster
      XATTN_UNROLL for (int f = 0; f < W / STEP; f++) foldKeys(f);
    } else {
      for (int f = 0; f < W / STEP; f++) foldKeys(f);
    }
    XATTN_UNROLL for (int r = 0; r < N; r++) store(s + r * CHUNK + j, joinFolds(folds[r]));
  }
}

// One key's values times N probabilities. Carefully: leaving out what a row does not see, for 0 * NaN would be NaN.
// Attended keys weigh at least 2^-126.
template <int N, int C, Type T, bool CAREFUL>
XATTN_INLINE void addKey(vec (&acc)[N][C], const void *values, int64_t at, const float *s, int last) {
  enum { V = C % vectorsOf<T>() == 0 ? vectorsOf<T>() : 1, HELD = N < C ? V : C };
  vec e[N];
  XATTN_UNROLL for (int r = 0; r < N; r++) e[r] = broadcast(s + r * CHUNK);
  XATTN_UNROLL for (int v = 0; v < C; v += HELD) {
    vec x[HELD];
    XATTN_UNROLL for (int i = 0; i < HELD; i += V) {
      if constexpr (V == vectorsOf<T>()) {
        loadInOrder<T>(values, at + (v + i) * W, C == 1 ? last : V * W, x + i);
        fetchAhead<T>(values, at, (v + i) * W);
      } else {
        x[i] = loadAs(T, values, at, last);
      }
    }
    if constexpr (N > 1 && T == XATTN_FLOAT32) {
      XATTN_UNROLL for (int i = 0; i < HELD; i++) hold(x[i]);
    }
    XATTN_UNROLL for (int r = 0; r < N; r++) {
      if (CAREFUL && s[r * CHUNK] == 0) continue;
      XATTN_UNROLL for (int i = 0; i < HELD; i++) acc[r][v + i] = fma(e[r], x[i], acc[r][v + i]);
    }
  }
}

// o += p.v for C vectors of columns, the only one of them `last` lanes wide, and n keys. Keys are dealt to U
// accumulators to hide the latency of the multiply-add. They start from 0 and not from o: the rounding of one long sum
// of like numbers goes one way, and grows with its length.
template <int N, int C, int U, Type T, bool CAREFUL>
XATTN_INLINE void addColumns(const float *s, const void *values, int64_t at, int64_t row, int n, int last, float *o,
                             int64_t pitch) {
  vec acc[U][N][C];
  XATTN_UNROLL for (int u = 0; u < U; u++) {
    XATTN_UNROLL for (int r = 0; r < N; r++) {
      XATTN_UNROLL for (int v = 0; v < C; v++) acc[u][r][v] = broadcast(0.0f);
    }
  }
  int j = 0;
  for (; j + U <= n; j += U) {
    XATTN_UNROLL for (int u = 0; u < U; u++, at += row) addKey<N, C, T, CAREFUL>(acc[u], values, at, s + j + u, last);
  }
  for (; j < n; j++, at += row) addKey<N, C, T, CAREFUL>(acc[0], values, at, s + j, last);
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

// o += p.v for N rows of [N][pitch] and n keys. The careful form takes one vector of columns at a time and gives the
// same bits.
template <int N, Type T, bool CAREFUL>
XATTN_NOINLINE void addValues(const float *s, const void *values, int64_t first, int64_t row, int n, int64_t dv,
                              float *o, int64_t pitch) {
  // Beside the accumulators there is room for values and probabilities: one of either, and the rest of those that are
  // fewer.
  enum { ROOM = REGISTERS - (N > 1 ? 3 : 2), WIDE = powerUpTo4(ROOM / N), U = powerUpTo4(ROOM / (N * WIDE)) };
  enum { C = CAREFUL ? 1 : WIDE, WHOLE = 8 };
  int64_t c = 0;
  // Of one row that most models' dv fits: a stream is read faster in one go than in stripes.
  if constexpr (N == 1 && WIDE * W < 64) {
    enum { AT_ONCE = CAREFUL ? 1 : WHOLE, FEWER = powerUpTo4(ROOM / WHOLE) };
    for (const int64_t end = dv / (WHOLE * W) * (WHOLE * W); c < end; c += AT_ONCE * W) {
      addColumns<N, AT_ONCE, FEWER, T, CAREFUL>(s, values, first + c, row, n, W, o + c, pitch);
    }
  }
  for (; c + C * W <= dv; c += C * W) addColumns<N, C, U, T, CAREFUL>(s, values, first + c, row, n, W, o + c, pitch);
  for (; c < dv; c += W) {
    addColumns<N, 1, U, T, CAREFUL>(s, values, first + c, row, n, (int)smaller(W, dv - c), o + c, pitch);
  }
}
