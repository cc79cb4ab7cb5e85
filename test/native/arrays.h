// Arrays of made-up numbers, and how numbers that kernels make of them are judged.
#pragma once
#include "call.h"
#include "naive.h"
#include <cstdio>

// Half of the distance between 1 and the next float32.
constexpr double U = 0x1p-24;

// Types that callers' numbers have.
inline Type chooseFloat(Choices &choices) {
  return choices.pick({XATTN_FLOAT32, XATTN_FLOAT32, XATTN_FLOAT16, XATTN_BFLOAT16});
}

// Calls number() for each element.
template <class Number> void fill(Type type, void *data, int64_t count, const Number &number) {
  for (int64_t at = 0; at < count; at++) putNumber(type, data, at, number());
}

inline float *takeFloats(Memory &memory, const char *name, int64_t count) {
  return static_cast<float *>(memory.take(name, 4 * count, 4));
}

inline float *makeFloats(Memory &memory, Choices &choices, const char *name, int64_t count) {
  float *data = takeFloats(memory, name, count);
  fill(XATTN_FLOAT32, data, count, [&] { return choices.number(); });
  return data;
}

// As disagreement(), of one number: NaN where NaN is wanted.
inline std::string unlessNear(const char *name, int64_t at, double got, double wanted, double allowed) {
  if (got == wanted || (got != got && wanted != wanted) || std::fabs(got - wanted) <= allowed) return "";
  char text[200];
  std::snprintf(text, sizeof text, "%s[%lld] expected %.9g +- %.2g, got %.9g", name, static_cast<long long>(at), wanted,
                allowed, got);
  return text;
}
