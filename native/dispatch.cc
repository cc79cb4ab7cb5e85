#include "dispatch.h"

#if defined(__x86_64__) || defined(_M_X64)
#define XATTN_X86
#ifdef _MSC_VER
#include <immintrin.h>
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#endif

namespace {

struct Row {
  const Kernel *kernel;
  bool (*usable)();
};

bool always() {
  return true;
}

#ifdef XATTN_X86
// Asked for without __builtin_cpu_supports, which MSVC has not and which needs a runtime library that zig leaves out.
struct Leaf {
  unsigned eax, ebx, ecx, edx;
};

Leaf cpuid(unsigned number) {
  Leaf leaf = {0, 0, 0, 0};
#ifdef _MSC_VER
  int most[4], registers[4];
  __cpuid(most, 0);
  if (number > (unsigned)most[0]) return leaf;
  __cpuidex(registers, (int)number, 0);
  leaf = {(unsigned)registers[0], (unsigned)registers[1], (unsigned)registers[2], (unsigned)registers[3]};
#else
  __get_cpuid_count(number, 0, &leaf.eax, &leaf.ebx, &leaf.ecx, &leaf.edx);
#endif
  return leaf;
}

// Register files that the operating system saves at a switch of threads.
unsigned savedState() {
#ifdef _MSC_VER
  return (unsigned)_xgetbv(0);
#else
  unsigned low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
#endif
}

constexpr unsigned bit(int n) {
  return 1u << n;
}
bool has(unsigned value, unsigned bits) {
  return (value & bits) == bits;
}

// AVX2, FMA, F16C, BMI2.
bool hasAvx2() {
  const unsigned fma = bit(12), osxsave = bit(27), avx = bit(28), f16c = bit(29), avx2 = bit(5), bmi2 = bit(8);
  const unsigned xmm = bit(1), ymm = bit(2);
  return has(cpuid(1).ecx, fma | osxsave | avx | f16c) && has(savedState(), xmm | ymm) &&
         has(cpuid(7).ebx, avx2 | bmi2);
}

// AVX-512 F, DQ, BW, VL.
bool hasAvx512() {
  const unsigned f = bit(16), dq = bit(17), bw = bit(30), vl = bit(31);
  const unsigned masks = bit(5), zmmHigh = bit(6), zmm16to31 = bit(7);
  return hasAvx2() && has(savedState(), masks | zmmHigh | zmm16to31) && has(cpuid(7).ebx, f | dq | bw | vl);
}
#endif

const Row ROWS[] = {
#ifdef XATTN_X86
    {&xattn_avx512, hasAvx512},
    {&xattn_avx2, hasAvx2},
#elif defined(__aarch64__) || defined(_M_ARM64)
    {&xattn_neon, always},
#endif
    {&xattn_scalar, always},
};

Kernels detect() {
  Kernels kernels = {{}, 0};
  for (const Row &row : ROWS) {
    if (row.usable()) kernels.list[kernels.count++] = row.kernel;
  }
  return kernels;
}

} // namespace

const Kernels &usableKernels() {
  static const Kernels kernels = detect();
  return kernels;
}
