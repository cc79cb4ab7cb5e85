// Rows of keys or values read once for a few query rows, with lanes along d or dv.

// Keys whose scores are held at a time, and floats from a row of them to the next, so that rows do not meet in the same
// sets of a cache; query rows that are served by one read of keys and of values (their sums stay in registers), and
// keys whose sums are folded together.
enum { CHUNK = 2048, PITCH = CHUNK + 16, BATCH = W < 8 ? 3 : W < 16 ? 5 : 6, STEP = 4 };

// bfloat16 is read two vectors at a time, the even ones of 2 W first, which saves half of the work.
template <Type T> constexpr int vectorsOf() {
  return T == XATTN_BFLOAT16 ? 2 : 1;
}
// The line of a row's column, `ahead` bytes behind it. gcc would gather the fetches of several rows before their loads,
// which costs a tenth of the bandwidth.
template <Type T> XATTN_INLINE void fetchAhead(const void *row, int64_t column, int64_t ahead) {
  if (column * sizeOf(T) % 64 != 0) return;
  XATTN_PREFETCH((const char *)at(row, T, column) + ahead, XATTN_FIRST_LEVEL);
  XATTN_ORDER();
}
template <Type T> XATTN_INLINE void loadInOrder(const void *data, int64_t index, int n, vec *x) {
  if constexpr (T == XATTN_BFLOAT16) {
    fromBfloats((const uint16_t *)data + index, n, x);
  } else {
    x[0] = loadAs(T, data, index, n);
  }
}
// Keys times queries: a Part is EACH elements of either, a Sum W partial sums.
template <Type T> struct Products {
  enum { EACH = vectorsOf<T>() * W };
  struct Part {
    vec x[vectorsOf<T>()];
  };
  typedef vec Sum;
  typedef float Query;

  static XATTN_INLINE Part key(const void *keys, int64_t index, int n) {
    Part part;
    loadInOrder<T>(keys, index, n, part.x);
    return part;
  }
  static XATTN_INLINE Part query(const float *q) {
    Part part;
    part.x[0] = load(q);
    if constexpr (vectorsOf<T>() == 2) part.x[1] = load(q + W);
    return part;
  }
  static XATTN_INLINE Sum none() { return broadcast(0.0f); }
  static XATTN_INLINE Sum add(Sum sum, const Part &x, const Part &y) {
    sum = fma(x.x[0], y.x[0], sum);
    if constexpr (vectorsOf<T>() == 2) sum = fma(x.x[1], y.x[1], sum);
    return sum;
  }
  static XATTN_INLINE vec total(Sum sum) { return sum; }

  // Puts a query, of which `padded` floats are there, into the order of the keys. Returns a factor for its scores.
  static XATTN_INLINE float prepare(float *q, int64_t padded) {
    for (int64_t k = 0; vectorsOf<T>() == 2 && k < padded; k += 2 * W) {
      float t[2 * W];
      for (int i = 0; i < 2 * W; i++) t[i] = q[k + i];
      for (int i = 0; i < W; i++) q[k + i] = t[2 * i], q[k + W + i] = t[2 * i + 1];
    }
    return 1;
  }
};

// int8 is multiplied in integers of 16 bits, to which the query is rounded: 2^-8 of the keys' own rounding.
template <> struct Products<XATTN_INT8> {
  enum { EACH = 2 * W };
  typedef shorts Part;
  typedef ints Sum;
  typedef int16_t Query;

  static XATTN_INLINE Part key(const void *keys, int64_t index, int n) {
    return widenBytes((const int8_t *)keys + index, n);
  }
  static XATTN_INLINE Part query(const int16_t *q) { return loadShorts(q); }
  static XATTN_INLINE Sum none() { return noInts(); }
  static XATTN_INLINE Sum add(Sum sum, Part x, Part y) { return addPairs(sum, x, y); }
  static XATTN_INLINE vec total(Sum sum) { return toFloats(sum); }

  static XATTN_NOINLINE float prepare(float *q, int64_t padded) {
    // No more than what keeps W sums of products with 127 within 32 bits.
    const float most = (float)smaller(32767, INT32_MAX / 127 / (padded / W));
    const float factor = scaleOf(XATTN_FLOAT32, q, padded, most);
    toShortRow(q, (int16_t *)q, factor, most, padded); // behind what is still to be read
    return factor;
  }
};
