// What a tile of queries fetches while it computes. The hardware follows long streams by itself, once it has noticed
// them; short ones end before that, so a tile with few keys fetches what the next tile will read and write.

struct Stream {
  const char *at;
  int64_t left, step; // bytes

  XATTN_INLINE void advance() {
    for (int64_t end = smaller(left, step); end > 0; end -= 64, at += 64, left -= 64) XATTN_PREFETCH(at, 2);
  }
};

// Whether the entries of a tensor follow each other without gaps.
XATTN_INLINE bool isDense(const Operand &x, int64_t heads, int64_t length, int64_t width) {
  return x.row == width && x.head == length * width && x.batch == heads * length * width;
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
  enum { FEW_KEYS = 1024, ONE_TILE_KEYS = 320 };
  Stream query, output, key, value;

  // `steps` calls of advance() per tile.
  void begin(const Problem *p, const Rows &rows, const Row *row, int64_t group, bool wholeGroup, int64_t steps) {
    const Stream none = {0, 0, 0};
    query = output = key = value = none;
    if (p->tk > FEW_KEYS) return;
    const int64_t left = p->batch * p->heads * p->tq - 1 - row[rows.count - 1].index, next = smaller(left, rows.count);
    if (isDense(p->query, p->heads, p->tq, p->d)) {
      query = streamOf(p->query, row[rows.count - 1].query + p->d, next, p->d, steps);
    }
    if (isDense(p->output, p->heads, p->tq, p->dv)) {
      output = streamOf(p->output, row[rows.count - 1].output + p->dv, next, p->dv, steps);
    }
    if (!wholeGroup || p->tk > ONE_TILE_KEYS || group + 1 == groupsOf(p).count) return;
    if (isDense(p->key, p->kvHeads, p->tk, p->d)) {
      key = streamOf(p->key, rows.key + p->tk * p->d, p->tk, p->d, steps);
    }
    if (isDense(p->value, p->kvHeads, p->tk, p->dv)) {
      value = streamOf(p->value, rows.value + p->tk * p->dv, p->tk, p->dv, steps);
    }
  }

  XATTN_INLINE void advance() {
    query.advance();
    output.advance();
    key.advance();
    value.advance();
  }
};
