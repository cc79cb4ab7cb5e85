// Many queries: scores are computed transposed. SIMD lanes are query rows, so keys and values are read where they lie,
// one scalar broadcast at a time, and odd d, dv and tk need no masks; only queries are transposed in and outputs out.
//
// Softmax runs online over blocks of keys (Milakov and Gimelshein 2018, arXiv:1805.02867; Dao et al. 2022,
// arXiv:2205.14135). m is a reference, not the exact maximum: it moves only when a score exceeds it by more than
// HEADROOM, so that o is rarely rescaled.

template <int NV, int KR> struct Tile : Scores {
  enum { R = NV * W, TOGETHER = 4, BLOCK = KEY_BLOCK / KR * KR, SHARED = 4 * KEY_BLOCK };

  float *q; // [d, and W more][R], times scale, in the units of the scores
  float *o; // [dv, padded to W][R]
  Prefetch ahead;
  Converted *keys, *values; // to float32, where they are not
  Converted ownKeys, ownValues;
  void (*block)(Tile *, int64_t key, int n, bool open);
  int step;     // blocks have a multiple of so many keys, but for the last
  bool started; // o holds something of this call
  bool careful; // masked values may be NaN or infinite: leave them out of p.v

  static size_t scratchBytes(const Problem *p) {
    int64_t padded = ceilDivide(p->dv, W) * W + W;
    return (size_t)((p->d + W) * R + padded * R + 2 * (BLOCK + W) * R + (BLOCK + 1) * (p->d + p->dv)) * sizeof(float);
  }

  // Bytes for keys and values that tiles share.
  static size_t sharedBytes(const Problem *p) { return (size_t)(SHARED * (p->d + p->dv)) * sizeof(float); }

  static void *sharedValues(const Problem *p, void *shared) { return (float *)shared + SHARED * p->d; }

  // Converts n <= SHARED keys for all that share them.
  void share(int64_t key, int n) {
    if (p->key.type != XATTN_FLOAT32) toFloats(p->key, rows.key, p->d, key, n, keys);
    if (p->value.type != XATTN_FLOAT32) toFloats(p->value, rows.value, p->dv, key, n, values);
  }

  XATTN_NOINLINE void begin(const Problem *problem, int64_t group, int64_t first, void *scratch) {
    p = problem;
    width = R;
    units = unitsOf(p);
    block = floatBlock, step = KR;
    layOut(p, group, first, R, row, &rows);
    q = (float *)scratch;
    o = q + (p->d + W) * R;
    s = o + (ceilDivide(p->dv, W) * W + W) * R;
    bias = s + (BLOCK + W) * R;
    ownKeys = {bias + (BLOCK + W) * R, 0, 0};
    ownValues = {(float *)ownKeys.data + BLOCK * p->d, 0, 0};
    keys = &ownKeys, values = &ownValues;
    packRows(p->query, row, R, rows.count, p->d, p->scale * (LOG2E / units.log2), q);
    ahead.begin(p, rows, row, group, first, ceilDivide(p->tk, BLOCK) * ceilDivide(p->dv, KR), q);
  }

  // Moves the reference to the maximum of the scores, peak, where that is above it or the row had no key yet (l == 0):
  // what was summed up before is exp2(new - old) too large. The first `done` rows of s hold probabilities already.
  XATTN_NOINLINE void moveReference(int done) {
    for (int v = 0; v < R; v += W) {
      const vec old = load(m + v), top = load(peak + v);
      const lanes first = equal(load(l + v), broadcast(0.0f)), seen = less(broadcast(-INFINITE), top);
      const vec reference = select(first, select(seen, top, old), max(top, old));
      const vec factor = select(first, broadcast(0.0f), exp2(mul(sub(old, reference), broadcast(units.log2))));
      store(m + v, reference);
      store(l + v, mul(load(l + v), factor));
      for (int j = 0; j < done; j++) store(s + j * R + v, mul(load(s + j * R + v), factor));
      if (!started) continue;
      for (int64_t c = 0; c < p->dv; c++) store(o + c * R + v, mul(load(o + c * R + v), factor));
    }
  }

  // Scores of N keys less their reference: the accumulators start at -m, so that scores leave the multiply-adds ready
  // for exp2; in a masked block at -m or -infinity. False: one exceeds the reference by more than HEADROOM, or is the
  // first that its row sees.
  template <int N, bool MASKED, class E>
  XATTN_INLINE bool relativeScores(vec (&acc)[N][NV], const E *k, int64_t stride, int j) {
    XATTN_UNROLL for (int v = 0; v < NV; v++) {
      XATTN_UNROLL for (int r = 0; r < N; r++) acc[r][v] = sub(biasAt<MASKED>(j + r, v), load(m + v * W));
    }
    multiplyKeys<N>(acc, k, stride);
    const vec headroom = broadcast(HEADROOM), none = broadcast(-INFINITE);
    lanes over = less(none, none);
    XATTN_UNROLL for (int v = 0; v < NV; v++) {
      vec top = none; // what is hidden may be NaN, which max() passes over
      XATTN_UNROLL for (int r = 0; r < N; r++) top = max(acc[r][v], top);
      over = either(over, less(headroom, top));
      const lanes fresh = equal(load(l + v * W), broadcast(0.0f));
      if (MASKED && any(fresh)) over = either(over, both(fresh, seesAny(j, N, v)));
    }
    return !any(over);
  }

  // Rows of a masked block that see one of n keys, whatever its score.
  XATTN_INLINE lanes seesAny(int j, int n, int v) {
    vec top = broadcast(-INFINITE);
    for (int r = 0; r < n; r++) top = max(biasAt<true>(j + r, v), top);
    return less(broadcast(-INFINITE), top);
  }

  // What a boolean mask adds to the scores of key j of a block.
  template <bool MASKED> XATTN_INLINE vec biasAt(int j, int v) {
    if (!MASKED) return broadcast(0.0f);
    return rows.sameMask ? broadcast(bias + j) : load(bias + j * R + v * W);
  }

  // The reference rises to the raw scores of n keys in s. Where all that a row sees overflowed to -infinity, it becomes
  // a low one that every other score exceeds: a row whose sum is not 0 keeps the one it has.
  template <bool MASKED> XATTN_NOINLINE void raiseReference(int j, int n) {
    const vec none = broadcast(-INFINITE), low = broadcast(-LARGEST / 2);
    for (int v = 0; v < NV; v++) {
      vec top = none;
      for (int r = 0; r < n; r++) top = max(load(s + (j + r) * R + v * W), top);
      lanes overflowed = equal(top, none);
      if (MASKED) overflowed = both(overflowed, seesAny(j, n, v));
      store(peak + v * W, select(overflowed, low, top));
    }
    moveReference(j);
  }

  // Raw scores of n keys in s become relative to the reference. They are computed again under it, for they have lost
  // the digits that it has more; but not the first, nor scores so large that rounding alone exceeds the reference.
  template <bool MASKED> XATTN_NOINLINE void relate(const float *k, int64_t stride, int j, int n, bool first) {
    float again[KR * R];
    bool ready = !first;
    for (int r = 0; r < n && ready; r++) {
      vec acc[1][NV];
      ready = relativeScores<1, MASKED>(acc, k + r * stride, stride, j + r);
      storeScores<1>(again + r * R, acc);
    }
    for (int r = 0; r < n; r++) {
      for (int v = 0; v < R; v += W) {
        float *at = s + (j + r) * R + v;
        store(at, ready ? load(again + r * R + v) : sub(load(at), load(m + v)));
      }
    }
  }

  // Probabilities of N keys, from the keys at k into row j of s. The very first set the reference.
  template <int N, bool MASKED> XATTN_NOINLINE void openKeys(const float *k, int64_t stride, int j, bool first) {
    float *to = s + j * R;
    vec acc[N][NV];
    if (XATTN_UNLIKELY((first || !relativeScores<N, MASKED>(acc, k, stride, j)))) {
      rawKeys<N>(k, stride, j, MASKED);
      raiseReference<MASKED>(j, N);
      relate<MASKED>(k, stride, j, N, first);
      XATTN_UNROLL for (int r = 0; r < N; r++) {
        XATTN_UNROLL for (int v = 0; v < NV; v++) acc[r][v] = load(to + r * R + v * W);
      }
    }
    // With 16 registers the scores leave them before exp2, which wants some.
    if (REGISTERS < 32) storeScores<N>(to, acc);
    XATTN_UNROLL for (int v = 0; v < NV; v++) {
      vec total = broadcast(0.0f);
      XATTN_UNROLL for (int r = 0; r < N; r++) {
        const vec x = REGISTERS < 32 ? load(to + r * R + v * W) : acc[r][v];
        const lanes hidden = equal(biasAt<MASKED>(j + r, v), broadcast(-INFINITE));
        const vec e = MASKED ? select(hidden, broadcast(0.0f), exp2(x)) : exp2(x);
        store(to + r * R + v * W, e);
        total = add(total, e);
      }
      store(l + v * W, add(load(l + v * W), total));
    }
  }

  template <int N> XATTN_INLINE void storeScores(float *to, const vec (&acc)[N][NV]) {
    XATTN_UNROLL for (int r = 0; r < N; r++) {
      XATTN_UNROLL for (int v = 0; v < NV; v++) store(to + r * R + v * W, acc[r][v]);
    }
  }

  template <int N, class E> XATTN_INLINE void multiplyKeys(vec (&acc)[N][NV], const E *k, int64_t stride) {
    // Tiles would lose more of the first level to keys and values than they gain.
    enum { STEP = Step<E>::ELEMENTS, LEVEL = XATTN_SECOND_LEVEL };
    multiply<LEVEL, NV, N>(acc, k, stride, STEP, q, ceilDivide(p->d, STEP), ahead.own);
  }

  // Scores of N keys, as they are but for the mask.
  template <int N, class E> XATTN_NOINLINE void rawKeys(const E *k, int64_t stride, int j, bool masked) {
    vec acc[N][NV];
    XATTN_UNROLL for (int r = 0; r < N; r++) {
      XATTN_UNROLL for (int v = 0; v < NV; v++) {
        acc[r][v] = masked ? biasAt<true>(j + r, v) : broadcast(0.0f);
      }
    }
    multiplyKeys<N>(acc, k, stride);
    storeScores<N>(s + j * R, acc);
  }

  // N columns of the output: o += p.v over n steps of keys. Each block is summed up by itself, as l is by each few
  // keys: the rounding of one long sum of like numbers goes one way, and grows with its length.
  template <int N, class E> XATTN_NOINLINE void valueColumns(const E *v0, int64_t stride, int n, int64_t column) {
    enum { STEP = Step<E>::ELEMENTS };
    float *to = o + column * R;
    vec acc[N][NV];
    XATTN_UNROLL for (int r = 0; r < N; r++) {
      XATTN_UNROLL for (int v = 0; v < NV; v++) acc[r][v] = broadcast(0.0f);
    }
    multiply<XATTN_FIRST_LEVEL, NV, N>(acc, v0 + column * STEP, STEP, stride, s, n, ahead.take(n));
    XATTN_UNROLL for (int r = 0; r < N; r++) {
      XATTN_UNROLL for (int v = 0; v < NV; v++) {
        float *at = to + r * R + v * W;
        store(at, started ? add(load(at), acc[r][v]) : acc[r][v]);
      }
    }
  }

  // The same, leaving out what a row does not see: 0 * NaN would be NaN. Attended keys weigh at least 2^-126.
  XATTN_NOINLINE void valueColumnCarefully(const float *v0, int64_t stride, int n, int64_t column) {
    for (int v = 0; v < R; v += W) {
      vec acc = broadcast(0.0f);
      for (int j = 0; j < n; j++) {
        const vec e = load(s + j * R + v);
        acc = select(equal(e, broadcast(0.0f)), acc, fma(e, broadcast(v0 + j * stride + column), acc));
      }
      float *at = o + column * R + v;
      store(at, started ? add(load(at), acc) : acc);
    }
  }

  // A block of probabilities goes into o.
  XATTN_INLINE void addValues(int64_t key, int n) {
    int64_t stride;
    const float *v = asFloats(p->value, rows.value, p->dv, key, n, values, &stride);
    if (careful) {
      for (int64_t c = 0; c < p->dv; c++) valueColumnCarefully(v, stride, n, c);
    } else {
      inSteps<KR>((int)p->dv, [&](auto count, int column) XATTN_LAMBDA_INLINE {
        this->template valueColumns<decltype(count)::value>(v, stride, n, column);
      });
    }
    started = true;
  }

  // A block that every row sees as it is but for keys that a boolean mask takes away.
  template <bool MASKED> XATTN_INLINE void openBlock(int64_t key, int n) {
    int64_t stride;
    const float *k = asFloats(p->key, rows.key, p->d, key, n, keys, &stride);
    const bool fresh = !started && !MASKED;
    const auto step = [&](auto count, int j) XATTN_LAMBDA_INLINE {
      ahead.step(p, rows, key + j, decltype(count)::value);
      this->template openKeys<decltype(count)::value, MASKED>(k + j * stride, stride, j, fresh && j == 0);
    };
    if constexpr (MASKED)
      inWholeSteps<KR>(n, step);
    else
      inSteps<KR>(n, step);
    addValues(key, n);
  }

  // A block that some rows do not see as it is.
  XATTN_NOINLINE void generalBlock(int64_t key, int n) {
    int64_t stride;
    const float *k = asFloats(p->key, rows.key, p->d, key, n, keys, &stride);
    inSteps<KR>(n, [&](auto count, int j) XATTN_LAMBDA_INLINE {
      ahead.step(p, rows, key + j, decltype(count)::value);
      this->template rawKeys<decltype(count)::value>(k + j * stride, stride, j, false);
    });
    weighBlock(key, n, false);
    addValues(key, n);
  }

  // Raw scores of a block become probabilities; `open`: every row sees them as they are.
  XATTN_INLINE void weighBlock(int64_t key, int n, bool open) {
    if (open)
      findPeaks(n);
    else
      adjust(key, n);
    if (mustMove()) moveReference(0);
    exponentiate(n);
  }

  void blocks(int64_t from, int64_t to, bool open) {
    if (from >= to) return;
    const int64_t count = ceilDivide(to - from, BLOCK);
    const int each = (int)(ceilDivide(ceilDivide(to - from, count), step) * step);
    for (int64_t key = from; key < to; key += each) {
      const int n = (int)smaller(each, to - key);
      if (open || !p->mask.data || readMask(key, n)) block(this, key, n, open);
    }
  }

  static void floatBlock(Tile *t, int64_t key, int n, bool open) {
    if (open)
      t->openBlock<false>(key, n);
    else if (isBoolean(t->p) && key >= t->rows.allLo && key + n <= t->rows.allHi)
      t->openBlock<true>(key, n);
    else
      t->generalBlock(key, n);
  }

  // m, l and o over keys from .. to.
  void attend(int64_t from, int64_t to, bool carefully) {
    start(carefully);
    pass(from, to);
    end();
  }

  void start(bool carefully) {
    careful = carefully;
    started = false;
    for (int r = 0; r < R; r++) m[r] = l[r] = 0;
  }

  void end() {
    if (!started) clear();
  }

  void clear() {
    for (int64_t i = 0; i < p->dv * R; i++) o[i] = 0;
    started = true;
  }

  void pass(int64_t from, int64_t to) {
    from = bigger(from, rows.lo), to = smaller(to, rows.hi);
    if (isGeneral(p))
      blocks(from, to, false);
    else
      rangedBlocks(from, to);
  }

  // Only key ranges: first keys that some rows see, then those that all see, then some again.
  void rangedBlocks(int64_t from, int64_t to) {
    const int64_t allFrom = smaller(to, bigger(from, rows.allLo)), allTo = bigger(allFrom, smaller(to, rows.allHi));
    blocks(from, allFrom, false);
    // Rows that have seen nothing yet have no reference, which openKeys needs of all or of none.
    const bool mixed = started && anyFresh();
    blocks(allFrom, allTo, !mixed);
    blocks(allTo, to, false);
  }

  bool anyFresh() {
    for (int r = 0; r < rows.count; r++) {
      if (l[r] == 0) return true;
    }
    return false;
  }

  bool isFinite() { return areFinite(o, p->dv * R); }

  // o times a factor per row; row r goes to element index[r] of data.
  void unpack(const float *factor, Type type, void *data, const int64_t *index) {
    unpackRows(o, R, factor, rows.count, p->dv, type, data, index);
  }
};
