// What a tile of queries fetches while it computes. A tile with few keys ends before the hardware has noticed its
// streams, so it fetches what the next tile will read and write. One with many outruns the hardware, which reads no
// further than the end of a page, so it fetches its own keys and values a little ahead. Where a head is a single tile
// of very few keys all of it is read in order, and what came early would only push out what the tile works on.

enum { KEY_BLOCK = 96 };                            // keys that are dealt with at a time
enum { NEAR_BYTES = 1 << 18, FAR_BYTES = 1 << 19 }; // what a second-level cache holds in part, and does not hold

XATTN_INLINE int64_t keyBytes(const Problem *p) {
  return p->d * sizeOf(p->key.type) + p->dv * sizeOf(p->value.type);
}

// Whether keys and values of a head come from memory each time they are read.
XATTN_INLINE bool isFar(const Problem *p) {
  return p->tk * keyBytes(p) > FAR_BYTES;
}

struct Stream {
  const char *at;
  int64_t left, step; // bytes

  XATTN_INLINE void advance() {
    const char *line = at, *const end = at + smaller(left, step);
    for (; line < end; line += 64) XATTN_PREFETCH(line, 3);
    at = end, left -= smaller(left, step);
  }
};

// Whether the entries of a tensor follow each other without gaps.
XATTN_INLINE bool isDense(const Operand &x, int64_t heads, int64_t length, int64_t width) {
  return x.row == width && x.head == length * width && x.batch == heads * length * width;
}

// Rows from .. to of one head, to the second level: tiles would lose more of the first to them than they gain.
XATTN_INLINE void fetchRows(const Operand &x, int64_t first, int64_t from, int64_t to, int64_t width) {
  for (int64_t j = from; j < to; j++) {
    const char *row = (const char *)at(x.data, x.type, first + j * x.row);
    const char *end = (const char *)at(x.data, x.type, first + j * x.row + width);
    for (; row < end; row += 64) XATTN_PREFETCH(row, 2);
  }
}

// Up to `length` rows from an element index on, in `steps` portions.
XATTN_INLINE Stream streamOf(const Operand &x, int64_t index, int64_t length, int64_t width, int64_t steps) {
  Stream s;
  s.at = (const char *)at(x.data, x.type, index);
  s.left = (const char *)at(x.data, x.type, index + length * width) - s.at;
  s.step = (ceilDivide(s.left, steps) + 63) / 64 * 64;
  return s;
}

struct Prefetch {
  enum { FEW_KEYS = 1024, ONE_TILE_KEYS = 320, KEYS_AHEAD = 64 };
  Stream query, output, key, value;
  bool follows;                   // fetches its own keys and values
  int64_t keysAhead, valuesAhead; // converted are whole blocks of keys

  // Rows first .. of a group; `steps` calls of advance() per tile.
  void begin(const Problem *p, const Rows &rows, const Row *row, int64_t group, int64_t first, int64_t steps) {
    const Stream none = {0, 0, 0};
    const Groups g = groupsOf(p);
    const bool lastOfGroup = first + rows.count == g.rows, wholeGroup = lastOfGroup && first == 0;
    query = output = key = value = none;
    follows = isFar(p) || (wholeGroup && p->tk > FEW_KEYS);
    keysAhead = p->key.type == XATTN_FLOAT32 ? (int)KEYS_AHEAD : (int)KEY_BLOCK, valuesAhead = 0;
    if (p->tk > FEW_KEYS || (wholeGroup && p->tk <= KEY_BLOCK)) return;
    const int64_t left = p->batch * p->heads * p->tq - 1 - row[rows.count - 1].index, next = smaller(left, rows.count);
    if (isDense(p->query, p->heads, p->tq, p->d)) {
      query = streamOf(p->query, row[rows.count - 1].query + p->d, next, p->d, steps);
    }
    if (isDense(p->output, p->heads, p->tq, p->dv)) {
      output = streamOf(p->output, row[rows.count - 1].output + p->dv, next, p->dv, steps);
    }
    if (!lastOfGroup || p->tk > ONE_TILE_KEYS || group + 1 == g.count) return;
    if (isDense(p->key, p->kvHeads, p->tk, p->d)) {
      key = streamOf(p->key, rows.key + p->tk * p->d, p->tk, p->d, steps);
    }
    if (isDense(p->value, p->kvHeads, p->tk, p->dv)) {
      value = streamOf(p->value, rows.value + p->tk * p->dv, p->tk, p->dv, steps);
    }
  }

  // Before the scores of n keys: keys that scores want soon, and values that are wanted after the block. One function
  // because gcc leaves out calls of those that only prefetch.
  XATTN_NOINLINE void step(const Problem *p, const Rows &rows, int64_t key, int n) {
    advance();
    followKeys(p, rows, key, n);
    key += valuesAhead;
    if (follows) fetchRows(p->value, rows.value, key, smaller(p->tk, key + n), p->dv);
  }

  XATTN_INLINE void followKeys(const Problem *p, const Rows &rows, int64_t key, int n) {
    if (follows) fetchRows(p->key, rows.key, key + keysAhead, smaller(p->tk, key + keysAhead + n), p->d);
  }

  XATTN_NOINLINE void advance() {
    query.advance();
    output.advance();
    key.advance();
    value.advance();
  }
};
