// An item of the work: a tile of query rows over all keys or a split of them, or some tiles in turn; and what its sums
// become: outputs, or partial results that are merged.

// A sink adds e^(sink - m) to the sum l, and may move m; `own` is the factor of what was summed up before.
XATTN_INLINE void addSink(vec sink, Units units, vec *m, vec *l, vec *own) {
  const vec none = broadcast(-INFINITE), zero = broadcast(0.0f);
  const lanes empty = equal(*l, zero), sunk = less(none, sink);
  const vec s = min(broadcast(LARGEST), mul(sink, broadcast(LOG2E / units.log2)));
  const vec highest = select(sunk, select(empty, s, max(s, *m)), *m);
  const lanes same = equal(*m, highest); // 2^0 of a polynomial is not quite 1
  *own = select(empty, zero, select(same, broadcast(1.0f), exp2(mul(sub(*m, highest), broadcast(units.log2)))));
  *l = add(mul(*l, *own), select(sunk, exp2(mul(sub(s, highest), broadcast(units.log2))), zero));
  *m = highest;
}

// Factors that o and the probabilities are multiplied by in the end, what a map needs of the rows, and lse.
XATTN_NOINLINE void conclude(const Problem *p, const Row *row, int count, Units units, const float *m, const float *l,
                             float *factor) {
  for (int g = 0; g < count; g += W) {
    float sink[W], top[W], total[W];
    const vec zero = broadcast(0.0f);
    vec reference = load(m + g), sum = load(l + g), own = broadcast(1.0f);
    const lanes empty = equal(sum, zero);
    if (p->sinks) {
      for (int i = 0; i < W; i++) sink[i] = g + i < count ? row[g + i].sink : -INFINITE;
      addSink(load(sink), units, &reference, &sum, &own);
    }
    store(factor + g, select(empty, zero, div(own, sum)));
    store(top, reference);
    store(total, sum);
    for (int i = 0; p->lse && i < W && g + i < count; i++) {
      const double sum = (double)top[i] * units.natural + logf(total[i]), least = row[g + i].sink;
      p->lse[row[g + i].index] = (float)(l[g + i] == 0 || sum < least ? least : sum);
    }
    for (int i = 0; p->rows && i < W && g + i < count; i++) {
      p->rows[2 * row[g + i].index] = m[g + i];
      p->rows[2 * row[g + i].index + 1] = factor[g + i];
    }
  }
}

// A partial result holds, for each row of a tile: m, l, o unnormalised.
XATTN_INLINE float *partialOf(const Problem *p, int rows, int64_t item, void *partials) {
  return (float *)partials + item * rows * (p->dv + 2);
}

template <class T> XATTN_INLINE void beginTile(T *t, const Problem *p, const Plan *plan, int64_t tile, void *scratch) {
  t->begin(p, tile / plan->each, tile % plan->each * T::R, scratch);
}

// After a pass that let what masks hide into p.v: 0 * NaN is NaN.
template <class T> XATTN_INLINE void attendCarefully(T *t, int64_t from, int64_t to) {
  const bool hides = t->p->mask.data || t->rows.allLo > t->rows.lo || t->rows.allHi < t->rows.hi;
  if (hides && !t->isFinite()) t->attend(from, to, true);
}

template <class T> XATTN_NOINLINE void writeTile(T *t) {
  const Problem *p = t->p;
  alignas(64) float factor[4 * W];
  int64_t index[4 * W];
  conclude(p, t->row, t->rows.count, t->units, t->m, t->l, factor);
  for (int r = 0; r < t->rows.count; r++) index[r] = t->row[r].output;
  t->unpack(factor, p->output.type, (void *)p->output.data, index);
}

// Keys and values are converted before they are used.
XATTN_INLINE bool isConverted(const Problem *p) {
  return p->key.type != XATTN_FLOAT32 || p->value.type != XATTN_FLOAT32;
}

// Tiles of one group take turns at ranges of keys that stay near: long keys and values come from memory once for all,
// and are converted once.
template <class T> XATTN_NOINLINE void takeTurns(const Problem *p, T *t, int count, void *shared) {
  for (int i = 0; i < count; i++) {
    t[i].start(false);
    t[i].ahead.follows = i == 0;
  }
  int64_t keys = bigger(1, NEAR_BYTES / (KEY_BLOCK * keyBytes(p))) * KEY_BLOCK, lo = p->tk, hi = 0;
  if (isConverted(p)) keys = t->ahead.keysAhead = t->ahead.valuesAhead = T::SHARED;
  Converted convertedKeys = {shared, 0, 0}, convertedValues = {T::sharedValues(p, shared), 0, 0};
  for (int i = 0; i < count; i++) {
    lo = smaller(lo, t[i].rows.lo / KEY_BLOCK * KEY_BLOCK), hi = bigger(hi, t[i].rows.hi);
    t[i].keys = &convertedKeys, t[i].values = &convertedValues;
  }
  for (int64_t key = lo; key < hi; key += keys) {
    const int64_t end = smaller(hi, key + keys);
    if (isConverted(p)) t->share(key, (int)(end - key));
    for (int i = 0; i < count; i++) t[i].pass(key, end);
  }
  for (int i = 0; i < count; i++) {
    t[i].end();
    t[i].keys = &t[i].ownKeys, t[i].values = &t[i].ownValues;
  }
}

// Short keys and short values of neighbours follow each other as one long stream of either.
XATTN_NOINLINE void takeTurns(const Problem *, Decode *t, int count, void *) {
  const auto all = [&](void (Decode::*step)(int64_t key, int n)) XATTN_LAMBDA_INLINE {
    for (int i = 0; i < count; i++) (t[i].*step)(t[i].rows.lo, (int)(t[i].rows.hi - t[i].rows.lo));
  };
  for (int i = 0; i < count; i++) t[i].start(false);
  all(&Decode::scoreChunk);
  all(&Decode::weighChunk);
  all(&Decode::addChunk);
}

template <class T> XATTN_NOINLINE void attendTogether(const Problem *p, const Plan *plan, int64_t item, void *scratch) {
  T t[T::TOGETHER];
  const int64_t items = ceilDivide(plan->run, plan->together), begun = item % items * plan->together;
  const int count = (int)smaller(plan->together, plan->run - begun);
  const int64_t first = item / items * plan->run + begun;
  const size_t each = T::scratchBytes(p);
  for (int i = 0; i < count; i++) beginTile(t + i, p, plan, first + i, (char *)scratch + i * each);
  takeTurns(p, t, count, (char *)scratch + count * each);
  for (int i = 0; i < count; i++) {
    attendCarefully(t + i, 0, p->tk);
    writeTile(t + i);
  }
}

template <class T>
XATTN_NOINLINE void attendItem(const Problem *p, const Plan *plan, int64_t item, void *scratch, void *partials) {
  if (plan->together > 1) return attendTogether<T>(p, plan, item, scratch);
  T t;
  beginTile(&t, p, plan, item / plan->splits, scratch);
  const int64_t from = smaller(p->tk, item % plan->splits * plan->splitKeys);
  const int64_t to = smaller(p->tk, from + plan->splitKeys);
  t.attend(from, to, false);
  attendCarefully(&t, from, to);
  if (plan->splits == 1) return writeTile(&t);
  alignas(64) float factor[4 * W];
  int64_t index[4 * W];
  float *partial = partialOf(p, T::R, item, partials);
  for (int r = 0; r < T::R; r++) {
    partial[r] = t.m[r], partial[T::R + r] = t.l[r];
    factor[r] = 1, index[r] = r * p->dv;
  }
  t.unpack(factor, XATTN_FLOAT32, partial + 2 * T::R, index);
}

// Merges the partial results of a row in their order: exact but for rounding, whatever the split (arXiv:1805.02867).
// Into the first split's place.
XATTN_NOINLINE void mergeRow(const Problem *p, const Plan *plan, int rows, float *partial, int r, Units units) {
  const int64_t size = rows * (p->dv + 2);
  float top = -INFINITE, total = 0;
  for (int64_t i = 0; i < plan->splits; i++) {
    const float *part = partial + i * size;
    if (part[rows + r] != 0 && !(part[r] <= top)) top = part[r];
  }
  float *merged = partial + 2 * rows + r * p->dv;
  for (int64_t i = 0; i < plan->splits; i++) {
    const float *part = partial + i * size, *from = part + 2 * rows + r * p->dv;
    const float factor = part[rows + r] == 0 ? 0.0f : first(exp2(broadcast((part[r] - top) * units.log2)));
    total += part[rows + r] * factor;
    for (int64_t c = 0; c < p->dv; c++) merged[c] = i == 0 ? factor * from[c] : merged[c] + factor * from[c];
  }
  partial[r] = total == 0 ? 0.0f : top;
  partial[rows + r] = total;
}

XATTN_NOINLINE void finishTile(const Problem *p, const Plan *plan, int64_t tile, int capacity, Units units,
                               float *partial) {
  Row row[4 * W];
  Rows rows;
  layOut(p, tile / plan->each, tile % plan->each * capacity, capacity, row, &rows);
  const int count = rows.count;
  alignas(64) float factor[4 * W];
  for (int r = 0; r < count; r++) mergeRow(p, plan, capacity, partial, r, units);
  conclude(p, row, count, units, partial, partial + capacity, factor);
  for (int r = 0; r < count; r++) {
    const float *from = partial + 2 * capacity + r * p->dv;
    for (int64_t c = 0; c < p->dv; c += W) {
      const int n = (int)smaller(W, p->dv - c);
      const vec x = loadAs(XATTN_FLOAT32, from, c, n);
      storeAs(p->output.type, (void *)p->output.data, row[r].output + c, mul(x, broadcast(factor[r])), n);
    }
  }
}
