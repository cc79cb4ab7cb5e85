// Where things lie: the query rows that read the same keys and values, what each may see, and loads of any element
// type.

const float LARGEST = 3.402823466e38f, INFINITE = XATTN_INFINITY;

XATTN_INLINE int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}
XATTN_INLINE int64_t bigger(int64_t a, int64_t b) {
  return a > b ? a : b;
}
XATTN_INLINE int64_t ceilDivide(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

XATTN_INLINE int64_t sizeOf(Type type) {
  return type == XATTN_FLOAT32 ? 4 : type == XATTN_BOOL || type == XATTN_INT8 ? 1 : 2;
}

XATTN_INLINE const void *at(const void *data, Type type, int64_t index) {
  return (const char *)data + index * sizeOf(type);
}

// One line for each 64 bytes that are begun.
template <int LEVEL> XATTN_INLINE void fetchLines(const void *from, int64_t bytes) {
  for (int64_t line = 0; line < bytes; line += 64) XATTN_PREFETCH((const char *)from + line, LEVEL);
}

// The first n <= W elements at an index, as floats; the other lanes are 0. int8 is without its factor.
XATTN_INLINE vec loadAs(Type type, const void *data, int64_t index, int n) {
  const void *p = at(data, type, index);
  if (type == XATTN_FLOAT32) return n == W ? load((const float *)p) : loadFirst((const float *)p, n);
  if (type == XATTN_INT8) {
    if (n == W) return fromSigned((const int8_t *)p);
    int8_t bytes[W];
    return fromSigned(firstOf(bytes, (const int8_t *)p, n));
  }
  uint16_t words[W];
  const uint16_t *source = n == W ? (const uint16_t *)p : firstOf(words, (const uint16_t *)p, n);
  return type == XATTN_FLOAT16 ? fromHalf(source) : fromBfloat(source);
}

XATTN_INLINE void storeAs(Type type, void *data, int64_t index, vec a, int n) {
  void *p = (void *)at(data, type, index);
  if (type == XATTN_FLOAT32) {
    if (n == W)
      store((float *)p, a);
    else
      storeFirst((float *)p, a, n);
    return;
  }
  uint16_t words[W];
  uint16_t *target = n == W ? (uint16_t *)p : words;
  if (type == XATTN_FLOAT16)
    toHalf(target, a);
  else
    toBfloat(target, a);
  if (n < W) {
    for (int i = 0; i < n; i++) ((uint16_t *)p)[i] = words[i];
  }
}

// Factors of the rows from the one on that begins at an element.
XATTN_INLINE const float *scalesOf(const Operand &x, int64_t index) {
  return x.scales + index / x.row;
}

// Rows of one group read the same keys and values: the queries of the heads that share a key head, and those of all
// batch entries where keys and values are shared by the batch. Row r is (batch entry, head, query), the query running
// fastest.
struct Groups {
  bool sharedBatch;
  int64_t headsEach, rows, count;
};

XATTN_INLINE Groups groupsOf(const Problem *p) {
  Groups g;
  g.sharedBatch = p->key.batch == 0 && p->value.batch == 0;
  g.headsEach = p->heads / p->kvHeads;
  g.rows = (g.sharedBatch ? p->batch : 1) * g.headsEach * p->tq;
  g.count = (g.sharedBatch ? 1 : p->batch) * p->kvHeads;
  return g;
}

struct Row {
  int64_t query, output, mask; // element indices of its first elements
  int64_t index;               // among all rows, [batch, heads, tq]
  int64_t position;            // i + offset
  int64_t lo, hi;              // keys it may see, before the mask; lo == hi: none
  float slope, sink;           // of its head
};

// A tile's rows and what they share.
struct Rows {
  int count;
  int64_t key, value;   // element indices of key 0
  int64_t lo, hi;       // keys that some row sees
  int64_t allLo, allHi; // keys that every row sees; empty where allLo >= allHi
  bool sameMask;        // all rows read the same mask row
};

XATTN_INLINE void seeKeys(const Problem *p, int64_t b, int64_t i, Row *row) {
  int64_t length = p->keyLengths ? p->keyLengths[b] : p->tk;
  int64_t position = i + (p->offsets ? p->offsets[b] : 0);
  int64_t lo = 0, hi = length;
  if (p->causal) hi = smaller(hi, position + 1);
  if (p->windowLeft >= 0) lo = bigger(lo, position - p->windowLeft);
  if (p->windowRight >= 0) hi = smaller(hi, position + p->windowRight + 1);
  row->position = position;
  row->lo = lo < hi ? lo : 0;
  row->hi = lo < hi ? hi : 0;
}

// What the queries of a sequence see depends on their position.
XATTN_INLINE bool isSliding(const Problem *p) {
  return p->causal || p->windowLeft >= 0 || p->windowRight >= 0;
}

XATTN_INLINE void include(Rows *all, const Row *row) {
  if (row->lo < row->hi) all->lo = smaller(all->lo, row->lo);
  all->hi = bigger(all->hi, row->hi);
  all->allLo = bigger(all->allLo, row->lo);
  all->allHi = smaller(all->allHi, row->hi);
}

// Rows first .. first + capacity of a group.
XATTN_NOINLINE void layOut(const Problem *p, int64_t group, int64_t first, int capacity, Row *rows, Rows *all) {
  const Groups g = groupsOf(p);
  const int64_t keyHead = group % p->kvHeads, ownBatch = group / p->kvHeads;
  all->count = (int)smaller(capacity, g.rows - first);
  all->lo = all->allHi = INT64_MAX, all->hi = all->allLo = 0;
  all->sameMask = true;
  const bool sliding = isSliding(p);
  all->key = ownBatch * p->key.batch + keyHead * p->key.head;
  all->value = ownBatch * p->value.batch + keyHead * p->value.head;
  int64_t i = first % p->tq, sequence = first / p->tq;
  for (int r = 0; r < all->count; sequence++, i = 0) {
    const int64_t b = g.sharedBatch ? sequence / g.headsEach : ownBatch;
    const int64_t h = keyHead * g.headsEach + sequence % g.headsEach;
    int64_t query = b * p->query.batch + h * p->query.head + i * p->query.row;
    int64_t output = b * p->output.batch + h * p->output.head + i * p->output.row;
    int64_t mask = b * p->mask.batch + h * p->mask.head + i * p->mask.row;
    const float slope = p->alibi ? p->alibi[h] : 0, sink = p->sinks ? p->sinks[h] : -INFINITE;
    Row next = {query, output, mask, (b * p->heads + h) * p->tq + i, 0, 0, 0, slope, sink};
    for (bool first = true; r < all->count && i < p->tq; i++, r++, first = false) {
      if (first || sliding) {
        seeKeys(p, b, i, &next);
        include(all, &next);
      }
      rows[r] = next;
      all->sameMask = all->sameMask && next.mask == rows->mask;
      next.query += p->query.row, next.output += p->output.row, next.mask += p->mask.row;
      next.index++, next.position++;
    }
  }
  all->lo = smaller(all->lo, all->hi);
}

// A mask only takes keys away, and nothing else changes the scores.
XATTN_INLINE bool isBoolean(const Problem *p) {
  return p->mask.data && p->mask.type == XATTN_BOOL && !(p->softcap > 0) && !p->alibi;
}

// Scores need more than scale * q.k and key ranges.
XATTN_INLINE bool isGeneral(const Problem *p) {
  return p->mask.data || p->softcap > 0 || p->alibi;
}

// What a mask adds to the scores of n <= W keys from an index on: 0 or -infinity for a boolean one.
XATTN_NOINLINE vec biasOf(const Mask *mask, int64_t index, int n) {
  if (mask->type == XATTN_BOOL) {
    const uint8_t *from = (const uint8_t *)mask->data + index;
    if (mask->key == 1 && n == W) return hideZeros(from);
    uint8_t bytes[W] = {0};
    for (int i = 0; i < n; i++) bytes[i] = from[i * mask->key];
    return hideZeros(bytes);
  }
  if (mask->key == 1) return loadAs(mask->type, mask->data, index, n);
  float gathered[W] = {0};
  for (int i = 0; i < n; i++) storeFirst(gathered + i, loadAs(mask->type, mask->data, index + i * mask->key, 1), 1);
  return load(gathered);
}

// Scores are kept in units of log2, which saves a multiplication per exponential, but where biases come in: those are
// natural, so that nothing a caller gave is scaled: -3.4e38 stays what it is.
struct Units {
  float log2;     // log2(e^1 of a score), to go from scores to exponents of 2
  double natural; // from scores to natural logarithms
};
XATTN_INLINE Units unitsOf(const Problem *p) {
  const Units natural = {LOG2E, 1.0}, binary = {1.0f, 0.693147180559945309};
  return isGeneral(p) && !isBoolean(p) ? natural : binary;
}
