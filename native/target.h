// How a kernel source is compiled for its instruction set: the compiler gets no -m flags. Instead the source includes
// the intrinsics header first, opens a target region, and includes the shared algorithm headers inside that region and
// inside an unnamed namespace. With flags for a whole file, any inline function that the file shares with others could
// be emitted with AVX-512 code in it, and the linker may choose that copy for everybody: an illegal instruction on an
// older CPU. For the same reason kernel sources include nothing of the C++ library, and leave no weak symbol in their
// objects.
#pragma once

#define XATTN_PRAGMA(text) _Pragma(#text)

#if defined(__clang__)
#define XATTN_BEGIN_TARGET(isa) XATTN_PRAGMA(clang attribute push(__attribute__((target(isa))), apply_to = function))
#define XATTN_END_TARGET _Pragma("clang attribute pop")
#define XATTN_UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define XATTN_BEGIN_TARGET(isa) _Pragma("GCC push_options") XATTN_PRAGMA(GCC target(isa))
#define XATTN_END_TARGET _Pragma("GCC pop_options")
#define XATTN_UNROLL _Pragma("GCC unroll 32")
#else
#define XATTN_BEGIN_TARGET(isa)
#define XATTN_END_TARGET
#define XATTN_UNROLL
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#define XATTN_INLINE __forceinline
#define XATTN_NOINLINE __declspec(noinline)
#define XATTN_LAMBDA_INLINE
#define XATTN_UNLIKELY(x) (x)
#define XATTN_INFINITY ((float)(1e300 * 1e300))
#define XATTN_PREFETCH(address, level) ((void)0)
#define XATTN_OPAQUE(vector) ((void)0)
#define XATTN_HERE(pointer) ((void)0)
#define XATTN_ORDER() ((void)0)
static __forceinline int XATTN_LOWEST_BIT(unsigned long long bits) {
  int at = 0;
  for (; !(bits & 1); bits >>= 1) at++;
  return at;
}
#else
#define XATTN_INLINE inline __attribute__((always_inline))
#define XATTN_NOINLINE __attribute__((noinline))
#define XATTN_LAMBDA_INLINE __attribute__((always_inline))
#define XATTN_UNLIKELY(x) __builtin_expect(x, 0)
#define XATTN_INFINITY __builtin_inff()
#define XATTN_PREFETCH(address, level) __builtin_prefetch(address, 0, level)
#define XATTN_LOWEST_BIT(bits) __builtin_ctzll(bits)
#define XATTN_OPAQUE(vector) __asm__("" : "+v"(vector))
// What is loaded through it from here on has not been loaded before, and is not kept for later.
#define XATTN_HERE(pointer) __asm__("" : "+r"(pointer))
// No instruction is moved across it by the compiler.
#define XATTN_ORDER() __asm__ volatile("")
#endif

// Cache levels that XATTN_PREFETCH brings a line to.
enum { XATTN_FIRST_LEVEL = 3, XATTN_SECOND_LEVEL = 2 };

// Four int8 in memory as they lie there, on little-endian machines one load.
#define XATTN_BYTE(p, at) ((uint32_t)(uint8_t)(p)[at] << 8 * (at))
#define XATTN_QUAD(p) ((int32_t)(XATTN_BYTE(p, 0) | XATTN_BYTE(p, 1) | XATTN_BYTE(p, 2) | XATTN_BYTE(p, 3)))

#define XATTN_SHORTS(p) ((int32_t)((uint32_t)(uint16_t)(p)[0] | (uint32_t)(uint16_t)(p)[1] << 16))

// n < ROOM elements, zeros behind them.
template <int ROOM, class T> static XATTN_INLINE const T *copyFirst(T *to, const T *from, int n) {
  for (int i = 0; i < ROOM; i++) to[i] = i < n ? from[i] : (T)0;
  return to;
}
