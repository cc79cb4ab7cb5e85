// Few queries: one decoder step, beams over one memory, the query heads that share a key head. Keys and values are read
// once for all rows, as two long streams, with lanes along d and dv: all keys of a chunk, softmax, all values of it.

const float COUNTS[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

enum { DECODE_ROWS = W < 8 ? 3 : W < 16 ? 6 : 8 };

struct Decode {
  enum { R = DECODE_ROWS, TOGETHER = 8, LANES = (R + W - 1) / W * W, BLOCK = 64 };
  // Up to DIRECT rows read keys and values as they are; more share what is converted to float32 once, in plain C++ two
  // already, for its code is long.
  enum { DIRECT = W + REGISTERS > 20 ? 2 : 1 };

  const Problem *p;
  Units units;
  Rows rows;
  Row row[R];
  int64_t dPadded, dvPadded;
  float *q;                 // [rows.count][dPadded], times scale, zeros behind d, as Products wants them
  float factor[R];          // of scores with them
  float *s;                 // [rows.count][CHUNK]: scores, then probabilities
  float *o;                 // [rows.count][dvPadded]
  float *floats;            // [BLOCK][d or dv]: keys or values that were converted
  float m[LANES], l[LANES]; // reference and sum
  bool careful;             // masked values may be NaN or infinite: leave them out of p.v

  // To whole steps of loadInOrder().
  static int64_t padded(int64_t width) { return ceilDivide(width, 2 * W) * 2 * W; }

  static size_t scratchBytes(const Problem *p) {
    const int64_t converted = p->key.type == XATTN_FLOAT32 && p->value.type == XATTN_FLOAT32 ? 0 : BLOCK;
    return (size_t)(groupsOf(p).rows * (padded(p->d) + CHUNK + padded(p->dv)) + converted * bigger(p->d, p->dv)) *
           sizeof(float);
  }

  static size_t sharedBytes(const Problem *) { return 0; }

  XATTN_NOINLINE void begin(const Problem *problem, int64_t group, int64_t first, void *scratch) {
    p = problem;
    layOut(p, group, first, R, row, &rows);
    dPadded = padded(p->d), dvPadded = padded(p->dv);
    q = (float *)scratch, s = q + rows.count * dPadded, o = s + rows.count * CHUNK, floats = o + rows.count * dvPadded;
    units = naturalUnits();
    const vec scale = broadcast(p->scale);
    for (int r = 0; r < rows.count; r++) {
      float *to = q + r * dPadded;
      for (int64_t k = 0; k < dPadded; k += W) {
        const int n = (int)bigger(0, smaller(W, p->d - k));
        store(to + k, mul(loadAs(p->query.type, p->query.data, row[r].query + k, n), scale));
      }
      factor[r] = 1;
      if (!keysAreDirect()) continue;
      if (p->key.type == XATTN_BFLOAT16) factor[r] = Products<XATTN_BFLOAT16>::prepare(to, dPadded);
      if (p->key.type == XATTN_INT8) factor[r] = Products<XATTN_INT8>::prepare(to, dPadded);
    }
  }

  // The factors of int8 rows go into scores and probabilities, one of each, not into every element.
  XATTN_NOINLINE void scaleScores(const float *scales, int n) {
    for (int r = 0; r < rows.count; r++) {
      float *at = s + r * CHUNK;
      const vec own = broadcast(factor[r]);
      for (int j = 0; j < n; j += W) {
        const vec scale = loadAs(XATTN_FLOAT32, scales, j, (int)smaller(W, n - j));
        store(at + j, mul(load(at + j), mul(own, scale)));
      }
    }
  }
  // A probability of 0 stays 0 where the factor is NaN.
  XATTN_NOINLINE void scaleProbabilities(const float *scales, int n) {
    for (int r = 0; r < rows.count; r++) {
      float *at = s + r * CHUNK;
      for (int j = 0; j < n; j += W) {
        store(at + j, weightOf(load(at + j), loadAs(XATTN_FLOAT32, scales, j, (int)smaller(W, n - j))));
      }
    }
  }

  bool isDirect(Type type) { return type == XATTN_FLOAT32 || rows.count <= DIRECT; }
  // Tensors of bfloat16 give the bits that a float32 memory of them gives: they are summed up in its order.
  bool keysAreDirect() { return isDirect(p->key.type) && (p->key.type != XATTN_BFLOAT16 || p->mayRound); }

  template <Type T, int MOST> XATTN_INLINE void scoreRows(const void *keys, int64_t first, int64_t row, int n, int j) {
    inBatches<MOST>([&](auto count, int r) XATTN_LAMBDA_INLINE {
      enum { N = decltype(count)::value };
      // Most models' d, where that pays for its code: not in plain C++, with 16 registers not for more than two rows,
      // and, as measured, not for three.
      enum { PAYS = T != XATTN_FLOAT32 ? N == 1 : W < 16 ? N <= 2 : N != 3 };
      enum { D = PAYS && W + REGISTERS > 20 ? 64 : 0 };
      if (p->d == 64 && n >= W)
        scoreKeys<N, T, D>(q + r * dPadded, dPadded, p->d, keys, first, row, n, s + r * CHUNK + j);
      else
        scoreKeys<N, T, 0>(q + r * dPadded, dPadded, p->d, keys, first, row, n, s + r * CHUNK + j);
    });
  }

  // Each block of values is summed up by itself.
  template <Type T, int MOST> XATTN_INLINE void addRows(const void *values, int64_t first, int64_t row, int n, int j) {
    inBatches<MOST>([&](auto count, int r) XATTN_LAMBDA_INLINE {
      enum { N = decltype(count)::value };
      float *to = o + r * dvPadded;
      for (int i = 0; i < n; i += BLOCK) {
        const float *weights = s + r * CHUNK + j + i;
        const int some = (int)smaller(BLOCK, n - i);
        // int8 as it is has no NaN and no infinity but in its factors, which do not meet a probability of 0.
        if (T != XATTN_INT8 && careful)
          addValues<N, T, T != XATTN_INT8>(weights, values, first + i * row, row, some, p->dv, to, dvPadded);
        else
          addValues<N, T, false>(weights, values, first + i * row, row, some, p->dv, to, dvPadded);
      }
    });
  }

  // f(Count<N>(), r) for N rows from r on, until all have been.
  template <int MOST, class F> XATTN_INLINE void inBatches(F f) {
    for (int r = 0; r < rows.count;) {
      const int left = rows.count - r, n = left > MOST ? (left + 1) / 2 : left;
      withCount<1, MOST>(n, [&](auto count) XATTN_LAMBDA_INLINE { f(count, r); });
      r += n;
    }
  }
  template <int N, int MOST, class F> static XATTN_INLINE void withCount(int n, F f) {
    if constexpr (N < MOST) {
      if (n > N) return withCount<N + 1, MOST>(n, f);
    }
    f(Count<N>());
  }

  // f(Reading<T, MOST>(), data, element of the first, row, n, j) for n keys or values from `key` on: all of them, or a
  // block at a time, which begins at j, where it is converted or read more than once.
  template <Type T, int MOST> struct Reading {
    static constexpr Type type = T;
    enum { most = MOST };
  };
  template <int MOST, class F>
  XATTN_INLINE void read(const Operand &x, int64_t start, int64_t width, bool direct, int64_t key, int n, F f) {
    const int each = direct && rows.count <= MOST ? n : BLOCK;
    for (int j = 0; j < n; j += each) {
      const int some = (int)smaller(each, n - j);
      const int64_t first = start + (key + j) * x.row;
      if (!direct) {
        int64_t row;
        Converted block = {floats, 0, 0};
        const float *data = asFloats(x, start, width, key + j, some, &block, &row);
        f(Reading<XATTN_FLOAT32, MOST>(), data, 0, row, some, j);
      } else if (x.type == XATTN_FLOAT32)
        f(Reading<XATTN_FLOAT32, MOST>(), x.data, first, x.row, some, j);
      else if (x.type == XATTN_FLOAT16)
        f(Reading<XATTN_FLOAT16, DIRECT>(), x.data, first, x.row, some, j);
      else if (x.type == XATTN_BFLOAT16)
        f(Reading<XATTN_BFLOAT16, DIRECT>(), x.data, first, x.row, some, j);
      else
        f(Reading<XATTN_INT8, DIRECT>(), x.data, first, x.row, some, j);
    }
  }

  XATTN_NOINLINE void scoreChunk(int64_t key, int n) {
    read<BATCH>(p->key, rows.key, p->d, keysAreDirect(), key, n,
                [&](auto how, const void *data, int64_t first, int64_t row, int n, int j) XATTN_LAMBDA_INLINE {
                  scoreRows<decltype(how)::type, decltype(how)::most>(data, first, row, n, j);
                });
    if (p->key.type == XATTN_INT8 && isDirect(XATTN_INT8)) scaleScores(scalesOf(p->key, rows.key) + key, n);
  }
  XATTN_NOINLINE void addChunk(int64_t key, int n) {
    if (p->value.type == XATTN_INT8 && isDirect(XATTN_INT8))
      scaleProbabilities(scalesOf(p->value, rows.value) + key, n);
    read<VALUE_BATCH>(p->value, rows.value, p->dv, isDirect(p->value.type), key, n,
                      [&](auto how, const void *data, int64_t first, int64_t row, int n, int j) XATTN_LAMBDA_INLINE {
                        addRows<decltype(how)::type, decltype(how)::most>(data, first, row, n, j);
                      });
  }

  // The same of a row that sees every key as it is.
  XATTN_INLINE float closeRow(int r, int n) {
    const vec lowest = broadcast(-LARGEST); // a score of -infinity is still a key that is seen
    vec top = broadcast(-INFINITE);
    for (int j = 0; j < n; j += W) {
      float *const at = s + r * CHUNK + j;
      vec x = max(lowest, load(at));
      if (j + W > n) x = select(less(load(COUNTS), broadcast((float)(n - j))), x, broadcast(-INFINITE));
      store(at, x);
      top = max(x, top);
    }
    return largest(top);
  }

  // Final scores of a row, -infinity where it does not see the key. Returns their maximum.
  XATTN_NOINLINE float adjust(int r, int64_t key, int n) {
    if (!isGeneral(p) && row[r].lo <= key && key + n <= row[r].hi) return closeRow(r, n);
    const vec lo = broadcast((float)bigger(0, smaller(n, row[r].lo - key)));
    const vec hi = broadcast((float)bigger(0, smaller(n, row[r].hi - key)));
    const vec slope = broadcast(row[r].slope), position = broadcast((float)(row[r].position - key));
    vec top = broadcast(-INFINITE);
    for (int j = 0; j < n; j += W) {
      const vec index = add(load(COUNTS), broadcast((float)j));
      vec b = broadcast(0.0f);
      if (p->mask.data) b = biasOf(&p->mask, row[r].mask + (key + j) * p->mask.key, (int)smaller(W, n - j));
      const vec x = within(biased(p, load(s + r * CHUNK + j), slope, position, index, b), index, lo, hi);
      store(s + r * CHUNK + j, x);
      top = max(x, top);
    }
    return largest(top);
  }

  XATTN_NOINLINE void rescale(int r, vec factor) {
    l[r] *= first(factor);
    for (int64_t c = r * dvPadded; c < (r + 1) * dvPadded; c += W) store(o + c, mul(load(o + c), factor));
  }

  // A row's final scores become probabilities under its reference, which rises to their maximum.
  XATTN_NOINLINE void exponentiate(int r, int n, float top) {
    if (top > m[r] || l[r] == 0) {
      const float old = m[r];
      m[r] = l[r] != 0 || top > -INFINITE ? top : 0.0f;
      if (l[r] != 0) rescale(r, exp2(broadcast((old - m[r]) * units.log2)));
    }
    vec total = broadcast(0.0f);
    for (int j = 0; j < n; j += W) {
      const vec e = probability(load(s + r * CHUNK + j), broadcast(m[r]), units);
      store(s + r * CHUNK + j, e);
      total = add(total, e);
    }
    l[r] += sum(total);
  }

  void start(bool carefully) {
    careful = carefully;
    for (int r = 0; r < LANES; r++) m[r] = l[r] = 0;
    for (int64_t i = 0; i < rows.count * dvPadded; i += W) store(o + i, broadcast(0.0f));
  }
  void weighChunk(int64_t key, int n) {
    for (int r = 0; r < rows.count; r++) exponentiate(r, n, adjust(r, key, n));
  }

  void attend(int64_t from, int64_t to, bool carefully) {
    start(carefully);
    to = smaller(to, rows.hi);
    for (int64_t key = bigger(from, rows.lo); key < to; key += CHUNK) {
      const int n = (int)smaller(CHUNK, to - key);
      scoreChunk(key, n);
      weighChunk(key, n);
      addChunk(key, n);
    }
  }

  bool isFinite() { return areFinite(o, rows.count * dvPadded); }

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
