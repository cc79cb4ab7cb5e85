// Between memory, where rows lie as their owner laid them, and scratch, where lanes are rows: transposes W x W at a
// time. And from one element type to another.

// With wide vectors the loads of a square wait for two lines a row: those of the next rows are fetched meanwhile.
enum { FETCHES_ROWS = W > 8 };

// Query rows, times a factor, to [width, and up to W more][capacity]; lanes without a row are 0.
XATTN_NOINLINE void packRows(const Operand &from, const Row *row, int capacity, int count, int64_t width, float factor,
                             float *to) {
  const vec f = broadcast(factor);
  for (int g = 0; g < capacity; g += W) {
    for (int64_t k = 0; k < width; k += W) {
      const int n = (int)smaller(W, width - k);
      vec x[W];
      const float *floats = (const float *)from.data + k;
      const bool whole = from.type == XATTN_FLOAT32 && g + W <= count;
      if (whole && n == W) {
        XATTN_UNROLL for (int i = 0; i < W; i++) x[i] = load(floats + row[g + i].query);
        for (int i = g + W; FETCHES_ROWS && i < smaller(g + 2 * W, count); i++)
          XATTN_PREFETCH(floats + row[i].query, XATTN_FIRST_LEVEL);
      } else if (whole) {
        XATTN_UNROLL for (int i = 0; i < W; i++) x[i] = loadFirst(floats + row[g + i].query, n);
      } else {
        for (int i = 0; i < W; i++) {
          x[i] = g + i < count ? loadAs(from.type, from.data, row[g + i].query + k, n) : broadcast(0.0f);
        }
      }
      transpose(x);
      XATTN_UNROLL for (int i = 0; i < W; i++) store(to + (k + i) * capacity + g, mul(x[i], f));
    }
  }
}

// [width, and up to W more][capacity], times a factor per row, to rows of which row r begins at element index[r] of
// data.
XATTN_NOINLINE void unpackRows(const float *from, int capacity, const float *factor, int count, int64_t width,
                               Type type, void *data, const int64_t *index) {
  for (int g = 0; g < count; g += W) {
    const vec f = load(factor + g);
    for (int64_t c = 0; c < width; c += W) {
      const int n = (int)smaller(W, width - c);
      vec x[W];
      XATTN_UNROLL for (int i = 0; i < W; i++) x[i] = mul(load(from + (c + i) * capacity + g), f);
      transpose(x);
      const bool whole = type == XATTN_FLOAT32 && g + W <= count;
      if (whole && n == W) {
        XATTN_UNROLL for (int i = 0; i < W; i++) store((float *)data + index[g + i] + c, x[i]);
      } else if (whole) {
        XATTN_UNROLL for (int i = 0; i < W; i++) storeFirst((float *)data + index[g + i] + c, x[i], n);
      } else {
        for (int i = 0; i < W && g + i < count; i++) storeAs(type, data, index[g + i] + c, x[i], n);
      }
    }
  }
}

// n rows of one type to [n][width] float32.
template <Type T> XATTN_NOINLINE void toFloats(const Operand &from, int64_t start, int64_t width, int n, float *to) {
  const float *scales = T == XATTN_INT8 ? scalesOf(from, start) : nullptr;
  const int64_t whole = width / W * W;
  for (int j = 0; j < n; j++, start += from.row, to += width) {
    const vec scale = broadcast(T == XATTN_INT8 ? scales[j] : 1.0f);
    for (int64_t k = 0; k < whole; k += W) {
      const vec x = loadAs(T, from.data, start + k, W);
      store(to + k, T == XATTN_INT8 ? mul(x, scale) : x);
    }
    if (whole == width) continue;
    const vec x = loadAs(T, from.data, start + whole, (int)(width - whole));
    storeFirst(to + whole, T == XATTN_INT8 ? mul(x, scale) : x, (int)(width - whole));
  }
}

// Keys or values of a head in another form, from row `from` to row `to`. Tiles of a group may share them.
struct Converted {
  void *data;
  int64_t from, to;

  XATTN_INLINE bool has(int64_t row, int n) const { return row >= from && row + n <= to; }
};

// `start` is the element index of row 0.
XATTN_NOINLINE void toFloats(const Operand &x, int64_t start, int64_t width, int64_t row, int n, Converted *c) {
  float *to = (float *)c->data;
  start += row * x.row;
  if (x.type == XATTN_FLOAT16)
    toFloats<XATTN_FLOAT16>(x, start, width, n, to);
  else if (x.type == XATTN_BFLOAT16)
    toFloats<XATTN_BFLOAT16>(x, start, width, n, to);
  else
    toFloats<XATTN_INT8>(x, start, width, n, to);
  c->from = row, c->to = row + n;
}

// Rows of keys or values as float32: where they lie, or converted.
XATTN_INLINE const float *asFloats(const Operand &x, int64_t start, int64_t width, int64_t row, int n, Converted *c,
                                   int64_t *stride) {
  *stride = x.type == XATTN_FLOAT32 ? x.row : width;
  if (x.type == XATTN_FLOAT32) return (const float *)x.data + start + row * x.row;
  if (!c->has(row, n)) toFloats(x, start, width, row, n, c);
  return (const float *)c->data + (row - c->from) * width;
}

// The factor of a row as integers: its largest element becomes `most`. NaN where the row has NaN or an infinity, so
// that the whole row is NaN when it is read.
XATTN_INLINE float scaleOf(Type type, const void *row, int64_t width, float most = 127) {
  vec top = broadcast(0.0f), bad = broadcast(0.0f);
  for (int64_t k = 0; k < width; k += W) {
    const vec x = loadAs(type, row, k, (int)smaller(W, width - k));
    top = max(absolute(x), top);
    bad = add(bad, sub(x, x));
  }
  return all(equal(bad, broadcast(0.0f))) ? largest(top) / most : INFINITE - INFINITE;
}

// A row divided by its factor, in -127..127. What is too small for a factor is 0.
XATTN_INLINE void toSignedRow(Type type, const void *row, int8_t *to, float scale, int64_t width) {
  const vec divisor = broadcast(scale == 0 ? 1.0f : scale);
  for (int64_t k = 0; k < width; k += W) {
    const int n = (int)smaller(W, width - k);
    const vec x = div(loadAs(type, row, k, n), divisor);
    const vec bounded = max(min(x, broadcast(127.0f)), broadcast(-127.0f));
    if (n == W) {
      toSigned(to + k, bounded);
      continue;
    }
    int8_t bytes[W];
    toSigned(bytes, bounded);
    for (int i = 0; i < n; i++) to[k + i] = bytes[i];
  }
}

// A row of floats divided by its factor, in -most..most.
XATTN_INLINE void toShortRow(const float *row, int16_t *to, float scale, float most, int64_t width) {
  const vec divisor = broadcast(scale == 0 ? 1.0f : scale), top = broadcast(most), bottom = broadcast(-most);
  for (int64_t k = 0; k < width; k += W) {
    const int n = (int)smaller(W, width - k);
    int16_t words[W];
    toShorts(n == W ? to + k : words, max(min(div(loadAs(XATTN_FLOAT32, row, k, n), divisor), top), bottom));
    for (int i = 0; n < W && i < n; i++) to[k + i] = words[i];
  }
}

void convert(Type from, const void *source, Type to, void *target, float *scale, int64_t width) {
  if (to == XATTN_INT8) {
    *scale = scaleOf(from, source, width);
    return toSignedRow(from, source, (int8_t *)target, *scale, width);
  }
  for (int64_t k = 0; k < width; k += W) {
    const int n = (int)smaller(W, width - k);
    storeAs(to, target, k, loadAs(from, source, k, n), n);
  }
}
