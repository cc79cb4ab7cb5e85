// Few queries: one decoder step, beams over one memory, the query heads that share a key head. Keys and values are read
// once for all rows, as two long streams, with lanes along d and dv: all keys of a chunk, softmax, all values of it.

const float COUNTS[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

enum { DECODE_ROWS = W < 8 ? 3 : 8 };
static_assert(DECODE_ROWS <= 2 * BATCH, "rows are read in two batches at most");

struct Decode {
  enum { R = DECODE_ROWS, TOGETHER = 8, LANES = (R + W - 1) / W * W };
  // Keys or values that are converted, or read more than once, at a time; bytes of values of which two blocks stay in a
  // first-level cache.
  enum { BLOCK = 64, BLOCK_BYTES = 8192 };
  // Bytes from what is read to what is fetched: so few that loads across two lines find both, for hardware sees a
  // stream by itself; it reads no further than the end of a page, which tells where keys and values come from memory.
  enum { NEAR_AHEAD = 256, FAR_AHEAD = 4096, LAST_LEVEL_BYTES = 1 << 24 };
  // Up to DIRECT rows read keys and values as they are; more share what is converted to float32 once, in plain C++ two
  // already, for its code is long.
  enum { DIRECT = W + REGISTERS > 20 ? 2 : 1 };

  const Problem *p;
  Units units;
  Rows rows;
  Row row[R];
  int64_t dPadded, dvPadded, ahead;
  float *q;                 // [rows.count][dPadded], times scale, zeros behind d, as Products wants them
  float factor[R];          // of scores with them
  const float *scales;      // further factors of the scores of a chunk, by key, or NULL
  float *s;                 // [rows.count][PITCH]: scores, then probabilities
  float *o;                 // [rows.count][dvPadded]
  float *floats;            // [BLOCK][d or dv]: keys or values that were converted
  float m[LANES], l[LANES]; // reference and sum
  float tops[R][W];         // the highest scores of a chunk
  bool careful;             // masked values may be NaN or infinite: leave them out of p.v

  // To whole steps of loadInOrder().
  static int64_t padded(int64_t width) { return ceilDivide(width, 2 * W) * 2 * W; }

  static size_t scratchBytes(const Problem *p) {
    const int64_t converted = p->key.type == XATTN_FLOAT32 && p->value.type == XATTN_FLOAT32 ? 0 : BLOCK;
    return (size_t)(groupsOf(p).rows * (padded(p->d) + PITCH + padded(p->dv)) + converted * bigger(p->d, p->dv)) *
           sizeof(float);
  }

  static size_t sharedBytes(const Problem *) { return 0; }

  XATTN_NOINLINE void begin(const Problem *problem, int64_t group, int64_t first, void *scratch) {
    p = problem;
    layOut(p, group, first, R, row, &rows);
    dPadded = padded(p->d), dvPadded = padded(p->dv);
    q = (float *)scratch, s = q + rows.count * dPadded, o = s + rows.count * PITCH, floats = o + rows.count * dvPadded;
    units = unitsOf(p);
    ahead = groupsOf(p).count * p->tk * keyBytes(p) > LAST_LEVEL_BYTES ? FAR_AHEAD : NEAR_AHEAD;
    const vec scale = broadcast(p->scale * (LOG2E / units.log2));
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

  // The factors of int8 values go into probabilities, and not into every element. A probability of 0 stays 0 where the
  // factor is NaN.
  XATTN_NOINLINE void scaleProbabilities(const float *scales, int n) {
    for (int r = 0; r < rows.count; r++) {
      float *at = s + r * PITCH;
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
      // Most models' d, where that pays for its code.
      enum { PAYS = W + REGISTERS > 20 && (T != XATTN_FLOAT32 ? N == 1 : W >= 8 || N <= 2), D = PAYS ? 64 : 0 };
      const float *from = q + r * dPadded;
      if (D == 0 || p->d != D || n < W) {
        scoreKeys<N, T, 0>(from, dPadded, p->d, keys, first, row, n, ahead, Keeper<N>(this, r, j, n));
        return;
      }
      const int whole = n / W * W, last = n - W;
      scoreKeys<N, T, D>(from, dPadded, p->d, keys, first, row, whole, ahead, Keeper<N>(this, r, j, whole));
      if (whole == n) return;
      // The last keys, some of them once more: whole vectors are faster than the rest would be.
      for (int i = r; i < r + N; i++) store(s + i * PITCH + j + n, broadcast(-INFINITE));
      scoreKeys<N, T, D>(from, dPadded, p->d, keys, first + last * row, row, W, ahead, Keeper<N>(this, r, j + last, W));
    });
  }

  // Keeps the scores of N rows from r on and n keys from j on, which come W keys at a time, and the highest of them.
  template <int N> struct Keeper {
    int n;
    float *s, *tops;
    const float *factor, *scales;
    XATTN_INLINE Keeper(Decode *t, int r, int j, int n)
        : n(n), s(t->s + r * PITCH + j), tops(t->tops[r]), factor(t->factor + r),
          scales(t->scales ? t->scales + j : 0) {}

    XATTN_INLINE void operator()(const vec (&x)[N], int i) const {
      XATTN_UNROLL for (int r = 0; r < N; r++) store(s + r * PITCH + i, x[r]);
      if (scales || n - i < W) return finish(i);
      XATTN_UNROLL for (int r = 0; r < N; r++) store(tops + r * W, max(x[r], load(tops + r * W)));
    }

    // The same of scores that have further factors, or of the last, behind which nothing is seen.
    XATTN_NOINLINE void finish(int i) const {
      const int some = (int)smaller(W, n - i);
      const lanes there = less(load(COUNTS), broadcast((float)some));
      for (int r = 0; r < N; r++) {
        vec x = load(s + r * PITCH + i);
        if (scales) x = mul(x, mul(broadcast(factor + r), loadAs(XATTN_FLOAT32, scales, i, some)));
        x = select(there, x, broadcast(-INFINITE));
        store(s + r * PITCH + i, x);
        store(tops + r * W, max(x, load(tops + r * W)));
      }
    }
  };

  // Blocks of values are summed up by themselves. What all rows read in one go is a stream; else the next block is
  // fetched while rows and columns take turns at one.
  template <Type T, int MOST> XATTN_INLINE void addRows(const void *values, int64_t first, int64_t row, int n, int j) {
    const bool once = rows.count <= MOST && p->dv <= columnsAtOnce(rows.count) * W;
    const int64_t rowBytes = bigger(1, p->dv) * (int64_t)sizeof(float);
    const int few = (int)bigger(16, smaller(BLOCK, BLOCK_BYTES / rowBytes / 16 * 16));
    const int each = once ? BLOCK * keysAtOnce(rows.count, columnsAtOnce(rows.count)) : few;
    const int64_t fetched = once ? ahead : each * row * sizeOf(T);
    for (int i = 0; i < n; i += each) {
      const int some = (int)smaller(each, n - i);
      inBatches<MOST>([&](auto count, int r) XATTN_LAMBDA_INLINE {
        enum { N = decltype(count)::value };
        const float *weights = s + r * PITCH + j + i;
        float *to = o + r * dvPadded;
        // int8 as it is has no NaN and no infinity but in its factors, which do not meet a probability of 0.
        if (T != XATTN_INT8 && careful)
          addValues<N, T, T != XATTN_INT8>(weights, values, first + i * row, row, some, fetched, p->dv, to, dvPadded);
        else
          addValues<N, T, false>(weights, values, first + i * row, row, some, fetched, p->dv, to, dvPadded);
      });
    }
  }

  // f(Count<N>(), r) for N rows from r on, until all have been.
  template <int MOST, class F> XATTN_INLINE void inBatches(F f) {
    for (int r = 0; r < rows.count;) {
      const int left = rows.count - r, n = left > MOST ? (left + 1) / 2 : left;
      withCount<1, MOST>(n, [&](auto count) XATTN_LAMBDA_INLINE { f(count, r); });
      r += n;
    }
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

  // Scores of a chunk as they are, and their maxima.
  XATTN_NOINLINE void scoreChunk(int64_t key, int n) {
    scales = p->key.type == XATTN_INT8 && isDirect(XATTN_INT8) ? scalesOf(p->key, rows.key) + key : nullptr;
    for (int r = 0; r < rows.count; r++) store(tops[r], broadcast(-INFINITE));
    read<BATCH>(p->key, rows.key, p->d, keysAreDirect(), key, n,
                [&](auto how, const void *data, int64_t first, int64_t row, int n, int j) XATTN_LAMBDA_INLINE {
                  scoreRows<decltype(how)::type, decltype(how)::most>(data, first, row, n, j);
                });
  }
  XATTN_NOINLINE void addChunk(int64_t key, int n) {
    if (p->value.type == XATTN_INT8 && isDirect(XATTN_INT8))
      scaleProbabilities(scalesOf(p->value, rows.value) + key, n);
    read<BATCH>(p->value, rows.value, p->dv, isDirect(p->value.type), key, n,
                [&](auto how, const void *data, int64_t first, int64_t row, int n, int j)
                    XATTN_LAMBDA_INLINE { addRows<decltype(how)::type, decltype(how)::most>(data, first, row, n, j); });
  }

  // Final scores of a row, -infinity where it does not see the key. Returns their maximum.
  XATTN_NOINLINE float adjust(int r, int64_t key, int n) {
    const vec lo = broadcast((float)bigger(0, smaller(n, row[r].lo - key)));
    const vec hi = broadcast((float)bigger(0, smaller(n, row[r].hi - key)));
    const vec slope = broadcast(row[r].slope), position = broadcast((float)(row[r].position - key));
    vec top = broadcast(-INFINITE);
    for (int j = 0; j < n; j += W) {
      const vec index = add(load(COUNTS), broadcast((float)j));
      vec b = broadcast(0.0f);
      if (p->mask.data) b = biasOf(&p->mask, row[r].mask + (key + j) * p->mask.key, (int)smaller(W, n - j));
      const vec x = within(biased(p, load(s + r * PITCH + j), slope, position, index, b), index, lo, hi);
      store(s + r * PITCH + j, x);
      top = max(x, top);
    }
    return largest(top);
  }

  // What was summed up under the old reference is exp2(new - old) too large.
  XATTN_NOINLINE void raiseReference(int r, float top) {
    const float old = m[r];
    m[r] = top;
    if (l[r] == 0) return; // nothing was
    const vec factor = exp2(broadcast((old - top) * units.log2));
    l[r] *= first(factor);
    for (int64_t c = r * dvPadded; c < (r + 1) * dvPadded; c += W) store(o + c, mul(load(o + c), factor));
  }

  // Probabilities of n keys from their final scores, behind which nothing is seen. Returns their sum.
  template <bool OPEN> XATTN_INLINE float exponentiate(float *at, int n, vec reference) {
    vec total = broadcast(0.0f);
    for (int j = 0; j < n; j += W) {
      const vec x = load(at + j), e = OPEN ? exp2(sub(x, reference)) : probability(x, reference, units);
      store(at + j, e);
      total = add(total, e);
    }
    return sum(total);
  }

  void start(bool carefully) {
    careful = carefully;
    for (int r = 0; r < LANES; r++) m[r] = l[r] = 0;
    for (int64_t i = 0; i < rows.count * dvPadded; i += W) store(o + i, broadcast(0.0f));
  }

  // Scores of a chunk become probabilities under references that rise to their maxima.
  XATTN_NOINLINE void weighChunk(int64_t key, int n) {
    const bool open = !isGeneral(p) && rows.allLo <= key && key + n <= rows.allHi;
    for (int r = 0; r < rows.count; r++) {
      float *const at = s + r * PITCH;
      // A score of -infinity is still a key that is seen.
      const float top = open ? largest(max(load(tops[r]), broadcast(-LARGEST))) : adjust(r, key, n);
      if (top > m[r] || (l[r] == 0 && top > -INFINITE)) raiseReference(r, top);
      const vec reference = broadcast(m[r]);
      l[r] += open ? exponentiate<true>(at, n, reference) : exponentiate<false>(at, n, reference);
    }
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
