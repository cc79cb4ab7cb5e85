// Few queries: one decoder step, beams over one memory, the query heads that share a key head. Keys and values are read
// once for all rows, as two long streams, with lanes along d and dv: all keys of a chunk, softmax, all values of it.

enum { DECODE_ROWS = W < 8 ? 3 : W < 16 ? 6 : 8, CHUNK = 1024, VALUE_BLOCK = 64 };

struct Decode {
  enum { R = DECODE_ROWS, TOGETHER = 1, LANES = (R + W - 1) / W * W };

  const Problem *p;
  Units units;
  Rows rows;
  Row row[R];
  int64_t dPadded, dvPadded;
  float *q;                 // [R][dPadded], times scale, zeros behind d
  float *s;                 // [R][CHUNK]: scores, then probabilities
  float *o;                 // [R][dvPadded]
  float m[LANES], l[LANES]; // reference and sum
  bool careful;             // masked values may be NaN or infinite: leave them out of p.v

  static size_t scratchBytes(const Problem *p) {
    return (size_t)(R * (ceilDivide(p->d, W) * W + CHUNK + ceilDivide(p->dv, W) * W)) * sizeof(float);
  }

  void begin(const Problem *problem, int64_t group, int64_t first, void *scratch) {
    p = problem;
    rows = layOut(p, group, first, R, row);
    dPadded = ceilDivide(p->d, W) * W, dvPadded = ceilDivide(p->dv, W) * W;
    q = (float *)scratch, s = q + R * dPadded, o = s + R * CHUNK;
    units = naturalUnits();
    const vec scale = broadcast(p->scale);
    for (int r = 0; r < rows.count; r++) {
      for (int64_t k = 0; k < p->d; k += W) {
        const vec x = loadAs(p->query.type, p->query.data, row[r].query + k, (int)smaller(W, p->d - k));
        store(q + r * dPadded + k, mul(x, scale));
      }
    }
    int most = 1;
    while (most < rows.count) most = moreRows(most);
    for (int64_t i = rows.count * dPadded; i < most * dPadded; i += W) store(q + i, broadcast(0.0f));
  }

  // There are instances for 1, 2, 4, ... and R rows; the smallest that holds the rows serves, with zeros behind them.
  static constexpr int moreRows(int n) { return 2 * n < R ? 2 * n : R; }

  // Scores of N rows: W / N keys at a time, so that one reduction gives a full vector of sums.
  // D is d where that is known at compile time, else 0.
  template <int N, Type T, int D> XATTN_NOINLINE void scoreKeys(int64_t key, int n) {
    enum { KEYS = W / N > 0 ? W / N : 1 };
    for (int j = 0; j < n; j += KEYS) {
      vec acc[KEYS * N > W ? KEYS * N : W];
      XATTN_UNROLL for (int i = 0; i < W; i++) acc[i] = broadcast(0.0f);
      XATTN_UNROLL for (int i = 0; i < KEYS; i++) {
        // Behind the last key the last one is read again, and its score dropped.
        const int64_t at = rows.key + (key + (j + i < n ? j + i : n - 1)) * p->key.row;
        if constexpr (D > 0) {
          XATTN_UNROLL for (int k = 0; k < D; k += W) addProducts<N, T>(acc + i, KEYS, at, k, W);
        } else {
          for (int64_t k = 0; k < p->d; k += W) addProducts<N, T>(acc + i, KEYS, at, k, (int)smaller(W, p->d - k));
        }
      }
      float total[W];
      store(total, sums(acc));
      const int some = n - j < KEYS ? n - j : KEYS;
      for (int r = 0; r < N; r++) {
        for (int i = 0; i < some; i++) s[r * CHUNK + j + i] = total[r * KEYS + i];
      }
    }
  }

  // One vector of a key times that of N queries.
  template <int N, Type T> XATTN_INLINE void addProducts(vec *acc, int step, int64_t at, int64_t k, int n) {
    const vec x = loadAs(T, p->key.data, at + k, n);
    XATTN_UNROLL for (int r = 0; r < N; r++) acc[r * step] = fma(x, load(q + r * dPadded + k), acc[r * step]);
  }

  // o += p.v for N rows, C vectors of columns from c on (the last of them `last` lanes wide) and n keys from j on. Keys
  // are dealt to U accumulators to hide the latency of the multiply-add. They start from 0 and not from o: the rounding
  // of one long sum of like numbers goes one way, and grows with its length.
  template <int N, int C, int U, Type T, bool CAREFUL>
  XATTN_INLINE void addColumns(int64_t key, int j, int n, int64_t c, int last) {
    vec acc[U][N][C];
    XATTN_UNROLL for (int r = 0; r < N; r++) {
      XATTN_UNROLL for (int v = 0; v < C; v++) {
        XATTN_UNROLL for (int u = 0; u < U; u++) acc[u][r][v] = broadcast(0.0f);
      }
    }
    int64_t at = rows.value + (key + j) * p->value.row + c;
    int i = j;
    for (; i + U <= j + n; i += U) {
      XATTN_UNROLL for (int u = 0; u < U; u++, at += p->value.row) addKey<N, C, T, CAREFUL>(acc[u], at, i + u, last);
    }
    for (; i < j + n; i++, at += p->value.row) addKey<N, C, T, CAREFUL>(acc[0], at, i, last);
    XATTN_UNROLL for (int r = 0; r < N; r++) {
      XATTN_UNROLL for (int v = 0; v < C; v++) {
        vec total = acc[0][r][v];
        XATTN_UNROLL for (int u = 1; u < U; u++) total = add(total, acc[u][r][v]);
        store(o + r * dvPadded + c + v * W, add(load(o + r * dvPadded + c + v * W), total));
      }
    }
  }

  // Carefully: leaving out what a row does not see, for 0 * NaN would be NaN. Attended keys weigh at least 2^-126.
  template <int N, int C, Type T, bool CAREFUL>
  XATTN_INLINE void addKey(vec (&acc)[N][C], int64_t at, int j, int last) {
    vec x[C];
    XATTN_UNROLL for (int v = 0; v < C; v++) x[v] = loadAs(T, p->value.data, at + v * W, v == C - 1 ? last : W);
    XATTN_UNROLL for (int r = 0; r < N; r++) {
      if (CAREFUL && s[r * CHUNK + j] == 0) continue;
      const vec e = broadcast(s + r * CHUNK + j);
      XATTN_UNROLL for (int v = 0; v < C; v++) acc[r][v] = fma(e, x[v], acc[r][v]);
    }
  }

  static constexpr int atMost4(int n) { return n >= 4 ? 4 : n >= 2 ? 2 : 1; }

  // The careful form takes one vector of columns at a time and gives the same bits.
  template <int N, Type T, bool CAREFUL> XATTN_NOINLINE void addValues(int64_t key, int n) {
    enum { ROOM = REGISTERS * 3 / 4 }; // accumulators
    enum { WIDE = atMost4(ROOM / N), U = atMost4(ROOM / (N * WIDE)), C = CAREFUL ? 1 : WIDE };
    for (int j = 0; j < n; j += VALUE_BLOCK) {
      const int some = n - j < VALUE_BLOCK ? n - j : VALUE_BLOCK;
      int64_t c = 0;
      for (; c + C * W <= p->dv; c += C * W) addColumns<N, C, U, T, CAREFUL>(key, j, some, c, W);
      for (; c < p->dv; c += W) addColumns<N, 1, U, T, CAREFUL>(key, j, some, c, (int)smaller(W, p->dv - c));
    }
  }

  // The factors of int8 rows go into scores and probabilities, one of each, not into every element. A probability of 0
  // stays 0 where the factor is NaN.
  XATTN_NOINLINE void applyScales(const float *scales, int n, bool probabilities) {
    for (int r = 0; r < rows.count; r++) {
      for (int j = 0; j < n; j += W) {
        float *at = s + r * CHUNK + j;
        const vec x = load(at), scale = loadAs(XATTN_FLOAT32, scales, j, (int)smaller(W, n - j));
        store(at, probabilities ? weightOf(x, scale) : mul(x, scale));
      }
    }
  }

  template <int N, Type T> XATTN_INLINE void scoreKeysOf(int64_t key, int n) {
    // Most models' d, where each key is read for one query or two, or the code would grow by half; and not in plain
    // C++.
    enum { D = N <= (T == XATTN_FLOAT32 ? 2 : 1) && W + REGISTERS > 20 ? 64 : 0 };
    if (p->d == 64)
      scoreKeys<N, T, D>(key, n);
    else
      scoreKeys<N, T, 0>(key, n);
  }
  template <int N> XATTN_INLINE void scoreRows(int64_t key, int n) {
    if (p->key.type == XATTN_FLOAT32)
      scoreKeysOf<N, XATTN_FLOAT32>(key, n);
    else if (p->key.type == XATTN_FLOAT16)
      scoreKeysOf<N, XATTN_FLOAT16>(key, n);
    else if (p->key.type == XATTN_BFLOAT16)
      scoreKeysOf<N, XATTN_BFLOAT16>(key, n);
    else
      scoreKeysOf<N, XATTN_INT8>(key, n);
  }
  template <int N, Type T> XATTN_INLINE void addValuesOf(int64_t key, int n) {
    // int8 has no NaN and no infinity but in its factors, which do not meet a probability of 0.
    if (T != XATTN_INT8 && careful)
      addValues<N, T, T != XATTN_INT8>(key, n);
    else
      addValues<N, T, false>(key, n);
  }
  template <int N> XATTN_INLINE void addRows(int64_t key, int n) {
    if (p->value.type == XATTN_FLOAT32)
      addValuesOf<N, XATTN_FLOAT32>(key, n);
    else if (p->value.type == XATTN_FLOAT16)
      addValuesOf<N, XATTN_FLOAT16>(key, n);
    else if (p->value.type == XATTN_BFLOAT16)
      addValuesOf<N, XATTN_BFLOAT16>(key, n);
    else
      addValuesOf<N, XATTN_INT8>(key, n);
  }

  // Calls the instance for as many rows as there are.
  template <int N> XATTN_INLINE void forRows(int64_t key, int n, bool values) {
    if constexpr (N <= R) {
      if (N < R && rows.count > N) return forRows < N < R ? moreRows(N) : R + 1 > (key, n, values);
      if (values)
        addRows<N>(key, n);
      else
        scoreRows<N>(key, n);
    }
  }

  XATTN_INLINE void scoreChunk(int64_t key, int n) {
    forRows<1>(key, n, false);
    if (p->key.type == XATTN_INT8) applyScales(scalesOf(p->key, rows.key) + key, n, false);
  }

  // Final scores of a row, -infinity where it does not see the key. Returns their maximum.
  XATTN_NOINLINE float adjust(int r, int64_t key, int n) {
    const vec lo = broadcast((float)bigger(0, smaller(n, row[r].lo - key)));
    const vec hi = broadcast((float)bigger(0, smaller(n, row[r].hi - key)));
    const vec slope = broadcast(row[r].slope), position = broadcast((float)(row[r].position - key));
    float counts[W];
    for (int i = 0; i < W; i++) counts[i] = (float)i;
    vec top = broadcast(-INFINITE);
    for (int j = 0; j < n; j += W) {
      const vec index = add(load(counts), broadcast((float)j));
      vec b = broadcast(0.0f);
      if (p->mask.data) b = biasOf(&p->mask, row[r].mask + (key + j) * p->mask.key, (int)smaller(W, n - j));
      const vec x = within(biased(p, load(s + r * CHUNK + j), slope, position, index, b), index, lo, hi);
      store(s + r * CHUNK + j, x);
      top = max(x, top);
    }
    return largest(top);
  }

  // A row's final scores become probabilities under its reference, which rises to their maximum.
  XATTN_NOINLINE void exponentiate(int r, int n, float top) {
    if (top > m[r] || l[r] == 0) {
      const float reference = l[r] == 0 ? (top > -INFINITE ? top : 0.0f) : top;
      const float factor = l[r] == 0 ? 0.0f : first(exp2(broadcast((m[r] - reference) * units.log2)));
      m[r] = reference, l[r] *= factor;
      for (int64_t c = 0; c < dvPadded; c += W)
        store(o + r * dvPadded + c, mul(load(o + r * dvPadded + c), broadcast(factor)));
    }
    vec total = broadcast(0.0f);
    for (int j = 0; j < n; j += W) {
      const vec e = probability(load(s + r * CHUNK + j), broadcast(m[r]), units);
      store(s + r * CHUNK + j, e);
      total = add(total, e);
    }
    l[r] += sum(total);
  }

  void attend(int64_t from, int64_t to, bool carefully) {
    careful = carefully;
    for (int r = 0; r < LANES; r++) m[r] = l[r] = 0;
    for (int64_t i = 0; i < R * dvPadded; i++) o[i] = 0;
    to = smaller(to, rows.hi);
    for (int64_t key = bigger(from, rows.lo); key < to; key += CHUNK) {
      const int n = (int)smaller(CHUNK, to - key);
      scoreChunk(key, n);
      for (int r = 0; r < rows.count; r++) exponentiate(r, n, adjust(r, key, n));
      if (p->value.type == XATTN_INT8) applyScales(scalesOf(p->value, rows.value) + key, n, true);
      forRows<1>(key, n, true);
    }
  }

  // o - o is 0 but for NaN and infinities.
  bool isFinite() {
    for (int64_t i = 0; i < rows.count * dvPadded; i++) {
      if (!(o[i] - o[i] == 0)) return false;
    }
    return true;
  }

  // o times a factor per row; row r goes to element index[r] of data.
  void unpack(const float *factor, Type type, void *data, const int64_t *index) {
    for (int r = 0; r < rows.count; r++) {
      for (int64_t c = 0; c < p->dv; c += W) {
        const vec x = mul(load(o + r * dvPadded + c), broadcast(factor[r]));
        storeAs(type, data, index[r] + c, x, (int)smaller(W, p->dv - c));
      }
    }
  }
};
