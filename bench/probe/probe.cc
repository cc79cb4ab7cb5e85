// The machine's limits, for the benchmarks: FMA peak and read bandwidth of one core, by instruction set.
#include "../../native/target.h"
#include <chrono>
#include <cstring>
#include <node_api.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

static double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

static double smaller(double a, double b) {
  return a < b ? a : b;
}

// A result that is used cannot be optimized away.
static void keep(float x) {
  static volatile float kept;
  kept = x;
}

struct Limits {
  const char *name; // as in the backends of xattn
  bool usable;
  double (*peak)();
  void (*readAll)(const float *, size_t);
};

#if defined(__x86_64__)
XATTN_BEGIN_TARGET("avx512f")
namespace avx512 {
struct Vec {
  typedef __m512 T;
  static constexpr int WIDTH = 16, CHAINS = 20;
  static XATTN_INLINE T set1(float x) { return _mm512_set1_ps(x); }
  static XATTN_INLINE T load(const float *p) { return _mm512_loadu_ps(p); }
  static XATTN_INLINE T add(T a, T b) { return _mm512_add_ps(a, b); }
  static XATTN_INLINE T fma(T a, T b, T c) { return _mm512_fmadd_ps(a, b, c); }
  static XATTN_INLINE float first(T a) { return _mm512_cvtss_f32(a); }
};
#include "probe-inl.h"
} // namespace avx512
XATTN_END_TARGET

XATTN_BEGIN_TARGET("avx2,fma")
namespace avx2 {
struct Vec {
  typedef __m256 T;
  static constexpr int WIDTH = 8, CHAINS = 12;
  static XATTN_INLINE T set1(float x) { return _mm256_set1_ps(x); }
  static XATTN_INLINE T load(const float *p) { return _mm256_loadu_ps(p); }
  static XATTN_INLINE T add(T a, T b) { return _mm256_add_ps(a, b); }
  static XATTN_INLINE T fma(T a, T b, T c) { return _mm256_fmadd_ps(a, b, c); }
  static XATTN_INLINE float first(T a) { return _mm256_cvtss_f32(a); }
};
#include "probe-inl.h"
} // namespace avx2
XATTN_END_TARGET

static const Limits LIMITS[] = {
    {"avx512", __builtin_cpu_supports("avx512f") != 0, avx512::peak, avx512::readAll},
    {"avx2", __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"), avx2::peak, avx2::readAll},
};
#elif defined(__aarch64__)
namespace neon {
struct Vec {
  typedef float32x4_t T;
  static constexpr int WIDTH = 4, CHAINS = 24;
  static XATTN_INLINE T set1(float x) { return vdupq_n_f32(x); }
  static XATTN_INLINE T load(const float *p) { return vld1q_f32(p); }
  static XATTN_INLINE T add(T a, T b) { return vaddq_f32(a, b); }
  static XATTN_INLINE T fma(T a, T b, T c) { return vfmaq_f32(c, a, b); }
  static XATTN_INLINE float first(T a) { return vgetq_lane_f32(a, 0); }
};
#include "probe-inl.h"
} // namespace neon

static const Limits LIMITS[] = {{"neon", true, neon::peak, neon::readAll}};
#else
#error "no probe for this CPU"
#endif

static const Limits *limitsOf(napi_env env, napi_value given) {
  char name[16] = "";
  napi_get_value_string_utf8(env, given, name, sizeof name, nullptr);
  for (const Limits &limits : LIMITS) {
    if (limits.usable && std::strcmp(limits.name, name) == 0) return &limits;
  }
  return nullptr;
}

static napi_value number(napi_env env, double x) {
  napi_value result;
  napi_create_double(env, x, &result);
  return result;
}

// peak(name): GFLOP/s of one core, NaN for a name that is not usable here.
static napi_value peak(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value name;
  napi_get_cb_info(env, info, &count, &name, nullptr, nullptr);
  const Limits *limits = limitsOf(env, name);
  return number(env, limits ? limits->peak() : __builtin_nan(""));
}

// read(name, a, b): seconds of one pass over two Float32Arrays, best of three; NaN for a name that is not usable here.
static napi_value read(napi_env env, napi_callback_info info) {
  size_t count = 3;
  napi_value arguments[3];
  napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr);
  const Limits *limits = limitsOf(env, arguments[0]);
  if (!limits) return number(env, __builtin_nan(""));
  void *data[2];
  size_t length[2];
  for (int i = 0; i < 2; ++i) {
    napi_get_typedarray_info(env, arguments[i + 1], nullptr, &length[i], &data[i], nullptr, nullptr);
  }
  double best = 1e9;
  for (int pass = 0; pass < 3; ++pass) {
    const double start = seconds();
    for (int i = 0; i < 2; ++i) limits->readAll(static_cast<const float *>(data[i]), length[i]);
    best = smaller(best, seconds() - start);
  }
  return number(env, best);
}

NAPI_MODULE_INIT() {
  napi_value function;
  napi_create_function(env, "peak", NAPI_AUTO_LENGTH, peak, nullptr, &function);
  napi_set_named_property(env, exports, "peak", function);
  napi_create_function(env, "read", NAPI_AUTO_LENGTH, read, nullptr, &function);
  napi_set_named_property(env, exports, "read", function);
  return exports;
}
