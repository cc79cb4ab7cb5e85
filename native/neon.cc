// NEON (AArch64): 4 lanes, 32 registers.
#if defined(__aarch64__) || defined(_M_ARM64)
#include "blocks.h"
#include "kernel.h"
#include "target.h"
#include <arm_neon.h>

#if defined(__GNUC__) && !defined(__clang__)
// gcc 12 would move all broadcasts of a step to its front and keep two of the 24 accumulators of a 4 x 6 tile in
// memory.
#pragma GCC push_options
#pragma GCC optimize("no-schedule-insns")
#endif

namespace {

typedef float32x4_t vec;
typedef uint32x4_t lanes;
enum { W = 4, REGISTERS = 32 };

XATTN_INLINE vec load(const float *p) {
  return vld1q_f32(p);
}
XATTN_INLINE vec loadFirst(const float *p, int n) {
  float t[4] = {0, 0, 0, 0};
  for (int i = 0; i < n; i++) t[i] = p[i];
  return vld1q_f32(t);
}
XATTN_INLINE void store(float *p, vec a) {
  vst1q_f32(p, a);
}
XATTN_INLINE void storeFirst(float *p, vec a, int n) {
  float t[4];
  vst1q_f32(t, a);
  for (int i = 0; i < n; i++) p[i] = t[i];
}
XATTN_INLINE vec broadcast(float x) {
  return vdupq_n_f32(x);
}
XATTN_INLINE vec broadcast(const float *p) {
  return vld1q_dup_f32(p);
}
XATTN_INLINE void hold(vec &) {} // no instruction here reads a vector from memory but loads

XATTN_INLINE vec add(vec a, vec b) {
  return vaddq_f32(a, b);
}
XATTN_INLINE vec sub(vec a, vec b) {
  return vsubq_f32(a, b);
}
XATTN_INLINE vec mul(vec a, vec b) {
  return vmulq_f32(a, b);
}
XATTN_INLINE vec div(vec a, vec b) {
  return vdivq_f32(a, b);
}
XATTN_INLINE vec fma(vec a, vec b, vec c) {
  return vfmaq_f32(c, a, b);
}
XATTN_INLINE vec absolute(vec a) {
  return vabsq_f32(a);
}

XATTN_INLINE lanes less(vec a, vec b) {
  return vcltq_f32(a, b);
}
XATTN_INLINE lanes equal(vec a, vec b) {
  return vceqq_f32(a, b);
}
XATTN_INLINE lanes both(lanes a, lanes b) {
  return vandq_u32(a, b);
}
XATTN_INLINE lanes either(lanes a, lanes b) {
  return vorrq_u32(a, b);
}
XATTN_INLINE bool any(lanes a) {
  return vmaxvq_u32(a) != 0;
}
XATTN_INLINE uint32_t bits(lanes a) {
  const uint32x4_t each = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(a, each));
}
XATTN_INLINE bool all(lanes a) {
  return vminvq_u32(a) != 0;
}
XATTN_INLINE vec select(lanes which, vec yes, vec no) {
  return vbslq_f32(which, yes, no);
}
// Both give b where a or b is NaN, which vmaxq_f32 does not.
XATTN_INLINE vec max(vec a, vec b) {
  return select(vcgtq_f32(a, b), a, b);
}
XATTN_INLINE vec min(vec a, vec b) {
  return select(vcltq_f32(a, b), a, b);
}

XATTN_INLINE vec roundNearest(vec a) {
  return vrndnq_f32(a);
}
// a * 2^n for integral n in -126..127.
XATTN_INLINE vec scaleByPower(vec a, vec n) {
  int32x4_t exponent = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
  return vmulq_f32(a, vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23)));
}
XATTN_INLINE float sum(vec a) {
  return vaddvq_f32(a);
}
XATTN_INLINE float largest(vec a) {
  return vmaxnmvq_f32(a);
}

template <class T> XATTN_INLINE const T *firstOf(T *to, const T *p, int n) {
  return copyFirst<W>(to, p, n);
}
XATTN_INLINE vec fromHalf(const uint16_t *p) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}
XATTN_INLINE vec fromBfloat(const uint16_t *p) {
  return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16));
}
// The even ones and the odd ones of 8, of which n are there and the others 0.
XATTN_INLINE void fromBfloats(const uint16_t *p, int n, vec *x) {
  uint16_t words[2 * W];
  if (n < 2 * W) p = copyFirst<2 * W>(words, p, n);
  const uint32x4_t both = vreinterpretq_u32_u16(vld1q_u16(p));
  x[0] = vreinterpretq_f32_u32(vshlq_n_u32(both, 16));
  x[1] = vreinterpretq_f32_u32(vandq_u32(both, vdupq_n_u32(0xffff0000)));
}
// -infinity where a byte is 0, else 0.
XATTN_INLINE vec hideZeros(const uint8_t *p) {
  const uint32_t wide[4] = {p[0], p[1], p[2], p[3]};
  return vreinterpretq_f32_u32(
      vandq_u32(vceqzq_u32(vld1q_u32(wide)), vreinterpretq_u32_f32(vdupq_n_f32(-XATTN_INFINITY))));
}
XATTN_INLINE vec fromSigned(const int8_t *p) {
  int8x8_t bytes = vreinterpret_s8_u32(vld1_dup_u32((const uint32_t *)p));
  return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(bytes))));
}
// 8 integers of 16 bits, of which n are there and the others 0, and 4 sums of products of neighbours.
typedef int16x8_t shorts;
typedef int32x4_t ints;
XATTN_INLINE shorts widenBytes(const int8_t *p, int n) {
  int8_t bytes[2 * W];
  if (n < 2 * W) p = copyFirst<2 * W>(bytes, p, n);
  return vmovl_s8(vld1_s8(p));
}
XATTN_INLINE shorts loadShorts(const int16_t *p) {
  return vld1q_s16(p);
}
XATTN_INLINE ints noInts() {
  return vdupq_n_s32(0);
}
XATTN_INLINE ints addPairs(ints sum, shorts a, shorts b) {
  return vaddq_s32(sum, vpaddq_s32(vmull_s16(vget_low_s16(a), vget_low_s16(b)), vmull_high_s16(a, b)));
}
XATTN_INLINE vec toFloats(ints a) {
  return vcvtq_f32_s32(a);
}
// a is within the range of int8.
XATTN_INLINE void toSigned(int8_t *p, vec a) {
  int32_t t[4];
  vst1q_s32(t, vcvtnq_s32_f32(a));
  for (int i = 0; i < 4; i++) p[i] = (int8_t)t[i];
}
// The same of 16 bits.
XATTN_INLINE void toShorts(int16_t *p, vec a) {
  vst1_s16(p, vmovn_s32(vcvtnq_s32_f32(a)));
}
XATTN_INLINE void toHalf(uint16_t *p, vec a) {
  vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(a)));
}
XATTN_INLINE void toBfloat(uint16_t *p, vec a) {
  uint32x4_t bits = vreinterpretq_u32_f32(a);
  uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
  uint32x4_t rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
  rounded = vbslq_u32(vceqq_f32(a, a), rounded, vdupq_n_u32(0x7fc00000));
  vst1_u16(p, vshrn_n_u32(rounded, 16));
}

// r[i] lane j becomes r[j] lane i.
XATTN_INLINE void transpose(vec *r) {
  float32x4x2_t ab = vtrnq_f32(r[0], r[1]), cd = vtrnq_f32(r[2], r[3]);
  r[0] = vcombine_f32(vget_low_f32(ab.val[0]), vget_low_f32(cd.val[0]));
  r[1] = vcombine_f32(vget_low_f32(ab.val[1]), vget_low_f32(cd.val[1]));
  r[2] = vcombine_f32(vget_high_f32(ab.val[0]), vget_high_f32(cd.val[0]));
  r[3] = vcombine_f32(vget_high_f32(ab.val[1]), vget_high_f32(cd.val[1]));
}

// Lane i of the result is the sum of the lanes of a[i]; nothing is left for joinFolds().
XATTN_INLINE vec foldFour(const vec *a) {
  return vpaddq_f32(vpaddq_f32(a[0], a[1]), vpaddq_f32(a[2], a[3]));
}
XATTN_INLINE vec joinFolds(const vec *t) {
  return *t;
}
// Even and odd lanes of 8 become 8 in their order.
XATTN_INLINE void interleave(vec *x) {
  const vec even = x[0], odd = x[1];
  x[0] = vzip1q_f32(even, odd), x[1] = vzip2q_f32(even, odd);
}

XATTN_INLINE ints broadcastInt(int32_t x) {
  return vdupq_n_s32(x);
}
XATTN_INLINE ints addInts(ints a, ints b) {
  return vaddq_s32(a, b);
}

// A pair of integers of 16 bits in every lane.
XATTN_INLINE shorts broadcastShorts(const int16_t *p) {
  return vreinterpretq_s16_s32(vdupq_n_s32(XATTN_SHORTS(p)));
}

#define XATTN_QUADS
XATTN_INLINE bool hasQuads() {
  return true;
}

// Two products of at most 127 * 128 fit 16 bits.
struct Quads {
  enum { FLIP = 0 };
  static XATTN_INLINE int32_t start(const int8_t *, int64_t) { return 0; }
  static XATTN_INLINE ints weights(const int8_t *p) { return vreinterpretq_s32_s8(vld1q_s8(p)); }
  static XATTN_INLINE ints add(ints sum, ints w, ints x) {
    const int8x16_t a = vreinterpretq_s8_s32(w), b = vreinterpretq_s8_s32(x);
    const int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(b)), high = vmull_high_s8(a, b);
    return vpadalq_s16(sum, vpaddq_s16(low, high));
  }
};

#define XATTN_TILES(tile) tile(4, 6, 1.0) tile(2, 8, 1.05) tile(1, 8, 1.2)
enum { LINEAR_VECTORS = 4, LINEAR_ROWS = 6, LINEAR_SUMS = 4 };
#include "kernel-inl.h"
#include "blocks-inl.h"

} // namespace
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
extern "C" const Kernel xattn_neon = {"neon", plan, attend, finish, map, convert, &blocks};
#endif
