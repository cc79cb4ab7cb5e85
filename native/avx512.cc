// AVX-512 (F, BW, DQ, VL): 16 lanes, 32 registers.
#if defined(__x86_64__) || defined(_M_X64)
#include "blocks.h"
#include "kernel.h"
#include "target.h"
#include <immintrin.h>

// What is behind bmi2 serves Quads and pairs-inl.h alone, which run where xattn_quads() and xattn_pairs() say so.
XATTN_BEGIN_TARGET("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,bmi2,avx512vnni,avx512bf16,amx-tile,amx-bf16")
namespace {

typedef __m512 vec;
typedef __mmask16 lanes;
enum { W = 16, REGISTERS = 32 };

XATTN_INLINE lanes firstLanes(int n) {
  return (lanes)((1u << n) - 1);
}

XATTN_INLINE vec load(const float *p) {
  return _mm512_loadu_ps(p);
}
XATTN_INLINE vec loadFirst(const float *p, int n) {
  return _mm512_maskz_loadu_ps(firstLanes(n), p);
}
XATTN_INLINE void store(float *p, vec a) {
  _mm512_storeu_ps(p, a);
}
XATTN_INLINE void storeFirst(float *p, vec a, int n) {
  _mm512_mask_storeu_ps(p, firstLanes(n), a);
}
XATTN_INLINE vec broadcast(float x) {
  return _mm512_set1_ps(x);
}
XATTN_INLINE vec broadcast(const float *p) {
  return _mm512_set1_ps(*p);
}
// From here on it is in a register: a compiler may put a load into each instruction that wants the vector.
XATTN_INLINE void hold(vec &a) {
  XATTN_OPAQUE(a);
}

XATTN_INLINE vec add(vec a, vec b) {
  return _mm512_add_ps(a, b);
}
XATTN_INLINE vec sub(vec a, vec b) {
  return _mm512_sub_ps(a, b);
}
XATTN_INLINE vec mul(vec a, vec b) {
  return _mm512_mul_ps(a, b);
}
XATTN_INLINE vec div(vec a, vec b) {
  return _mm512_div_ps(a, b);
}
XATTN_INLINE vec fma(vec a, vec b, vec c) {
  return _mm512_fmadd_ps(a, b, c);
}
XATTN_INLINE vec absolute(vec a) {
  return _mm512_abs_ps(a);
}
// Both give b where a or b is NaN.
XATTN_INLINE vec max(vec a, vec b) {
  return _mm512_max_ps(a, b);
}
XATTN_INLINE vec min(vec a, vec b) {
  return _mm512_min_ps(a, b);
}

XATTN_INLINE lanes less(vec a, vec b) {
  return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}
XATTN_INLINE lanes equal(vec a, vec b) {
  return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ);
}
XATTN_INLINE lanes both(lanes a, lanes b) {
  return a & b;
}
XATTN_INLINE lanes either(lanes a, lanes b) {
  return a | b;
}
XATTN_INLINE bool any(lanes a) {
  return a != 0;
}
XATTN_INLINE uint32_t bits(lanes a) {
  return a;
}
XATTN_INLINE bool all(lanes a) {
  return a == 0xffff;
}
XATTN_INLINE vec select(lanes which, vec yes, vec no) {
  return _mm512_mask_blend_ps(which, no, yes);
}

XATTN_INLINE vec roundNearest(vec a) {
  return _mm512_roundscale_ps(a, 0);
}

#define XATTN_POWERS
enum { POWERS = 32 };
// The bits of 2^(k / POWERS), each 2^(1 / POWERS) times the one before, less those of k that are below the exponent
// when k is added to it.
struct Powers {
  uint32_t bits[POWERS];
  constexpr Powers() : bits() {
    double power = 1;
    for (uint32_t k = 0; k < POWERS; k++, power *= 1.0218971486541166) {
      bits[k] = 0x3f800000 + (uint32_t)((power - 1) * (1 << 23) + 0.5) - k * ((1 << 23) / POWERS);
    }
  }
};
alignas(64) constexpr Powers TABLE;
// 2^(k / POWERS) for k in the lowest bits of a, -126 * POWERS .. 127 * POWERS.
XATTN_INLINE vec powerOf(vec a) {
  const __m512i k = _mm512_castps_si512(a);
  const __m512i low = _mm512_load_si512(TABLE.bits), high = _mm512_load_si512(TABLE.bits + 16);
  const __m512i bits = _mm512_permutex2var_epi32(low, k, high); // takes the last 5 bits of k
  return _mm512_castsi512_ps(_mm512_add_epi32(bits, _mm512_slli_epi32(k, 23 - 5)));
}
XATTN_INLINE float sum(vec a) {
  return _mm512_reduce_add_ps(a);
}
XATTN_INLINE float largest(vec a) {
  return _mm512_reduce_max_ps(a);
}

// n < 16 elements, zeros behind them.
XATTN_INLINE const uint16_t *firstOf(uint16_t *to, const uint16_t *p, int n) {
  _mm256_storeu_si256((__m256i *)to, _mm256_maskz_loadu_epi16(firstLanes(n), p));
  return to;
}
XATTN_INLINE const int8_t *firstOf(int8_t *to, const int8_t *p, int n) {
  _mm_storeu_si128((__m128i *)to, _mm_maskz_loadu_epi8(firstLanes(n), p));
  return to;
}
XATTN_INLINE vec fromHalf(const uint16_t *p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
XATTN_INLINE vec fromBfloat(const uint16_t *p) {
  __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
// The even ones and the odd ones of 32, of which n are there and the others 0.
XATTN_INLINE void fromBfloats(const uint16_t *p, int n, vec *x) {
  __m512i both = _mm512_maskz_loadu_epi16((__mmask32)((1ull << n) - 1), p);
  XATTN_OPAQUE(both); // or it is loaded twice
  x[0] = _mm512_castsi512_ps(_mm512_slli_epi32(both, 16));
  x[1] = _mm512_castsi512_ps(_mm512_and_si512(both, _mm512_set1_epi32((int)0xffff0000)));
}
// Even and odd lanes of 32 become 32 in their order.
XATTN_INLINE void interleave(vec *x) {
  const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const vec even = x[0], odd = x[1];
  x[0] = _mm512_permutex2var_ps(even, low, odd);
  x[1] = _mm512_permutex2var_ps(even, _mm512_add_epi32(low, _mm512_set1_epi32(8)), odd);
}
// -infinity where a byte is 0, else 0.
XATTN_INLINE vec hideZeros(const uint8_t *p) {
  const lanes zero = _mm_cmpeq_epi8_mask(_mm_loadu_si128((const __m128i *)p), _mm_setzero_si128());
  return _mm512_maskz_mov_ps(zero, _mm512_set1_ps(-XATTN_INFINITY));
}
XATTN_INLINE vec fromSigned(const int8_t *p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
// 32 integers of 16 bits, of which n are there and the others 0, and 16 sums of products of their pairs.
typedef __m512i shorts;
typedef __m512i ints;
XATTN_INLINE shorts widenBytes(const int8_t *p, int n) {
  return _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8((__mmask32)((1ull << n) - 1), p));
}
XATTN_INLINE shorts loadShorts(const int16_t *p) {
  return _mm512_loadu_si512(p);
}
XATTN_INLINE ints noInts() {
  return _mm512_setzero_si512();
}
XATTN_INLINE ints addPairs(ints sum, shorts a, shorts b) {
  sum = _mm512_add_epi32(sum, _mm512_madd_epi16(a, b));
  XATTN_OPAQUE(sum); // or gcc 12 makes many products before it adds them
  return sum;
}
XATTN_INLINE vec toFloats(ints a) {
  return _mm512_cvtepi32_ps(a);
}
// a is within the range of int8.
XATTN_INLINE void toSigned(int8_t *p, vec a) {
  _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a)));
}
// The same of 16 bits.
XATTN_INLINE void toShorts(int16_t *p, vec a) {
  _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(a)));
}
XATTN_INLINE void toHalf(uint16_t *p, vec a) {
  _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(a, 0));
}
XATTN_INLINE void toBfloat(uint16_t *p, vec a) {
  __m512i bits = _mm512_castps_si512(a);
  __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  __m512i quiet = _mm512_set1_epi32(0x7fc00000);
  rounded = _mm512_mask_blend_epi32(_mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), rounded, quiet);
  _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
}

XATTN_INLINE vec unpackLow(vec a, vec b) {
  return _mm512_unpacklo_ps(a, b);
}
XATTN_INLINE vec unpackHigh(vec a, vec b) {
  return _mm512_unpackhi_ps(a, b);
}
XATTN_INLINE vec pairsLow(vec a, vec b) {
  return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}
XATTN_INLINE vec pairsHigh(vec a, vec b) {
  return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}
XATTN_INLINE vec evenBlocks(vec a, vec b) {
  return _mm512_shuffle_f32x4(a, b, 0x88);
}
XATTN_INLINE vec oddBlocks(vec a, vec b) {
  return _mm512_shuffle_f32x4(a, b, 0xdd);
}

// r[i] lane j becomes r[j] lane i.
XATTN_INLINE void transpose(vec *r) {
  vec t[16];
  XATTN_UNROLL for (int i = 0; i < 16; i += 4) {
    vec ab = unpackLow(r[i], r[i + 1]), AB = unpackHigh(r[i], r[i + 1]);
    vec cd = unpackLow(r[i + 2], r[i + 3]), CD = unpackHigh(r[i + 2], r[i + 3]);
    t[i] = pairsLow(ab, cd), t[i + 1] = pairsHigh(ab, cd), t[i + 2] = pairsLow(AB, CD), t[i + 3] = pairsHigh(AB, CD);
  }
  XATTN_UNROLL for (int i = 0; i < 4; i++) {
    vec even = evenBlocks(t[i], t[i + 4]), EVEN = evenBlocks(t[i + 8], t[i + 12]);
    vec odd = oddBlocks(t[i], t[i + 4]), ODD = oddBlocks(t[i + 8], t[i + 12]);
    r[i] = evenBlocks(even, EVEN), r[i + 8] = oddBlocks(even, EVEN);
    r[i + 4] = evenBlocks(odd, ODD), r[i + 12] = oddBlocks(odd, ODD);
  }
}

// The lanes of four vectors added up in part, for joinFolds().
XATTN_INLINE vec foldFour(const vec *a) {
  vec p = add(unpackLow(a[0], a[1]), unpackHigh(a[0], a[1])), q = add(unpackLow(a[2], a[3]), unpackHigh(a[2], a[3]));
  return add(pairsLow(p, q), pairsHigh(p, q));
}
// Lane i of the result is the sum of the lanes of the i-th vector that was folded.
XATTN_INLINE vec joinFolds(const vec *t) {
  vec p = add(evenBlocks(t[0], t[1]), oddBlocks(t[0], t[1])), q = add(evenBlocks(t[2], t[3]), oddBlocks(t[2], t[3]));
  return add(evenBlocks(p, q), oddBlocks(p, q));
}

#ifndef _MSC_VER
#define XATTN_PAIRS

XATTN_INLINE __m256i words(const uint16_t *p, int n) {
  return _mm256_maskz_loadu_epi16(firstLanes(n), p);
}
// n <= 32 words, with zeros behind them.
XATTN_INLINE __m512i wideWords(const uint16_t *p, int n) {
  return _mm512_maskz_loadu_epi16(n < 32 ? (__mmask32)((1u << n) - 1) : ~(__mmask32)0, p);
}
XATTN_INLINE void copyWords(uint16_t *to, const uint16_t *from, int n) {
  _mm512_storeu_si512(to, wideWords(from, n));
}
// Pairs of bfloat16: a vec of them holds the first of each pair in the lower half of a lane.
XATTN_INLINE vec joinWords(__m256i low, __m256i high) {
  const __m512i upper = _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16);
  return _mm512_castsi512_ps(_mm512_or_si512(_mm512_cvtepu16_epi32(low), upper));
}
XATTN_INLINE vec pairOf(vec low, vec high) {
  return joinWords((__m256i)_mm512_cvtneps_pbh(low), (__m256i)_mm512_cvtneps_pbh(high));
}
// [32][2] words from n <= 32 of each, with zeros behind them.
XATTN_INLINE void joinWords(uint16_t *to, const uint16_t *low, int lowCount, const uint16_t *high, int highCount) {
  const __m512i a = wideWords(low, lowCount), b = wideWords(high, highCount);
  const __m512i first = _mm512_cvtepu16_epi32(_mm256_set_epi16(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
  const __m512i from = _mm512_or_si512(first, _mm512_slli_epi32(_mm512_or_si512(first, _mm512_set1_epi32(32)), 16));
  _mm512_storeu_si512(to, _mm512_permutex2var_epi16(a, from, b));
  _mm512_storeu_si512(to + 32, _mm512_permutex2var_epi16(a, _mm512_add_epi16(from, _mm512_set1_epi16(16)), b));
}
// Of numbers that are not NaN, halves rounded up: shifts and additions leave the multipliers alone.
XATTN_INLINE vec pairOfProbabilities(vec low, vec high) {
  const __m512i half = _mm512_set1_epi32(0x8000), upper = _mm512_set1_epi32((int)0xffff0000);
  const __m512i a = _mm512_srli_epi32(_mm512_add_epi32(_mm512_castps_si512(low), half), 16);
  const __m512i b = _mm512_add_epi32(_mm512_castps_si512(high), half);
  return _mm512_castsi512_ps(_mm512_or_si512(a, _mm512_and_si512(b, upper)));
}
XATTN_INLINE vec interleave(const uint16_t *low, int lowCount, const uint16_t *high, int highCount) {
  return joinWords(words(low, lowCount), words(high, highCount));
}
XATTN_INLINE vec broadcastPair(const uint16_t *p) {
  int32_t pair;
  __builtin_memcpy(&pair, p, sizeof pair);
  __m512i all = _mm512_set1_epi32(pair);
  XATTN_OPAQUE(all); // clang 16 crashes when it folds the broadcast into the product
  return _mm512_castsi512_ps(all);
}
XATTN_INLINE vec addDots(vec sum, vec a, vec b) {
  return _mm512_dpbf16_ps(sum, (__m512bh)_mm512_castps_si512(a), (__m512bh)_mm512_castps_si512(b));
}
#endif

XATTN_INLINE ints broadcastInt(int32_t x) {
  return _mm512_set1_epi32(x);
}
XATTN_INLINE ints addInts(ints a, ints b) {
  return _mm512_add_epi32(a, b);
}

// A pair of integers of 16 bits in every lane.
XATTN_INLINE shorts broadcastShorts(const int16_t *p) {
  return _mm512_set1_epi32(XATTN_SHORTS(p));
}

#define XATTN_QUADS
XATTN_INLINE bool hasQuads() {
  return xattn_quads(W);
}

// The instruction's first factors have no sign: 128 is added to the weights, and taken away at the start.
struct Quads {
  enum { FLIP = -128 };
  static XATTN_INLINE int32_t start(const int8_t *x, int64_t n) {
    ints sum = _mm512_setzero_si512();
    for (int64_t k = 0; k < n; k += 4 * W) sum = add(sum, _mm512_set1_epi8(-128), weights(x + k));
    return -_mm512_reduce_add_epi32(sum);
  }
  static XATTN_INLINE ints weights(const int8_t *p) { return _mm512_loadu_si512(p); }
  static XATTN_INLINE ints add(ints sum, ints w, ints x) {
#ifdef _MSC_VER
    return _mm512_dpbusd_epi32(sum, w, x);
#else
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(w), "v"(x)); // of the intrinsic gcc 12 keeps the sums in memory
    return sum;
#endif
  }
};

#define XATTN_TILES(tile) tile(4, 6, 1.0) tile(2, 8, 1.03) tile(1, 8, 1.2)
#define XATTN_PAIR_TILES(tile) tile(4, 6, 1.0) tile(2, 8, 1.03)
enum { LINEAR_VECTORS = 4, LINEAR_ROWS = 6, LINEAR_SUMS = 4 };
#include "kernel-inl.h"
#include "blocks-inl.h"

} // namespace
extern "C" const Kernel xattn_avx512 = {"avx512", plan, attend, finish, map, convert, &blocks};
XATTN_END_TARGET
#endif
