// What the streams of keys and of values have in common: sizes, loads and fetches.

// Keys whose scores are held at a time, and floats from a row of them to the next, so that rows do not meet in the same
// sets of a cache; query rows that are served by one read of keys and of values (their sums stay in registers).
enum { CHUNK = 2048, PITCH = CHUNK + 16, BATCH = W < 8 ? 3 : W < 16 ? 5 : 6 };

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
