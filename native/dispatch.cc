#include "dispatch.h"
#include <cstdlib>
#include <cstring>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

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

Leaf cpuid(unsigned number, unsigned part = 0) {
  Leaf leaf = {0, 0, 0, 0};
#ifdef _MSC_VER
  int most[4], registers[4];
  __cpuid(most, 0);
  if (number > (unsigned)most[0]) return leaf;
  __cpuidex(registers, (int)number, (int)part);
  leaf = {(unsigned)registers[0], (unsigned)registers[1], (unsigned)registers[2], (unsigned)registers[3]};
#else
  __get_cpuid_count(number, part, &leaf.eax, &leaf.ebx, &leaf.ecx, &leaf.edx);
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

// Whether the processor is AMD's.
bool isAmd() {
  const Leaf leaf = cpuid(0);
  return leaf.ebx == 0x68747541 && leaf.edx == 0x69746e65 && leaf.ecx == 0x444d4163; // "AuthenticAMD"
}

// AMX for bfloat16. Its registers are 8 KB more for every thread to save, so Linux wants to be asked, once a process.
bool hasAmx() {
#ifdef __linux__
  const unsigned bfloat16 = bit(22), tile = bit(24), tileConfig = bit(17), tileData = bit(18);
  const long requestPermission = 0x1023, dataFeature = 18;
  return has(cpuid(7).edx, bfloat16 | tile) && has(savedState(), tileConfig | tileData) &&
         syscall(SYS_arch_prctl, requestPermission, dataFeature) == 0;
#else
  return false;
#endif
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

// The environment variable is for tests: each of the ways that this CPU has.
Pairs detectPairs() {
#if defined(XATTN_X86) && !defined(_MSC_VER)
  const char *given = getenv("XATTN_BFLOAT16");
  const auto wanted = [given](const char *name) { return given == nullptr || strcmp(given, name) == 0; };
  const bool dots = hasAvx512() && has(cpuid(7, 1).eax, bit(5));
  if (wanted("amx") && dots && hasAmx()) return XATTN_AMX;
  // Intel's do one product of pairs in the time of two float32 products or four: no gain.
  if (dots && (given == nullptr ? isAmd() : wanted("dot"))) return XATTN_DOTS;
#endif
  return XATTN_NO_PAIRS;
}

struct Quads {
  bool of8, of16; // lanes
};

// AVX-VNNI and AVX-512 VNNI. The environment variable is for tests: products of 16 bits.
Quads detectQuads() {
#ifdef XATTN_X86
  const char *given = getenv("XATTN_INT8");
  if (given == nullptr || strcmp(given, "words") != 0) {
    return {hasAvx2() && has(cpuid(7, 1).eax, bit(4)), hasAvx512() && has(cpuid(7).ecx, bit(11))};
  }
#endif
  return {false, false};
}

} // namespace

Pairs xattn_pairs(void) {
  static const Pairs pairs = detectPairs();
  return pairs;
}

int xattn_quads(int lanes) {
  static const Quads quads = detectQuads();
  return lanes == 16 ? quads.of16 : lanes == 8 && quads.of8;
}

const Kernels &usableKernels() {
  static const Kernels kernels = detect();
  return kernels;
}
