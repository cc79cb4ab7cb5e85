// Portable C++: groups of 4 floats that a compiler may turn into whatever the baseline of the platform has.
#include "blocks.h"
#include "kernel.h"
#include "target.h"

#if defined(__GNUC__) && !defined(__clang__)
// gcc would rather make vectors of the steps of a sum, which it then may only add up one by one: 20 times slower than
// the groups.
#pragma GCC optimize("no-tree-loop-vectorize")
#endif

namespace {

enum { W = 4, REGISTERS = 16 };
struct vec {
  float x[W];
};
struct lanes {
  bool x[W];
};

#define XATTN_EACH(type, expression)                                                                                   \
  type r;                                                                                                              \
  XATTN_UNROLL for (int i = 0; i < W; i++) r.x[i] = (expression);                                                      \
  return r

XATTN_INLINE vec load(const float *p) {
  XATTN_EACH(vec, p[i]);
}
XATTN_INLINE vec loadFirst(const float *p, int n) {
  XATTN_EACH(vec, i < n ? p[i] : 0.0f);
}
XATTN_INLINE void store(float *p, vec a) {
  XATTN_UNROLL for (int i = 0; i < W; i++) p[i] = a.x[i];
}
XATTN_INLINE void storeFirst(float *p, vec a, int n) {
  for (int i = 0; i < n; i++) p[i] = a.x[i];
}
XATTN_INLINE vec broadcast(float x) {
  XATTN_EACH(vec, x);
}
// Volatile: gcc 12 joins neighbouring loads of a loop to halves of a vector, takes the other half from the next row,
// which it does not use, and so reads past the last one.
XATTN_INLINE vec broadcast(const float *p) {
  return broadcast(*(const volatile float *)p);
}
XATTN_INLINE void hold(vec &) {} // no instruction here reads a vector from memory but loads

XATTN_INLINE vec add(vec a, vec b) {
  XATTN_EACH(vec, a.x[i] + b.x[i]);
}
XATTN_INLINE vec sub(vec a, vec b) {
  XATTN_EACH(vec, a.x[i] - b.x[i]);
}
XATTN_INLINE vec mul(vec a, vec b) {
  XATTN_EACH(vec, a.x[i] * b.x[i]);
}
XATTN_INLINE vec div(vec a, vec b) {
  XATTN_EACH(vec, a.x[i] / b.x[i]);
}
// Rounds twice: a fused multiply-add without hardware for it is a slow library call.
XATTN_INLINE vec fma(vec a, vec b, vec c) {
  XATTN_EACH(vec, a.x[i] * b.x[i] + c.x[i]);
}
XATTN_INLINE vec absolute(vec a) {
  XATTN_EACH(vec, a.x[i] < 0 ? -a.x[i] : a.x[i]);
}
// Both give b where a or b is NaN.
XATTN_INLINE vec max(vec a, vec b) {
  XATTN_EACH(vec, a.x[i] > b.x[i] ? a.x[i] : b.x[i]);
}
XATTN_INLINE vec min(vec a, vec b) {
  XATTN_EACH(vec, a.x[i] < b.x[i] ? a.x[i] : b.x[i]);
}

XATTN_INLINE lanes less(vec a, vec b) {
  XATTN_EACH(lanes, a.x[i] < b.x[i]);
}
XATTN_INLINE lanes equal(vec a, vec b) {
  XATTN_EACH(lanes, a.x[i] == b.x[i]);
}
XATTN_INLINE lanes both(lanes a, lanes b) {
  XATTN_EACH(lanes, a.x[i] && b.x[i]);
}
XATTN_INLINE lanes either(lanes a, lanes b) {
  XATTN_EACH(lanes, a.x[i] || b.x[i]);
}
XATTN_INLINE bool any(lanes a) {
  return a.x[0] || a.x[1] || a.x[2] || a.x[3];
}
XATTN_INLINE uint32_t bits(lanes a) {
  return (uint32_t)a.x[0] | (uint32_t)a.x[1] << 1 | (uint32_t)a.x[2] << 2 | (uint32_t)a.x[3] << 3;
}
XATTN_INLINE bool all(lanes a) {
  return a.x[0] && a.x[1] && a.x[2] && a.x[3];
}
XATTN_INLINE vec select(lanes which, vec yes, vec no) {
  XATTN_EACH(vec, which.x[i] ? yes.x[i] : no.x[i]);
}

union Bits {
  float value;
  uint32_t bits;
};
XATTN_INLINE float fromBits(uint32_t bits) {
  Bits u;
  u.bits = bits;
  return u.value;
}
XATTN_INLINE uint32_t toBits(float value) {
  Bits u;
  u.value = value;
  return u.bits;
}

// Adding and taking away 1.5 * 2^23 rounds |a| < 2^22 to an integer, ties to even.
XATTN_INLINE vec roundNearest(vec a) {
  XATTN_EACH(vec, (a.x[i] + 12582912.0f) - 12582912.0f);
}
// a * 2^n for integral n in -126..127. The low bits of n + 1.5 * 2^23 + 127 are the biased exponent.
XATTN_INLINE vec scaleByPower(vec a, vec n) {
  XATTN_EACH(vec, a.x[i] * fromBits(toBits(n.x[i] + (12582912.0f + 127.0f)) << 23));
}
XATTN_INLINE float sum(vec a) {
  return (a.x[0] + a.x[1]) + (a.x[2] + a.x[3]);
}
XATTN_INLINE float larger(float a, float b) {
  return a > b ? a : b;
}
XATTN_INLINE float largest(vec a) {
  return larger(larger(a.x[0], a.x[1]), larger(a.x[2], a.x[3]));
}

// 2^112 lifts the exponent of a half, whose subnormals it normalises, to that of a float; infinities and NaN are put
// back.
XATTN_INLINE float halfToFloat(uint16_t h) {
  uint32_t magnitude = (uint32_t)(h & 0x7fff) << 13, sign = (uint32_t)(h & 0x8000) << 16;
  if ((h & 0x7c00) == 0x7c00) return fromBits(sign | magnitude | 0x7f800000);
  return fromBits(sign | toBits(fromBits(magnitude) * 0x1p112f));
}
XATTN_INLINE uint16_t floatToHalf(float value) {
  uint32_t sign = (toBits(value) >> 16) & 0x8000, magnitude = toBits(value) & 0x7fffffff;
  if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00);
  if (magnitude >= 0x477ff000) return (uint16_t)(sign | 0x7c00); // 65520 and more round to infinity
  // Below the smallest normal half, 2^-14, adding 0.5 leaves the rounded multiple of 2^-24 in the low bits.
  if (magnitude < 0x38800000) return (uint16_t)(sign | (toBits(fromBits(magnitude) + 0.5f) - 0x3f000000));
  return (uint16_t)(sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >> 13) & 1)) >> 13));
}
XATTN_INLINE uint16_t floatToBfloat(float value) {
  uint32_t bits = toBits(value);
  return value != value ? 0x7fc0 : (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
template <class T> XATTN_INLINE const T *firstOf(T *to, const T *p, int n) {
  return copyFirst<W>(to, p, n);
}
XATTN_INLINE vec fromHalf(const uint16_t *p) {
  XATTN_EACH(vec, halfToFloat(p[i]));
}
XATTN_INLINE vec fromBfloat(const uint16_t *p) {
  XATTN_EACH(vec, fromBits((uint32_t)p[i] << 16));
}
// The even ones and the odd ones of 8, of which n are there and the others 0.
XATTN_INLINE void fromBfloats(const uint16_t *p, int n, vec *x) {
  uint16_t words[2 * W];
  if (n < 2 * W) p = copyFirst<2 * W>(words, p, n);
  XATTN_UNROLL for (int i = 0; i < W; i++) {
    x[0].x[i] = fromBits((uint32_t)p[2 * i] << 16), x[1].x[i] = fromBits((uint32_t)p[2 * i + 1] << 16);
  }
}
// -infinity where a byte is 0, else 0.
XATTN_INLINE vec hideZeros(const uint8_t *p) {
  XATTN_EACH(vec, p[i] ? 0.0f : -XATTN_INFINITY);
}
XATTN_INLINE vec fromSigned(const int8_t *p) {
  XATTN_EACH(vec, (float)p[i]);
}
// 8 integers of 16 bits, of which n are there and the others 0, and 4 sums of products of their pairs, all of them as
// floats: of 32 bits the baseline of x86 has no products. First the even ones, then the odd ones.
struct shorts {
  vec even, odd;
};
typedef vec ints;
template <class T> XATTN_INLINE shorts floatsOf(const T *p) {
  shorts r;
  XATTN_UNROLL for (int i = 0; i < W; i++) r.even.x[i] = p[2 * i], r.odd.x[i] = p[2 * i + 1];
  return r;
}
XATTN_INLINE shorts widenBytes(const int8_t *p, int n) {
  int8_t bytes[2 * W];
  return floatsOf(n < 2 * W ? copyFirst<2 * W>(bytes, p, n) : p);
}
XATTN_INLINE shorts loadShorts(const int16_t *p) {
  return floatsOf(p);
}
XATTN_INLINE ints noInts() {
  return broadcast(0.0f);
}
XATTN_INLINE ints addPairs(ints sum, shorts a, shorts b) {
  return fma(a.odd, b.odd, fma(a.even, b.even, sum));
}
XATTN_INLINE vec toFloats(ints a) {
  return a;
}
// a is within the range of int8.
XATTN_INLINE void toSigned(int8_t *p, vec a) {
  vec r = roundNearest(a);
  XATTN_UNROLL for (int i = 0; i < W; i++) p[i] = (int8_t)r.x[i];
}
// The same of 16 bits.
XATTN_INLINE void toShorts(int16_t *p, vec a) {
  vec r = roundNearest(a);
  XATTN_UNROLL for (int i = 0; i < W; i++) p[i] = (int16_t)r.x[i];
}
XATTN_INLINE void toHalf(uint16_t *p, vec a) {
  XATTN_UNROLL for (int i = 0; i < W; i++) p[i] = floatToHalf(a.x[i]);
}
XATTN_INLINE void toBfloat(uint16_t *p, vec a) {
  XATTN_UNROLL for (int i = 0; i < W; i++) p[i] = floatToBfloat(a.x[i]);
}

// r[i] lane j becomes r[j] lane i.
XATTN_INLINE void transpose(vec *r) {
  XATTN_UNROLL for (int i = 0; i < W; i++) {
    for (int j = 0; j < i; j++) {
      float t = r[i].x[j];
      r[i].x[j] = r[j].x[i], r[j].x[i] = t;
    }
  }
}

// Lane i of the result is the sum of the lanes of a[i]; nothing is left for joinFolds().
XATTN_INLINE vec foldFour(const vec *a) {
  XATTN_EACH(vec, sum(a[i]));
}
XATTN_INLINE vec joinFolds(const vec *t) {
  return *t;
}
// Even and odd lanes of 8 become 8 in their order.
XATTN_INLINE void interleave(vec *x) {
  const vec even = x[0], odd = x[1];
  XATTN_UNROLL for (int i = 0; i < 2 * W; i++) x[i / W].x[i % W] = (i % 2 ? odd : even).x[i / 2];
}

XATTN_INLINE ints broadcastInt(int32_t x) {
  return broadcast((float)x);
}
XATTN_INLINE ints addInts(ints a, ints b) {
  return add(a, b);
}
// A pair of integers of 16 bits in every lane.
XATTN_INLINE shorts broadcastShorts(const int16_t *p) {
  return {broadcast((float)p[0]), broadcast((float)p[1])};
}

XATTN_INLINE bool hasQuads() {
  return false;
}
struct Quads {
  enum { FLIP = 0 };
};

#define XATTN_TILES(tile) tile(2, 4, 1.0)
enum { LINEAR_VECTORS = 2, LINEAR_ROWS = 4, LINEAR_SUMS = 1 }; // of floats the order matters
#include "kernel-inl.h"
#include "blocks-inl.h"

} // namespace
extern "C" const Kernel xattn_scalar = {"scalar", plan, attend, finish, map, convert, &blocks};
