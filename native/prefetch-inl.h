// What a tile of queries fetches while it computes: a line with each step of a product, whose loads have room for it,
// and which a row of fetches would keep waiting. A tile with few keys ends before the hardware has noticed its streams,
// so it fetches what the next tile will read and write. One with many outruns the hardware, which reads no further than
// the end of a page, so it fetches its own keys and values. Where a head is a single tile of very few keys all of it is
// read in order, and what came early would only push out what the tile works on.

enum { KEY_BLOCK = 96 };                            // keys that are dealt with at a time
enum { NEAR_BYTES = 1 << 18, FAR_BYTES = 1 << 19 }; // what a second-level cache holds in part, and does not hold

XATTN_INLINE int64_t keyBytes(const Problem *p) {
  return p->d * sizeOf(p->key.type) + p->dv * sizeOf(p->value.type);
}

// Whether keys and values of a head come from memory each time they are read.
XATTN_INLINE bool isFar(const Problem *p) {
  return p->tk * keyBytes(p) > FAR_BYTES;
}

// Lines that are fetched one by one; the last one stays.
struct Stream {
  const char *at, *end;

  template <int LEVEL> XATTN_INLINE void fetchLine() {
    const char *const line = at, *const next = at + 64;
    at = next < end ? next : at;
    XATTN_PREFETCH(line, LEVEL);
    XATTN_ORDER(); // gcc would put it among the loads that a step begins with, which costs 3% where vectors are wide
  }
};

// Rows of a tensor that follow each other, from an element index on.
XATTN_INLINE Stream streamOf(const Operand &x, int64_t index, int64_t length, int64_t width) {
  const char *from = (const char *)at(x.data, x.type, index);
  return {from, from + length * width * sizeOf(x.type)};
}

// Whether the entries of a tensor follow each other without gaps.
XATTN_INLINE bool isDense(const Operand &x, int64_t heads, int64_t length, int64_t width) {
  return x.row == width && x.head == length * width && x.batch == heads * length * width;
}

struct Prefetch {
  enum { FEW_KEYS = 1024, ONE_TILE_KEYS = 320, KEYS_AHEAD = 64 };
  Stream none;
  Stream own;                     // keys or values, for the next scores
  Stream next[4];                 // what the next tile reads and writes
  int64_t portion;                // bytes of it for each few columns of the output
  bool follows;                   // fetches its own keys and values
  bool keysNext;                  // the next scores fetch keys, not values
  int64_t keysAhead, valuesAhead; // converted are whole blocks of keys

  // Rows first .. of a group; `portions` per tile. `scratch` is what may be fetched where nothing else is to be.
  void begin(const Problem *p, const Rows &rows, const Row *row, int64_t group, int64_t first, int64_t portions,
             const void *scratch) {
    const Groups g = groupsOf(p);
    const bool lastOfGroup = first + rows.count == g.rows, wholeGroup = lastOfGroup && first == 0;
    own = none = {(const char *)scratch, (const char *)scratch};
    for (Stream &x : next) x = none;
    follows = isFar(p) || (wholeGroup && p->tk > FEW_KEYS), keysNext = true;
    keysAhead = p->key.type == XATTN_FLOAT32 ? (int)KEYS_AHEAD : (int)KEY_BLOCK, valuesAhead = 0;
    if (p->tk > FEW_KEYS || (wholeGroup && p->tk <= KEY_BLOCK)) return;
    const Row *last = row + rows.count - 1;
    const int64_t n = smaller(p->batch * p->heads * p->tq - 1 - last->index, rows.count);
    if (isDense(p->query, p->heads, p->tq, p->d)) next[0] = streamOf(p->query, last->query + p->d, n, p->d);
    if (isDense(p->output, p->heads, p->tq, p->dv)) next[1] = streamOf(p->output, last->output + p->dv, n, p->dv);
    if (lastOfGroup && p->tk <= ONE_TILE_KEYS && group + 1 < g.count) {
      const int64_t key = rows.key + p->tk * p->d, value = rows.value + p->tk * p->dv;
      if (isDense(p->key, p->kvHeads, p->tk, p->d)) next[2] = streamOf(p->key, key, p->tk, p->d);
      if (isDense(p->value, p->kvHeads, p->tk, p->dv)) next[3] = streamOf(p->value, value, p->tk, p->dv);
    }
    int64_t bytes = 0;
    for (const Stream &x : next) bytes += x.end - x.at;
    portion = (bytes / bigger(1, portions * 3 / 4) + 63) / 64 * 64; // streams end within portions
  }

  // Before the scores of n keys, in turns: keys that scores want soon, and values that are wanted after the block.
  XATTN_NOINLINE void step(const Problem *p, const Rows &rows, int64_t key, int n) {
    if (keysNext)
      followKeys(p, rows, key, 2 * n);
    else if (follows)
      follow(p->value, rows.value, p->dv, key + valuesAhead, smaller(2 * n, p->tk - key - valuesAhead));
    keysNext = !keysNext;
  }

  XATTN_NOINLINE void followKeys(const Problem *p, const Rows &rows, int64_t key, int n) {
    if (follows) follow(p->key, rows.key, p->d, key + keysAhead, smaller(n, p->tk - key - keysAhead));
  }

  // n rows of a head, none where n is negative; those with gaps at once.
  XATTN_NOINLINE void follow(const Operand &x, int64_t start, int64_t width, int64_t first, int64_t n) {
    own = none;
    if (n > 0 && x.row == width) {
      own = streamOf(x, start + first * width, n, width);
      return;
    }
    for (int64_t j = first; j < first + n; j++) {
      fetchLines<XATTN_SECOND_LEVEL>(at(x.data, x.type, start + j * x.row), width * sizeOf(x.type));
    }
  }

  // A portion of what the next tile wants, for as many steps.
  XATTN_NOINLINE Stream take(int64_t steps) {
    for (Stream &x : next) {
      if (x.at == x.end) continue;
      const Stream some = {x.at, x.at + smaller(x.end - x.at, smaller(portion, 64 * steps))};
      x.at = some.end;
      return some;
    }
    return none;
  }
};
