// AVX2 with FMA and F16C: 8 lanes, 16 registers.
#if defined(__x86_64__) || defined(_M_X64)
#include "blocks.h"
#include "kernel.h"
#include "target.h"
#include <immintrin.h>

XATTN_BEGIN_TARGET("avx2,fma,f16c,bmi2")
namespace {

typedef __m256 vec;
typedef __m256 lanes;
enum { W = 8, REGISTERS = 16 };

XATTN_INLINE __m256i firstLanes(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

XATTN_INLINE vec load(const float *p) {
  return _mm256_loadu_ps(p);
}
XATTN_INLINE vec loadFirst(const float *p, int n) {
  return _mm256_maskload_ps(p, firstLanes(n));
}
XATTN_INLINE void store(float *p, vec a) {
  _mm256_storeu_ps(p, a);
}
XATTN_INLINE void storeFirst(float *p, vec a, int n) {
  _mm256_maskstore_ps(p, firstLanes(n), a);
}
XATTN_INLINE vec broadcast(float x) {
  return _mm256_set1_ps(x);
}
XATTN_INLINE vec broadcast(const float *p) {
  return _mm256_broadcast_ss(p);
}
// From here on it is in a register: a compiler may put a load into each instruction that wants the vector.
XATTN_INLINE void hold(vec &a) {
  XATTN_OPAQUE(a);
}

XATTN_INLINE vec add(vec a, vec b) {
  return _mm256_add_ps(a, b);
}
XATTN_INLINE vec sub(vec a, vec b) {
  return _mm256_sub_ps(a, b);
}
XATTN_INLINE vec mul(vec a, vec b) {
  return _mm256_mul_ps(a, b);
}
XATTN_INLINE vec div(vec a, vec b) {
  return _mm256_div_ps(a, b);
}
XATTN_INLINE vec fma(vec a, vec b, vec c) {
  return _mm256_fmadd_ps(a, b, c);
}
XATTN_INLINE vec absolute(vec a) {
  return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}
// Both give b where a or b is NaN.
XATTN_INLINE vec max(vec a, vec b) {
  return _mm256_max_ps(a, b);
}
XATTN_INLINE vec min(vec a, vec b) {
  return _mm256_min_ps(a, b);
}

XATTN_INLINE lanes less(vec a, vec b) {
  return _mm256_cmp_ps(a, b, _CMP_LT_OQ);
}
XATTN_INLINE lanes equal(vec a, vec b) {
  return _mm256_cmp_ps(a, b, _CMP_EQ_OQ);
}
XATTN_INLINE lanes both(lanes a, lanes b) {
  return _mm256_and_ps(a, b);
}
XATTN_INLINE lanes either(lanes a, lanes b) {
  return _mm256_or_ps(a, b);
}
XATTN_INLINE bool any(lanes a) {
  return _mm256_movemask_ps(a) != 0;
}
XATTN_INLINE uint32_t bits(lanes a) {
  return (uint32_t)_mm256_movemask_ps(a);
}
XATTN_INLINE bool all(lanes a) {
  return _mm256_movemask_ps(a) == 0xff;
}
XATTN_INLINE vec select(lanes which, vec yes, vec no) {
  return _mm256_blendv_ps(no, yes, which);
}

XATTN_INLINE vec roundNearest(vec a) {
  return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
// a * 2^n for integral n, where both a and that are normal. Addition leaves the multipliers alone; NaN, with n = NaN,
// has 0 added.
XATTN_INLINE vec scaleByPower(vec a, vec n) {
  const __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), exponent));
}
XATTN_INLINE float sum(vec a) {
  __m128 x = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  x = _mm_add_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
XATTN_INLINE float largest(vec a) {
  __m128 x = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  x = _mm_max_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}

template <class T> XATTN_INLINE const T *firstOf(T *to, const T *p, int n) {
  return copyFirst<W>(to, p, n);
}
XATTN_INLINE vec fromHalf(const uint16_t *p) {
  return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}
XATTN_INLINE vec fromBfloat(const uint16_t *p) {
  __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
// The even ones and the odd ones of 16, of which n are there and the others 0.
XATTN_INLINE void fromBfloats(const uint16_t *p, int n, vec *x) {
  uint16_t words[2 * W];
  if (n < 2 * W && n != W) p = copyFirst<2 * W>(words, p, n);
  __m256i both =
      n == W ? _mm256_zextsi128_si256(_mm_loadu_si128((const __m128i *)p)) : _mm256_loadu_si256((const __m256i *)p);
  XATTN_OPAQUE(both); // or it is loaded twice
  x[0] = _mm256_castsi256_ps(_mm256_slli_epi32(both, 16));
  x[1] = _mm256_castsi256_ps(_mm256_and_si256(both, _mm256_set1_epi32((int)0xffff0000)));
}
// -infinity where a byte is 0, else 0.
XATTN_INLINE vec hideZeros(const uint8_t *p) {
  const __m256i wide = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
  const __m256 zero = _mm256_castsi256_ps(_mm256_cmpeq_epi32(wide, _mm256_setzero_si256()));
  return _mm256_and_ps(zero, _mm256_set1_ps(-XATTN_INFINITY));
}
XATTN_INLINE vec fromSigned(const int8_t *p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
// 16 integers of 16 bits, of which n are there and the others 0, and 8 sums of products of their pairs.
typedef __m256i shorts;
typedef __m256i ints;
XATTN_INLINE shorts widenBytes(const int8_t *p, int n) {
  int8_t bytes[2 * W];
  if (n == W) return _mm256_cvtepi8_epi16(_mm_loadl_epi64((const __m128i *)p));
  if (n < 2 * W) p = copyFirst<2 * W>(bytes, p, n);
  return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)p));
}
XATTN_INLINE shorts loadShorts(const int16_t *p) {
  return _mm256_loadu_si256((const __m256i *)p);
}
XATTN_INLINE ints noInts() {
  return _mm256_setzero_si256();
}
XATTN_INLINE ints addPairs(ints sum, shorts a, shorts b) {
  sum = _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
  XATTN_OPAQUE(sum); // or gcc 12 makes many products before it adds them, and keeps sums in memory
  return sum;
}
XATTN_INLINE vec toFloats(ints a) {
  return _mm256_cvtepi32_ps(a);
}
// a is within the range of int8.
XATTN_INLINE void toSigned(int8_t *p, vec a) {
  __m256i wide = _mm256_cvtps_epi32(a);
  __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
  _mm_storel_epi64((__m128i *)p, _mm_packs_epi16(words, words));
}
// The same of 16 bits.
XATTN_INLINE void toShorts(int16_t *p, vec a) {
  const __m256i wide = _mm256_cvtps_epi32(a);
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
  _mm_storeu_si128((__m128i *)p, words);
}
XATTN_INLINE void toHalf(uint16_t *p, vec a) {
  _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(a, 0));
}
XATTN_INLINE void toBfloat(uint16_t *p, vec a) {
  __m256i bits = _mm256_castps_si256(a);
  __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  vec quiet = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fc00000));
  vec kept = select(_mm256_cmp_ps(a, a, _CMP_UNORD_Q), quiet, _mm256_castsi256_ps(rounded));
  __m256i high = _mm256_srli_epi32(_mm256_castps_si256(kept), 16);
  __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(high, high), 0x08);
  _mm_storeu_si128((__m128i *)p, _mm256_castsi256_si128(packed));
}

XATTN_INLINE vec unpackLow(vec a, vec b) {
  return _mm256_unpacklo_ps(a, b);
}
XATTN_INLINE vec unpackHigh(vec a, vec b) {
  return _mm256_unpackhi_ps(a, b);
}
XATTN_INLINE vec pairsLow(vec a, vec b) {
  return _mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(a), _mm256_castps_pd(b)));
}
XATTN_INLINE vec pairsHigh(vec a, vec b) {
  return _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(a), _mm256_castps_pd(b)));
}
XATTN_INLINE vec lowHalves(vec a, vec b) {
  return _mm256_permute2f128_ps(a, b, 0x20);
}
XATTN_INLINE vec highHalves(vec a, vec b) {
  return _mm256_permute2f128_ps(a, b, 0x31);
}

// r[i] lane j becomes r[j] lane i.
XATTN_INLINE void transpose(vec *r) {
  vec t[8];
  XATTN_UNROLL for (int i = 0; i < 8; i += 4) {
    vec ab = unpackLow(r[i], r[i + 1]), AB = unpackHigh(r[i], r[i + 1]);
    vec cd = unpackLow(r[i + 2], r[i + 3]), CD = unpackHigh(r[i + 2], r[i + 3]);
    t[i] = pairsLow(ab, cd), t[i + 1] = pairsHigh(ab, cd), t[i + 2] = pairsLow(AB, CD), t[i + 3] = pairsHigh(AB, CD);
  }
  XATTN_UNROLL for (int i = 0; i < 4; i++) r[i] = lowHalves(t[i], t[i + 4]), r[i + 4] = highHalves(t[i], t[i + 4]);
}

// The halves of each four lanes of a and b added up. A blend takes one of four ports, a shuffle one of two or the only.
XATTN_INLINE vec foldTwo(vec a, vec b) {
  return add(_mm256_blend_ps(a, b, 0xcc), _mm256_shuffle_ps(a, b, 0x4e));
}
// The lanes of four vectors added up in part, for joinFolds().
XATTN_INLINE vec foldFour(const vec *a) {
  const vec p = foldTwo(a[0], a[1]), q = foldTwo(a[2], a[3]);
  return add(_mm256_shuffle_ps(p, q, 0x88), _mm256_shuffle_ps(p, q, 0xdd));
}
// Lane i of the result is the sum of the lanes of the i-th vector that was folded.
XATTN_INLINE vec joinFolds(const vec *t) {
  return add(_mm256_blend_ps(t[0], t[1], 0xf0), _mm256_permute2f128_ps(t[0], t[1], 0x21));
}
// Even and odd lanes of 16 become 16 in their order.
XATTN_INLINE void interleave(vec *x) {
  const vec low = unpackLow(x[0], x[1]), high = unpackHigh(x[0], x[1]);
  x[0] = lowHalves(low, high), x[1] = highHalves(low, high);
}

XATTN_INLINE ints broadcastInt(int32_t x) {
  return _mm256_set1_epi32(x);
}
XATTN_INLINE ints addInts(ints a, ints b) {
  return _mm256_add_epi32(a, b);
}

// A pair of integers of 16 bits in every lane.
XATTN_INLINE shorts broadcastShorts(const int16_t *p) {
  return _mm256_set1_epi32(XATTN_SHORTS(p));
}

// Four loads would take as long as those of eight vectors of weights.
XATTN_INLINE void broadcastQuads(const int8_t *p, ints (&x)[4]) {
  const __m256i all = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p));
  x[0] = _mm256_shuffle_epi32(all, 0x00), x[1] = _mm256_shuffle_epi32(all, 0x55);
  x[2] = _mm256_shuffle_epi32(all, 0xaa), x[3] = _mm256_shuffle_epi32(all, 0xff);
}

#define XATTN_QUADS
XATTN_INLINE bool hasQuads() {
  return xattn_quads(W);
}

// AVX-VNNI. The instruction's first factors have no sign: 128 is added to the weights, and taken away at the start.
struct Quads {
  enum { FLIP = -128 };
  static XATTN_INLINE int32_t start(const int8_t *x, int64_t n) {
    ints sum = _mm256_setzero_si256();
    for (int64_t k = 0; k < n; k += 4 * W) sum = add(sum, _mm256_set1_epi8(-128), weights(x + k));
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return -_mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
  }
  static XATTN_INLINE ints weights(const int8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
  static XATTN_INLINE ints add(ints sum, ints w, ints x) {
#ifdef _MSC_VER
    return _mm256_dpbusd_avx_epi32(sum, w, x);
#else
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(w), "x"(x)); // no target has to have it
    return sum;
#endif
  }
};

#define XATTN_TILES(tile) tile(2, 6, 1.0) tile(1, 8, 1.1)
enum { LINEAR_VECTORS = 2, LINEAR_ROWS = 6, LINEAR_SUMS = 4 };
#include "kernel-inl.h"
#include "blocks-inl.h"

} // namespace
extern "C" const Kernel xattn_avx2 = {"avx2", plan, attend, finish, map, convert, &blocks};
XATTN_END_TARGET
#endif
