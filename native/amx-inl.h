// The same by AMX, in tiles of its own: both products are c[row][lane] = a[row].b[lane] with rows of a in memory one
// after the other and b in pairs: b[k / 2][lane] holds elements k and k + 1.

enum { PAIR_LANES = 4 * W, PAIR_STEP = 32 }; // queries of a tile; elements that one step of a product takes

// c[rows][PAIR_LANES] (+)= a[rows][k] b[k / 2][PAIR_LANES]. Rows and k are multiples of W and PAIR_STEP; `stride` is in
// elements of a.
// AMX: eight registers of 16 rows of 64 bytes. Four hold c for 16 rows and all lanes.
XATTN_NOINLINE void productByTiles(float *c, const uint16_t *a, int64_t stride, int64_t rows, int64_t k, const float *b,
                                   bool add) {
  enum { BYTES = PAIR_LANES * sizeof(float) };
  for (int64_t row = 0; row < rows; row += W, c += W * PAIR_LANES, a += W * stride) {
    if (add) {
      _tile_loadd(0, c, BYTES);
      _tile_loadd(1, c + W, BYTES);
      _tile_loadd(2, c + 2 * W, BYTES);
      _tile_loadd(3, c + 3 * W, BYTES);
    } else {
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
    }
    for (int64_t i = 0; i < k; i += PAIR_STEP) {
      const float *lanes = b + i / 2 * PAIR_LANES;
      _tile_loadd(4, a + i, stride * sizeof(uint16_t));
      _tile_loadd(5, lanes, BYTES);
      _tile_dpbf16ps(0, 4, 5);
      _tile_loadd(6, lanes + W, BYTES);
      _tile_dpbf16ps(1, 4, 6);
      _tile_loadd(5, lanes + 2 * W, BYTES);
      _tile_dpbf16ps(2, 4, 5);
      _tile_loadd(6, lanes + 3 * W, BYTES);
      _tile_dpbf16ps(3, 4, 6);
    }
    _tile_stored(0, c, BYTES);
    _tile_stored(1, c + W, BYTES);
    _tile_stored(2, c + 2 * W, BYTES);
    _tile_stored(3, c + 3 * W, BYTES);
  }
}

XATTN_INLINE void openTiles() {
  struct alignas(64) {
    uint8_t palette, startRow, reserved[14];
    uint16_t columnBytes[16];
    uint8_t rows[16];
  } config = {1, 0, {0}, {0}, {0}};
  for (int i = 0; i < 8; i++) config.columnBytes[i] = 64, config.rows[i] = W;
  _tile_loadconfig(&config);
}

struct AmxTile : Tile<4, 6> {
  typedef Tile<4, 6> Base;
  enum { R = Base::R, MOST = KEY_BLOCK };
  uint16_t *keyRows;   // [MOST][depth], where keys cannot be read in place
  uint16_t *valueRows; // [dv, padded][MOST]: values transposed
  int64_t depth;       // d, padded

  static size_t scratchBytes(const Problem *p) {
    const int64_t d = padded(p->d, PAIR_STEP), dv = padded(p->dv, W);
    return padded(Base::scratchBytes(p), 64) + (size_t)(MOST * (d + dv)) * sizeof(uint16_t);
  }

  void share(int64_t, int) {}

  XATTN_NOINLINE void begin(const Problem *problem, int64_t group, int64_t first, void *scratch) {
    Base::begin(problem, group, first, scratch);
    block = amxBlock, step = PAIR_STEP;
    depth = padded(p->d, PAIR_STEP);
    keyRows = (uint16_t *)((char *)scratch + padded(Base::scratchBytes(p), 64));
    valueRows = keyRows + MOST * depth;
    pairRows<R>(q, p->d, depth);
  }

  static XATTN_NOINLINE void amxBlock(Base *base, int64_t key, int n, bool open) {
    AmxTile *t = (AmxTile *)base;
    openTiles();
    t->scores(key, n);
    t->weighBlock(key, n, open);
    t->addPairs(key, n);
    _tile_release();
  }

  // Raw scores of a block.
  XATTN_INLINE void scores(int64_t key, int n) {
    const uint16_t *k = pairsAt(p->key, rows.key, key);
    int64_t stride = p->key.row;
    if (depth != p->d || n % W != 0) {
      for (int64_t j = 0; j < padded(n, W); j++) {
        for (int64_t c = 0; c < depth; c += PAIR_STEP) {
          const int64_t some = j < n ? bigger(0, smaller(PAIR_STEP, p->d - c)) : 0;
          copyWords(keyRows + j * depth + c, k + j * stride + c, (int)some);
        }
      }
      k = keyRows, stride = depth;
    }
    productByTiles(s, k, stride, padded(n, W), depth, q, false);
  }

  // The probabilities of a block are spent: o += p.v.
  XATTN_NOINLINE void addPairs(int64_t key, int n) {
    for (int64_t j = 0; j < n; j += PAIR_STEP) {
      for (int64_t c = 0; c < p->dv; c += W) transposeValues(key, j, n, c);
    }
    if (careful) {
      if (!started) clear();
      setAside(n);
    }
    pairRows<R>(s, n, padded(n, PAIR_STEP));
    productByTiles(o, valueRows, MOST, padded(p->dv, W), padded(n, PAIR_STEP), s, started);
    started = true;
  }

  // PAIR_STEP keys from the j-th of a block on and W columns of their values, to rows of valueRows.
  XATTN_INLINE void transposeValues(int64_t key, int64_t j, int n, int64_t c) {
    const int some = (int)smaller(W, p->dv - c);
    vec x[W];
    for (int i = 0; i < W; i++) {
      const uint16_t *v = pairsAt(p->value, rows.value, key + j + 2 * i) + c;
      x[i] = interleave(v, j + 2 * i < n ? some : 0, v + p->value.row, j + 2 * i + 1 < n ? some : 0);
    }
    transpose(x);
    XATTN_UNROLL for (int i = 0; i < W; i++) store((float *)(valueRows + (c + i) * MOST + j), x[i]);
  }

  XATTN_NOINLINE void setAside(int n) {
    for (int64_t c = 0; c < p->dv; c++) {
      for (int j = 0; j < n; j++) takeOut(this, valueRows + c * MOST + j, j, c);
    }
  }
};

XATTN_INLINE bool scoresOf(AmxTile *t, int64_t key, int n) {
  openTiles();
  const bool some = scoresOfPairs(t, key, n);
  _tile_release();
  return some;
}
