// Many queries over bfloat16 keys and values: products of pairs of bfloat16, summed in float32. A tile is what it is in
// attention-inl.h but that q, keys, probabilities and values come in pairs: of neighbours along d, and of two keys.
// Queries and probabilities are rounded to bfloat16 (relative error 2^-8).

// [rows][R] floats to [rows / 2][R] pairs, in place; rows behind `count` are zeros.
template <int R> XATTN_INLINE void pairRows(float *x, int64_t count, int64_t rows) {
  for (int64_t i = 0; i < rows; i += 2) {
    for (int v = 0; v < R; v += W) {
      const vec zero = broadcast(0.0f), low = i < count ? load(x + i * R + v) : zero;
      const vec high = i + 1 < count ? load(x + (i + 1) * R + v) : zero;
      store(x + i / 2 * R + v, pairOf(low, high));
    }
  }
}

XATTN_INLINE int64_t padded(int64_t n, int64_t step) {
  return ceilDivide(n, step) * step;
}

XATTN_INLINE const uint16_t *pairsAt(const Operand &x, int64_t start, int64_t row) {
  return (const uint16_t *)x.data + start + row * x.row;
}

// Takes a NaN or an infinity out of the values, and gives it to the rows that see it: 0 * NaN would be NaN.
template <int NV, int KR> XATTN_INLINE void takeOut(Tile<NV, KR> *t, uint16_t *v, int j, int64_t c) {
  enum { R = Tile<NV, KR>::R };
  if ((*v & 0x7f80) != 0x7f80) return;
  const vec x = broadcast(first(loadAs(XATTN_BFLOAT16, v, 0, 1)));
  for (int g = 0; g < R; g += W) {
    const vec e = load(t->s + j * R + g), before = load(t->o + c * R + g);
    store(t->o + c * R + g, select(equal(e, broadcast(0.0f)), before, fma(e, x, before)));
  }
  *v = 0;
}

template <int NV, int KR> struct PairTile : Tile<NV, KR> {
  typedef Tile<NV, KR> Base;
  enum { R = Base::R, BLOCK = Base::BLOCK };
  uint16_t *keyRows; // [BLOCK][d + 1], where keys cannot be read in place: d is odd
  int64_t width;     // dv, padded

  using Base::p, Base::rows, Base::q, Base::o, Base::s, Base::l, Base::started, Base::values;

  static size_t scratchBytes(const Problem *p) {
    const int64_t words = BLOCK * (padded(p->d, 2) + padded(p->dv, 2 * W));
    return (size_t)(padded(Base::scratchBytes(p), 64) + padded(words * sizeof(uint16_t), 64));
  }

  XATTN_NOINLINE void begin(const Problem *problem, int64_t group, int64_t first, void *scratch) {
    Base::begin(problem, group, first, scratch);
    this->block = pairBlock;
    this->ahead.keysAhead = Prefetch::KEYS_AHEAD;
    width = padded(p->dv, 2 * W);
    this->ownValues.data = (char *)scratch + padded(Base::scratchBytes(p), 64);
    keyRows = (uint16_t *)this->ownValues.data + BLOCK * width;
    pairRows<R>(q, p->d, padded(p->d, 2));
  }

  static XATTN_NOINLINE void pairBlock(Base *base, int64_t key, int n, bool open) {
    PairTile *t = (PairTile *)base;
    int64_t stride;
    const uint16_t *k = t->keysAt(key, n, &stride);
    if (!open || t->careful || !t->openBlock(k, stride, key, n)) t->generalBlock(k, stride, key, n, open);
    const uint16_t *v = t->joinedValues(key, n);
    inSteps<KR>((int)t->p->dv, [&](auto count, int column) XATTN_LAMBDA_INLINE {
      t->template valueColumns<decltype(count)::value>(v, 2 * t->width, (n + 1) / 2, column);
    });
    t->started = true;
  }

  const uint16_t *keysAt(int64_t key, int n, int64_t *stride) {
    const uint16_t *k = pairsAt(p->key, rows.key, key);
    *stride = p->key.row;
    if (p->d % 2 == 0) return k;
    *stride = p->d + 1;
    for (int64_t j = 0; j < n; j++) {
      uint16_t *to = keyRows + j * *stride;
      for (int64_t c = 0; c < p->d; c++) to[c] = k[j * p->key.row + c];
      to[p->d] = 0;
    }
    return keyRows;
  }

  static size_t sharedBytes(const Problem *p) {
    return (size_t)(Base::SHARED * padded(p->dv, 2 * W)) * sizeof(uint16_t);
  }
  static void *sharedValues(const Problem *, void *shared) { return shared; }
  void share(int64_t key, int n) { joinValues(key, n); }

  // [n / 2][width][2]: values of two keys side by side.
  const uint16_t *joinedValues(int64_t key, int n) {
    // The value of a key behind the last may be NaN: then it must not be there.
    const bool paired = (key - values->from) % 2 == 0 && (n % 2 == 0 || key + n == values->to);
    if (!values->has(key, n) || !paired) joinValues(key, n);
    return (const uint16_t *)values->data + (key - values->from) * width;
  }

  XATTN_NOINLINE void joinValues(int64_t key, int n) {
    for (int j = 0; j < n; j += 2) {
      const uint16_t *v = pairsAt(p->value, rows.value, key + j);
      uint16_t *to = (uint16_t *)values->data + j * width;
      for (int64_t c = 0; c < p->dv; c += 2 * W) {
        const int some = (int)smaller(2 * W, p->dv - c);
        joinWords(to + 2 * c, v + c, some, v + p->value.row + c, j + 1 < n ? some : 0);
      }
    }
    values->from = key, values->to = key + n;
  }

  // Probabilities of a block that every row sees as it is. False: a score exceeds its reference by more than HEADROOM.
  XATTN_NOINLINE bool openBlock(const uint16_t *k, int64_t stride, int64_t key, int n) {
    if (!started) {
      const int some = (int)smaller(n, KR);
      inSteps<KR>(some, [&](auto count, int) XATTN_LAMBDA_INLINE {
        this->template rawKeys<decltype(count)::value>(k, stride, 0, false);
      });
      this->template raiseReference<false>(0, some);
    }
    float before[R];
    for (int v = 0; v < R; v += W) store(before + v, load(l + v));
    bool within = true;
    inSteps<KR>(n, [&](auto count, int j) XATTN_LAMBDA_INLINE {
      enum { N = decltype(count)::value };
      if (!within) return;
      this->ahead.step(p, rows, key + j, N);
      within = this->template openKeys<N>(k + j * stride, stride, j);
    });
    for (int v = 0; v < R && !within; v += W) store(l + v, load(before + v));
    return within;
  }

  // The same of N keys, from the keys at k into row j / 2 of s.
  template <int N> XATTN_NOINLINE bool openKeys(const uint16_t *k, int64_t stride, int j) {
    vec acc[N][NV];
    if (XATTN_UNLIKELY((!this->template relativeScores<N, false>(acc, k, stride, j)))) return false;
    XATTN_UNROLL for (int v = 0; v < NV; v++) {
      vec total = load(l + v * W);
      XATTN_UNROLL for (int r = 0; r < N; r += 2) {
        const vec low = exp2(acc[r][v]), high = r + 1 < N ? exp2(acc[r + 1 < N ? r + 1 : r][v]) : broadcast(0.0f);
        store(s + (j + r) / 2 * R + v * W, pairOfProbabilities(low, high));
        total = add(total, add(low, high));
      }
      store(l + v * W, total);
    }
    return true;
  }

  // Probabilities of a block that some rows do not see as it is, or that moves the reference.
  XATTN_NOINLINE void generalBlock(const uint16_t *k, int64_t stride, int64_t key, int n, bool open) {
    rawScores(k, stride, n);
    this->weighBlock(key, n, open);
    if (this->careful) {
      if (!started) this->clear();
      setAside(key, n);
    }
    pairRows<R>(s, n, padded(n, 2));
  }

  XATTN_INLINE void rawScores(const uint16_t *k, int64_t stride, int n) {
    inSteps<KR>(n, [&](auto count, int j) XATTN_LAMBDA_INLINE {
      this->template rawKeys<decltype(count)::value>(k + j * stride, stride, j, false);
    });
  }

  // Raw scores of a block, for a map.
  void scores(int64_t key, int n) {
    int64_t stride;
    const uint16_t *k = keysAt(key, n, &stride);
    rawScores(k, stride, n);
  }

  XATTN_NOINLINE void setAside(int64_t key, int n) {
    joinValues(key, n);
    uint16_t *const joined = (uint16_t *)values->data;
    for (int64_t c = 0; c < p->dv; c++) {
      for (int j = 0; j < n; j++) takeOut(this, joined + j / 2 * 2 * width + 2 * c + j % 2, j, c);
    }
  }
};

// The second pass, for a map.
template <class T> XATTN_NOINLINE bool scoresOfPairs(T *t, int64_t key, int n) {
  const Problem *p = t->p;
  if (p->mask.data && !t->readMask(key, n)) return false;
  t->scores(key, n);
  if (isGeneral(p) || key < t->rows.allLo || key + n > t->rows.allHi) t->adjust(key, n);
  for (int i = 0; i < n * T::R; i += W) store(t->s + i, relative(load(t->s + i), load(t->m + i % T::R)));
  return true;
}
template <int NV, int KR> XATTN_INLINE bool scoresOf(PairTile<NV, KR> *t, int64_t key, int n) {
  return scoresOfPairs(t, key, n);
}
