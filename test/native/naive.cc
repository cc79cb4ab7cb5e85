#include "naive.h"
#include "maps.h"
#include <cstdio>
#include <cstring>

size_t sizeOf(Type type) {
  return type == XATTN_FLOAT32 ? 4 : type == XATTN_BOOL || type == XATTN_INT8 ? 1 : 2;
}

double numberAt(Type type, const void *data, int64_t index) {
  if (type == XATTN_FLOAT32) return static_cast<const float *>(data)[index];
  if (type == XATTN_BOOL) return static_cast<const uint8_t *>(data)[index];
  if (type == XATTN_INT8) return static_cast<const int8_t *>(data)[index];
  const uint16_t bits = static_cast<const uint16_t *>(data)[index];
  const int fractionBits = type == XATTN_FLOAT16 ? 10 : 7, top = type == XATTN_FLOAT16 ? 31 : 255;
  const int exponent = (bits & 0x7fff) >> fractionBits, fraction = bits & ((1 << fractionBits) - 1);
  const double sign = bits & 0x8000 ? -1.0 : 1.0;
  if (exponent == top) return fraction ? NAN : sign * INFINITY;
  const int whole = exponent > 0 ? fraction + (1 << fractionBits) : fraction;
  return sign * std::ldexp(whole, (exponent > 0 ? exponent : 1) - top / 2 - fractionBits);
}

void putNumber(Type type, void *data, int64_t index, double number) {
  const float single = static_cast<float>(number);
  uint32_t bits;
  std::memcpy(&bits, &single, 4);
  if (type == XATTN_FLOAT32) {
    static_cast<float *>(data)[index] = single;
  } else if (type == XATTN_BOOL) {
    static_cast<uint8_t *>(data)[index] = static_cast<uint8_t>(number);
  } else if (type == XATTN_INT8) {
    static_cast<int8_t *>(data)[index] = static_cast<int8_t>(number);
  } else if (type == XATTN_BFLOAT16) {
    static_cast<uint16_t *>(data)[index] = bits >> 16;
  } else {
    const double size = std::fabs(number);
    const uint32_t sign = bits >> 16 & 0x8000;
    const uint32_t normal = (bits >> 13 & 0x3ffff) - (112 << 10);
    const uint32_t half = number != number ? 0x7e00 : size >= 65536 ? 0x7c00 : size < 0x1p-14 ? 0 : normal;
    static_cast<uint16_t *>(data)[index] = sign | half;
  }
}

static int64_t positionOf(const Problem &p, int64_t b, int64_t i) {
  return i + (p.offsets ? p.offsets[b] : 0);
}

static double maskAt(const Problem &p, int64_t b, int64_t h, int64_t i, int64_t j) {
  return numberAt(p.mask.type, p.mask.data, b * p.mask.batch + h * p.mask.head + i * p.mask.row + j * p.mask.key);
}

bool sees(const Problem &p, int64_t b, int64_t h, int64_t i, int64_t j) {
  const int64_t position = positionOf(p, b, i);
  if (p.keyLengths && j >= p.keyLengths[b]) return false;
  if (p.causal && j > position) return false;
  if (p.windowLeft >= 0 && j < position - p.windowLeft) return false;
  if (p.windowRight >= 0 && j > position + p.windowRight) return false;
  if (!p.mask.data) return true;
  return p.mask.type == XATTN_BOOL ? maskAt(p, b, h, i, j) != 0 : maskAt(p, b, h, i, j) != -INFINITY;
}

static double element(const Operand &x, int64_t b, int64_t h, int64_t t, int64_t column) {
  const int64_t at = b * x.batch + h * x.head + t * x.row + column;
  return numberAt(x.type, x.data, at) * (x.type == XATTN_INT8 ? x.scales[at / x.row] : 1);
}

static double scoreOf(const Problem &p, int64_t b, int64_t h, int64_t i, int64_t j) {
  const int64_t keyHead = h / (p.heads / p.kvHeads);
  double x = 0;
  for (int64_t c = 0; c < p.d; c++) x += element(p.query, b, h, i, c) * element(p.key, b, keyHead, j, c);
  x *= p.scale;
  if (p.softcap > 0) x = p.softcap * std::tanh(x / p.softcap);
  if (p.alibi) x -= p.alibi[h] * std::fabs(static_cast<double>(positionOf(p, b, i) - j));
  if (p.mask.data && p.mask.type != XATTN_BOOL) x += maskAt(p, b, h, i, j);
  return x;
}

static void addRow(const Problem &p, int64_t b, int64_t h, int64_t i, Results &all) {
  std::vector<double> weights(p.tk, 0.0), output(p.dv, 0.0);
  const double sink = p.sinks ? p.sinks[h] : -INFINITY;
  double top = sink, sum = 0;
  for (int64_t j = 0; j < p.tk; j++) {
    weights[j] = sees(p, b, h, i, j) ? scoreOf(p, b, h, i, j) : -INFINITY;
    top = std::fmax(top, weights[j]);
  }
  const double reference = top == -INFINITY ? 0 : top;
  for (double &x : weights) sum += x = std::exp(x - reference);
  sum += std::exp(sink - reference);
  for (int64_t j = 0; j < p.tk; j++) {
    if (!sees(p, b, h, i, j)) continue;
    weights[j] /= sum;
    for (int64_t c = 0; c < p.dv; c++) {
      output[c] += weights[j] * element(p.value, b, h / (p.heads / p.kvHeads), j, c);
    }
  }
  all.lse.push_back(std::log(sum) + reference);
  all.weights.insert(all.weights.end(), weights.begin(), weights.end());
  all.output.insert(all.output.end(), output.begin(), output.end());
}

Results naive(const Problem &p) {
  Results all;
  for (int64_t b = 0; b < p.batch; b++) {
    for (int64_t h = 0; h < p.heads; h++) {
      for (int64_t i = 0; i < p.tq; i++) addRow(p, b, h, i, all);
    }
  }
  return all;
}

double errorOf(const Problem &p, double lse) {
  // Beside a bias of 1e17 and more, scores vanish in float64 as they do in float32: nothing is lost.
  const double size = std::isfinite(lse) && std::fabs(lse) < 1e17 ? std::fabs(lse) : 0;
  const bool rounded = p.mayRound && p.key.type == XATTN_BFLOAT16 && p.value.type == XATTN_BFLOAT16;
  const double scores = std::fmax(1, std::fabs(p.scale) * std::sqrt(static_cast<double>(p.d)));
  const double rounding = rounded ? 0x1p-8 : p.key.type == XATTN_INT8 ? 0x1p-14 : 0;
  return 1e-6 * (20 + size) + 6 * rounding * scores;
}

static bool isNear(double got, double wanted, double error, Type type) {
  if (got == wanted || (got != got && wanted != wanted)) return true;
  const double rounding = type == XATTN_FLOAT16 ? 0x1p-11 : type == XATTN_BFLOAT16 ? 0x1p-8 : 0;
  return std::fabs(got - wanted) <= error + rounding * (std::fabs(wanted) + 0x1p-13);
}

static std::string describe(const char *name, int64_t row, int64_t column, double got, double wanted) {
  return std::string(name) + "[" + std::to_string(row) + "][" + std::to_string(column) + "] expected " +
         std::to_string(wanted) + ", got " + std::to_string(got);
}

std::string disagreement(const Problem &p, const Results &expected) {
  for (int64_t row = 0; row < p.batch * p.heads * p.tq; row++) {
    const int64_t i = row % p.tq, h = row / p.tq % p.heads, b = row / p.tq / p.heads;
    const double lse = expected.lse[row], error = errorOf(p, lse);
    if (p.lse && !isNear(p.lse[row], lse, error + 1e-6 * std::fabs(lse), XATTN_FLOAT32)) {
      return describe("lse", row, 0, p.lse[row], lse);
    }
    for (int64_t c = 0; c < p.dv; c++) {
      const double got = element(p.output, b, h, i, c), wanted = expected.output[row * p.dv + c];
      if (!isNear(got, wanted, error, p.output.type)) return describe("output", row, c, got, wanted);
    }
  }
  return mapDisagreement(p, expected);
}
