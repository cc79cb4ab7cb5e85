// Maps: parts and reductions of the weights. A block of weights is handed to the map and forgotten. Items write cells
// of their own, in an order that depends on the problem alone.

enum { MAP_RANGE = 1024 }; // keys of one item, where items of a map share rows: what they add to stays in the L2 cache

void cutMap(const Problem *p, int tileRows, MapPlan *plan) {
  const Groups g = groupsOf(p);
  const MapKind kind = p->map.kind;
  const int64_t each = ceilDivide(g.rows, tileRows), entries = g.sharedBatch ? 1 : p->batch;
  const bool across = kind == XATTN_MEAN || kind == XATTN_SUM;
  // The mean adds up the heads of an entry: item by item the tiles of the same queries, where tiles do not straddle
  // heads.
  const bool aligned = g.rows == p->tq || p->tq % tileRows == 0;
  plan->tiles = kind == XATTN_MEAN ? each * (g.count / entries) : kind == XATTN_SUM ? each : 1;
  plan->lanes = kind == XATTN_MEAN && aligned ? ceilDivide(p->tq, tileRows) : 1;
  plan->ranges = across ? ceilDivide(p->map.keyCount, MAP_RANGE) : 1;
  plan->items = g.count * each / plan->tiles * plan->lanes * plan->ranges;
  plan->stacked = kind == XATTN_MEAN && aligned && (!g.sharedBatch || p->batch == 1);
}

// Where a row's part of the map begins; negative: its head was left out.
XATTN_INLINE int64_t cellOf(const Problem *p, int64_t index) {
  const Map *map = &p->map;
  const int64_t i = index % p->tq, h = index / p->tq % p->heads, b = index / p->tq / p->heads;
  const int64_t place = map->heads ? map->heads[h] : h;
  if (place < 0) return -1;
  if (map->kind == XATTN_MEAN) return (b * p->tq + i) * map->keyCount;
  const int64_t sequence = b * map->headCount + place;
  if (map->kind == XATTN_SUM) return sequence * map->keyCount;
  const int64_t width = map->kind == XATTN_WEIGHTS ? map->keyCount : map->kind == XATTN_TOP ? map->k : 1;
  return (sequence * p->tq + i) * width;
}

XATTN_INLINE int64_t keyAt(const Map *map, int64_t c) {
  return map->keys ? map->keys[c] : c;
}

// How many of the chosen keys lie before this one.
XATTN_INLINE int64_t chosenBefore(const Map *map, int64_t key) {
  if (!map->keys) return key;
  int64_t low = 0, high = map->keyCount;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (map->keys[middle] < key)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

// Whether some of `count` rows of a group from `first` on belong to a chosen head.
XATTN_INLINE bool anyChosen(const Problem *p, int64_t group, int64_t first, int64_t count) {
  if (!p->map.heads) return true;
  const Groups g = groupsOf(p);
  for (int64_t s = first / p->tq; s * p->tq < smaller(first + count, g.rows); s++) {
    if (p->map.heads[group % p->kvHeads * g.headsEach + s % g.headsEach] >= 0) return true;
  }
  return false;
}

// What a map does with n weights of a row, of the chosen keys from the c-th on:

void placeWeights(const Map *map, int64_t cell, int64_t c, int n, const float *w) {
  float *to = map->values + cell;
  for (int j = 0; map->columns && j < n; j++) to[map->columns[c + j]] = w[j];
  for (int j = 0; !map->columns && j < n; j += W) {
    storeAs(XATTN_FLOAT32, to, c + j, load(w + j), (int)smaller(W, n - j));
  }
}

void addWeights(const Map *map, int64_t cell, int64_t c, int n, const float *w, float share) {
  float *to = map->values + cell;
  for (int j = 0; map->columns && j < n; j++) to[map->columns[c + j]] += share * w[j];
  for (int j = 0; !map->columns && j < n; j += W) {
    const int some = (int)smaller(W, n - j);
    const vec sum = fma(broadcast(share), load(w + j), loadAs(XATTN_FLOAT32, to, c + j, some));
    storeAs(XATTN_FLOAT32, to, c + j, sum, some);
  }
}

// NaN is above all else.
XATTN_INLINE bool isAbove(float a, float b) {
  return !(a <= b) & (b == b);
}

// Into the descending list of k weights, behind those that are as large. All of it is gone through and moved, for no
// branch can be told before.
XATTN_INLINE void insert(const Map *map, int64_t cell, float w, int32_t key) {
  float *list = map->values + cell;
  int32_t *index = map->indices + cell;
  int64_t place = 0;
  for (int64_t i = 0; i < map->k; i++) place += !isAbove(w, list[i]);
  for (int64_t i = map->k - 1; i > 0; i--) {
    const int64_t from = i - (i > place);
    list[i] = list[from], index[i] = index[from];
  }
  list[place] = w, index[place] = key;
}

// A weight that the k largest of the n reach: the least of the largest ones of at least k groups. 0 where they are
// fewer.
XATTN_INLINE float lowerBound(const float *w, int n, int64_t k) {
  if (n < W || k > W) return 0;
  vec all = load(w);
  for (int j = W; j < n; j += W) all = max(all, load(w + j));
  float top[W];
  store(top, all);
  int groups = W;
  for (; groups / 2 >= k; groups /= 2) {
    for (int i = 0; i < groups / 2; i++) top[i] = top[i] < top[groups / 2 + i] ? top[groups / 2 + i] : top[i];
  }
  float least = top[0];
  for (int i = 1; i < groups; i++) least = top[i] < least ? top[i] : least;
  return least;
}

enum { EVERY = (1 << W) - 1 };

// A list that is not full ends in 0, so that weights of 0 stay out. The first ones that come would all be listed for a
// while: a bound spares most of them that. 64 weights at a time, for the end of a loop over bits is what cannot be
// told.
void takeLargest(const Map *map, int64_t cell, int64_t c, int n, const float *w) {
  const float *last = map->values + cell + map->k - 1;
  const vec bound = broadcast(*last == 0 ? lowerBound(w, n, map->k) : 0.0f);
  for (int first = 0; first < n; first += 64) {
    uint64_t above = 0;
    for (int j = first; j < smaller(n, first + 64); j += W) {
      const vec x = load(w + j);
      const uint32_t some = (bits(less(broadcast(last), x)) & ~bits(less(x, bound))) | (EVERY & ~bits(equal(x, x)));
      above |= (uint64_t)some << (j - first);
    }
    for (; above != 0; above &= above - 1) {
      const int i = first + XATTN_LOWEST_BIT(above);
      if (isAbove(w[i], *last)) insert(map, cell, w[i], (int32_t)keyAt(map, c + i));
    }
  }
}

XATTN_INLINE float shareOf(const Map *map) {
  return map->kind == XATTN_MEAN ? 1.0f / (float)map->headCount : 1.0f;
}

void takeRow(const Map *map, int64_t cell, int64_t c, int n, const float *w) {
  if (map->kind == XATTN_WEIGHTS)
    placeWeights(map, cell, c, n, w);
  else if (map->kind == XATTN_TOP)
    takeLargest(map, cell, c, n, w);
  else
    addWeights(map, cell, c, n, w, shareOf(map));
}

// Where tiles of an item have the same cells, they add up in scratch: rows of results may lie a power of 2 apart, which
// the caches bear badly. Few queries do without.
template <int NV, int KR> constexpr bool stacks(const Tile<NV, KR> *) {
  return true;
}
constexpr bool stacks(const Decode *) {
  return false;
}

template <class T> XATTN_NOINLINE void placeSums(T *t, int64_t from, int64_t to, float *sums, float *scratch) {
  if constexpr (stacks((const T *)nullptr)) {
    const Map *map = &t->p->map;
    for (int64_t c = from; c < to; c += mapBlock(t)) {
      const int n = (int)smaller(mapBlock(t), to - c);
      const float *w = byRows(t, sums + (c - from) * T::R, n, scratch);
      for (int r = 0; r < t->rows.count; r++) {
        placeWeights(map, cellOf(t->p, t->row[r].index), c, n, w + r * mapPitch(t));
      }
    }
  }
}

// A tile's part of the map: from the chosen key `from` to `to`; into sums where there are any.
template <class T> XATTN_NOINLINE void mapTile(T *t, int64_t from, int64_t to, float *scratch, float *sums) {
  const Problem *p = t->p;
  const Map *map = &p->map;
  Ends ends;
  int64_t cell[4 * W];
  for (int r = 0; r < T::R; r++) t->m[r] = 0;
  for (int r = 0; r < t->rows.count; r++) {
    const int64_t index = t->row[r].index;
    t->m[r] = p->rows[2 * index], ends.factor[r] = p->rows[2 * index + 1];
    ends.logarithm[r] = logf(ends.factor[r]);
    cell[r] = cellOf(p, index);
  }
  to = smaller(to, chosenBefore(map, t->rows.hi));
  int n;
  for (int64_t c = bigger(from, chosenBefore(map, t->rows.lo)); c < to; c += n) {
    // Blocks end where the keys begin or end that all rows see, so that no score depends on the block that it is in.
    const int64_t key = keyAt(map, c), lo = t->rows.allLo, hi = t->rows.allHi;
    const int64_t end = smaller(key + mapBlock(t), key < lo ? lo : key < hi ? hi : INT64_MAX);
    n = (int)(smaller(to, chosenBefore(map, end)) - c);
    if (!scoresOf(t, key, (int)(keyAt(map, c + n - 1) + 1 - key))) continue;
    if (map->keys) gather(t, map->keys + c, n, key);
    if (map->kind == XATTN_ENTROPY) {
      addEntropies(t, n, &ends);
      continue;
    }
    if constexpr (stacks((const T *)nullptr)) {
      if (sums) {
        addShares(t, n, ends, shareOf(map), sums + (c - from) * T::R);
        continue;
      }
    }
    const float *w = weigh(t, n, ends, scratch);
    for (int r = 0; r < t->rows.count; r++) {
      if (cell[r] >= 0) takeRow(map, cell[r], c, n, w + r * mapPitch(t));
    }
  }
  for (int r = 0; map->kind == XATTN_ENTROPY && r < t->rows.count; r++) {
    if (cell[r] >= 0) map->values[cell[r]] = 0 - ends.entropy[r];
  }
}

template <class T> size_t tileBytes(const Problem *p) {
  return (T::scratchBytes(p) + 63) / 64 * 64;
}

template <class T> size_t mapScratchBytes(const Problem *p) {
  const int sums = stacks((const T *)nullptr) && p->map.kind == XATTN_MEAN ? MAP_RANGE + W : 0;
  return tileBytes<T>(p) + (size_t)(T::R * (mapPitch((const T *)nullptr) + sums)) * sizeof(float);
}

template <class T> XATTN_NOINLINE void mapItem(const Problem *p, const Plan *plan, int64_t item, void *scratch) {
  const MapPlan *m = &plan->map;
  const int64_t range = item % m->ranges, lane = item / m->ranges % m->lanes, set = item / m->ranges / m->lanes;
  const int64_t from = range * MAP_RANGE;
  const int64_t to = m->ranges == 1 ? p->map.keyCount : smaller(p->map.keyCount, from + MAP_RANGE);
  float *const rows = (float *)((char *)scratch + tileBytes<T>(p));
  float *const sums = stacks((const T *)nullptr) && m->stacked ? rows + T::R * mapPitch((const T *)nullptr) : nullptr;
  for (int64_t n = 0; sums && n < (to - from + W) * T::R; n++) sums[n] = 0;
  T t;
  for (int64_t i = lane; i < m->tiles; i += m->lanes) {
    const int64_t tile = set * m->tiles + i, group = tile / plan->each, first = tile % plan->each * T::R;
    if (!anyChosen(p, group, first, T::R)) continue;
    t.begin(p, group, first, scratch);
    mapTile(&t, from, to, rows, sums);
  }
  if (sums) placeSums(&t, from, to, sums, rows);
}
