// Rows of keys or values read once for a few query rows, with lanes along d or dv.

// Keys whose scores are held at a time, and floats from a row of them to the next, so that rows do not meet in the same
// sets of a cache; query rows that are served by one read of keys and of values (their sums stay in registers), and
// keys whose sums are folded together.
enum { CHUNK = 2048, PITCH = CHUNK + 16, BATCH = W < 8 ? 3 : W < 16 ? 5 : 6, STEP = 4 };

// bfloat16 is read two vectors at a time, the even ones of 2 W first, which saves half of the work.
template <Type T> constexpr int vectorsOf() {
  return T == XATTN_BFLOAT16 ? 2 : 1;
}
// The line of a row's column, `ahead` bytes behind it. gcc would gather the fetches of several rows before their loads,
// which costs a tenth of the bandwidth.
template <Type T> XATTN_INLINE void fetchAhead(const void *row, int64_t column, int64_t ahead) {
  if (column * sizeOf(T) % 64 != 0) return;
  XATTN_PREFETCH((const char *)at(row, T, column) + ahead, XATTN_FIRST_LEVEL);
  XATTN_ORDER();
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

// Scores of N rows and n keys go to use(scores, j), those of W keys from the j-th on at a time; what is behind n says
// nothing. Queries lie `pitch` floats apart. D is 0, or d where that is known at compile time and n is whole vectors.
template <int N, Type T, int D, class F>
XATTN_NOINLINE void scoreKeys(const float *q, int64_t pitch, int64_t d, const void *keys, int64_t first, int64_t row,
                              int n, int64_t ahead, const F &use) {
  typedef Products<T> P;
  enum { EACH = P::EACH, PARTS = D > 0 ? D / EACH : 1 };
  // Beside N * KEYS sums there is room for one of either kind and for those of the kind that are fewer.
  enum { KEYS = N * STEP < REGISTERS ? STEP : STEP / 2, FEWER = N < KEYS && W >= 8 ? 1 : KEYS };
  // With D, queries are kept in registers where they fit. Else a part of them serves all STEP keys where their sums
  // do, or HELD keys.
  enum { OWNS = D > 0 && N * PARTS < REGISTERS, HELD = D == 0 ? FEWER : N > 3 && !OWNS ? 2 : 1 };
  enum { SHARES = D > 0 && !OWNS && HELD == 1 && N * (STEP + 1) < REGISTERS };
  const auto query = [&](int r, int64_t k) XATTN_LAMBDA_INLINE {
    return P::query((const typename P::Query *)(q + r * (D > 0 ? D : pitch)) + k);
  };
  typename P::Part own[N][PARTS];
  if constexpr (OWNS) {
    XATTN_UNROLL for (int r = 0; r < N; r++) {
      XATTN_UNROLL for (int k = 0; k < PARTS; k++) own[r][k] = query(r, k * EACH);
    }
  }
  int64_t index = first;
  for (int j = 0; j < n; j += W) {
    vec folds[N][W / STEP];
    const auto foldKeys = [&](int f) XATTN_LAMBDA_INLINE {
      const void *key[STEP]; // behind the last one that is read again
      XATTN_UNROLL for (int i = 0; i < STEP; i++, index += row) {
        key[i] = at(keys, T, D > 0 ? index : first + smaller(j + STEP * f + i, n - 1) * row);
        XATTN_HERE(key[i]); // or there is one more pointer for each of its columns
      }
      typename P::Sum acc[N][STEP];
      XATTN_UNROLL for (int r = 0; r < N; r++) {
        XATTN_UNROLL for (int i = 0; i < STEP; i++) acc[r][i] = P::none();
      }
      // For some keys from the i-th on.
      const auto addProducts = [&](int i, int64_t k, int some) XATTN_LAMBDA_INLINE {
        typename P::Part x[HELD];
        XATTN_UNROLL for (int e = 0; e < HELD; e++) {
          x[e] = P::key(key[i + e], k, some);
          fetchAhead<T>(key[i + e], k, ahead);
        }
        if constexpr (N > 1 && T == XATTN_FLOAT32) {
          XATTN_UNROLL for (int e = 0; e < HELD; e++) hold(x[e].x[0]);
        }
        XATTN_UNROLL for (int r = 0; r < N; r++) {
          typename P::Part y = OWNS ? own[r][k / EACH] : query(r, k);
          if constexpr (HELD > 1 && T == XATTN_FLOAT32) hold(y.x[0]); // loads are fewer than keys times rows
          XATTN_UNROLL for (int e = 0; e < HELD; e++) acc[r][i + e] = P::add(acc[r][i + e], x[e], y);
        }
      };
      if constexpr (SHARES) {
        XATTN_HERE(q);
        XATTN_UNROLL for (int k = 0; k < D; k += EACH) {
          XATTN_UNROLL for (int i = 0; i < STEP; i += HELD) addProducts(i, k, EACH);
        }
      } else if constexpr (D > 0) { // one or two keys after the other, which memory likes best
        XATTN_UNROLL for (int i = 0; i < STEP; i += HELD) {
          if constexpr (!OWNS) XATTN_HERE(q);
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
    vec scores[N];
    XATTN_UNROLL for (int r = 0; r < N; r++) scores[r] = joinFolds(folds[r]);
    use(scores, j);
  }
}

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
