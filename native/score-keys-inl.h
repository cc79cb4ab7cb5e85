// Scores of a few query rows, with lanes along d: rows of keys are read once for all.

enum { STEP = 4 }; // keys whose sums are folded together

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

// N query rows, `pitch` floats apart, against keys of one type. D is 0, or d where that is known at compile time.
template <int N, Type T, int D> struct Scorer {
  typedef Products<T> P;
  typedef typename P::Part Part;
  typedef typename P::Sum Sum;
  enum { EACH = P::EACH, PARTS = D > 0 ? D / EACH : 1 };
  // Beside N * KEYS sums there is room for one of either kind and for those of the kind that are fewer.
  enum { KEYS = N * STEP < REGISTERS ? STEP : STEP / 2, FEWER = N < KEYS && W >= 8 ? 1 : KEYS };
  // With D, queries are kept in registers where they fit. Else a part of them serves all STEP keys where their sums
  // do, or HELD keys.
  enum { OWNS = D > 0 && (N * PARTS) < REGISTERS, HELD = D == 0 ? FEWER : N > 3 && !OWNS ? 2 : 1 };
  enum { SHARES = D > 0 && !OWNS && HELD == 1 && N * (STEP + 1) < REGISTERS };
  // Memory likes keys best one after the other, or in twos. But a single row has one chain of products per key, which
  // takes longer than to read the key where that is a few bytes and vectors are short.
  enum { TURN = SHARES || (N == 1 && T != XATTN_FLOAT32 && W == 8) ? (int)STEP : (int)HELD };
  // Held, or a compiler may load float32 keys again for each row, and queries for each key.
  enum { HOLDS_KEYS = N > 1 && T == XATTN_FLOAT32, HOLDS_QUERIES = HELD > 1 && T == XATTN_FLOAT32 };

  const float *q;
  int64_t pitch, d, ahead;
  Part own[N][PARTS];

  XATTN_INLINE Scorer(const float *q, int64_t pitch, int64_t d, int64_t ahead)
      : q(q), pitch(pitch), d(d), ahead(ahead) {
    if constexpr (OWNS) {
      XATTN_UNROLL for (int r = 0; r < N; r++) {
        XATTN_UNROLL for (int k = 0; k < PARTS; k++) own[r][k] = query(r, k * EACH);
      }
    }
  }

  XATTN_INLINE Part query(int r, int64_t k) const {
    return P::query((const typename P::Query *)(q + r * (D > 0 ? D : pitch)) + k);
  }

  // One part of HELD keys from the i-th on, `some` elements of which are there.
  XATTN_INLINE void addPart(Sum (&acc)[N][STEP], const void *const (&key)[STEP], int i, int64_t k, int some) const {
    Part x[HELD];
    XATTN_UNROLL for (int e = 0; e < HELD; e++) {
      x[e] = P::key(key[i + e], k, some);
      fetchAhead<T>(key[i + e], k, ahead);
    }
    if constexpr (HOLDS_KEYS) {
      XATTN_UNROLL for (int e = 0; e < HELD; e++) hold(x[e].x[0]);
    }
    XATTN_UNROLL for (int r = 0; r < N; r++) {
      Part y = OWNS ? own[r][k / EACH] : query(r, k);
      if constexpr (HOLDS_QUERIES) hold(y.x[0]);
      XATTN_UNROLL for (int e = 0; e < HELD; e++) acc[r][i + e] = P::add(acc[r][i + e], x[e], y);
    }
  }

  XATTN_INLINE void addUnrolled(Sum (&acc)[N][STEP], const void *const (&key)[STEP]) {
    XATTN_UNROLL for (int start = 0; start < STEP; start += TURN) {
      if constexpr (!OWNS) XATTN_HERE(q);
      XATTN_UNROLL for (int k = 0; k < D; k += EACH) {
        XATTN_UNROLL for (int i = start; i < start + TURN; i += HELD) addPart(acc, key, i, k, EACH);
      }
    }
  }

  XATTN_INLINE void addLooped(Sum (&acc)[N][STEP], const void *const (&key)[STEP]) const {
    XATTN_UNROLL for (int start = 0; start < STEP; start += KEYS) {
      int64_t k = 0;
      for (; k + EACH <= d; k += EACH) {
        XATTN_UNROLL for (int i = start; i < start + KEYS; i += HELD) addPart(acc, key, i, k, EACH);
      }
      if (k < d) {
        XATTN_UNROLL for (int i = start; i < start + KEYS; i += HELD) addPart(acc, key, i, k, (int)(d - k));
      }
    }
  }

  // The sums of STEP keys, folded together into folds[r][f].
  XATTN_INLINE void foldKeys(const void *const (&key)[STEP], vec (&folds)[N][W / STEP], int f) {
    Sum acc[N][STEP];
    XATTN_UNROLL for (int r = 0; r < N; r++) {
      XATTN_UNROLL for (int i = 0; i < STEP; i++) acc[r][i] = P::none();
    }
    if constexpr (D > 0)
      addUnrolled(acc, key);
    else
      addLooped(acc, key);
    XATTN_UNROLL for (int r = 0; r < N; r++) {
      vec total[STEP];
      XATTN_UNROLL for (int i = 0; i < STEP; i++) total[i] = P::total(acc[r][i]);
      folds[r][f] = foldFour(total);
    }
  }
};

// Scores of N rows and n keys go to use(scores, j), those of W keys from the j-th on at a time; what is behind n says
// nothing. With D, n is whole vectors.
template <int N, Type T, int D, class F>
XATTN_NOINLINE void scoreKeys(const float *q, int64_t pitch, int64_t d, const void *keys, int64_t first, int64_t row,
                              int n, int64_t ahead, const F &use) {
  Scorer<N, T, D> scorer(q, pitch, d, ahead);
  int64_t index = first;
  for (int j = 0; j < n; j += W) {
    vec folds[N][W / STEP];
    const auto foldNext = [&](int f) XATTN_LAMBDA_INLINE {
      const void *key[STEP]; // behind the last one that is read again
      XATTN_UNROLL for (int i = 0; i < STEP; i++, index += row) {
        key[i] = at(keys, T, D > 0 ? index : first + smaller(j + STEP * f + i, n - 1) * row);
        XATTN_HERE(key[i]); // or there is one more pointer for each of its columns
      }
      scorer.foldKeys(key, folds, f);
    };
    if constexpr (N <= 2) { // the code of more rows would be four times as long, and no faster
      XATTN_UNROLL for (int f = 0; f < W / STEP; f++) foldNext(f);
    } else {
      for (int f = 0; f < W / STEP; f++) foldNext(f);
    }
    vec scores[N];
    XATTN_UNROLL for (int r = 0; r < N; r++) scores[r] = joinFolds(folds[r]);
    use(scores, j);
  }
}
