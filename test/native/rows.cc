#include "blocks.h"
#include "../../native/blocks.h"
#include "arrays.h"
#include <algorithm>

namespace {

std::string sizesOf(const char *name, int64_t rows, int64_t width) {
  return std::string(name) + " of " + std::to_string(rows) + " rows of " + std::to_string(width);
}

// Runs work on rows in ranges as threads would.
template <class Work> void inRanges(int64_t rows, Choices &choices, const Work &work) {
  for (int64_t from = 0; from < rows;) {
    const int64_t to = choices.between(from + 1, rows);
    work(from, to);
    from = to;
  }
}

class NormCall : public Call {
public:
  NormCall(const BlockSizes &s, Choices &choices, Memory &memory) {
    norm.rows = s.rows, norm.width = s.width, norm.centred = choices.chance(50);
    norm.eps = choices.pick({1e-5f, 1e-3f, 1.0f});
    float *x = makeFloats(memory, choices, "x", s.rows * s.width);
    if (choices.chance(20)) x[choices.below(s.rows * s.width)] = NAN;
    norm.x = x;
    if (choices.chance(60)) norm.weight = makeFloats(memory, choices, "weight", s.width);
    if (choices.chance(60)) norm.bias = makeFloats(memory, choices, "bias", s.width);
    norm.y = takeFloats(memory, "y", s.rows * s.width);
    inPlace = choices.chance(30);
  }

  std::string run(const Kernel &kernel, Choices &choices, Memory &) const override {
    Norm call = norm;
    if (inPlace) {
      std::copy_n(norm.x, norm.rows * norm.width, norm.y);
      call.x = norm.y;
    }
    inRanges(norm.rows, choices, [&](int64_t from, int64_t to) { kernel.blocks->norm(&call, from, to); });
    for (int64_t row = 0; row < norm.rows; row++) {
      const std::string wrong = judge(row);
      if (!wrong.empty()) return wrong;
    }
    return "";
  }

  std::string description() const override {
    return sizesOf(norm.centred ? "layer norm" : "rms norm", norm.rows, norm.width) + (norm.weight ? ", weight" : "") +
           (norm.bias ? ", bias" : "") + (inPlace ? ", in place" : "");
  }

private:
  std::string judge(int64_t row) const {
    const float *x = norm.x + row * norm.width;
    double mean = 0, square = 0, most = 0;
    for (int64_t i = 0; i < norm.width; i++) mean += norm.centred ? x[i] / static_cast<double>(norm.width) : 0;
    for (int64_t i = 0; i < norm.width; i++) {
      square += (x[i] - mean) * (x[i] - mean) / static_cast<double>(norm.width);
      most = std::max(most, std::fabs(static_cast<double>(x[i])));
    }
    const double factor = 1 / std::sqrt(square + norm.eps), roundings = 8 + static_cast<double>(norm.width) / 8;
    for (int64_t i = 0; i < norm.width; i++) {
      const double weight = norm.weight ? norm.weight[i] : 1, bias = norm.bias ? norm.bias[i] : 0;
      const double allowed = U * (roundings * most * factor * std::fabs(weight) + std::fabs(bias));
      const int64_t at = row * norm.width + i;
      const std::string wrong = unlessNear("y", at, norm.y[at], (x[i] - mean) * factor * weight + bias, allowed);
      if (!wrong.empty()) return wrong;
    }
    return "";
  }

  Norm norm = {};
  bool inPlace;
};

class EmbeddingCall : public Call {
public:
  EmbeddingCall(const BlockSizes &s, Choices &choices, Memory &memory) {
    call.rows = s.rows, call.width = s.width, call.type = chooseFloat(choices), call.scale = choices.number();
    call.stride = s.width + choices.pick({0, 0, 3});
    const int64_t count = (s.outputs - 1) * call.stride + s.width;
    void *table = memory.take("table", count * sizeOf(call.type), sizeOf(call.type));
    int64_t at = 0;
    fill(call.type, table, count, [&]() -> double { return at++ % call.stride < s.width ? choices.number() : NAN; });
    call.table = table;
    auto *ids = static_cast<int32_t *>(memory.take("ids", 4 * s.rows, 4));
    for (int64_t row = 0; row < s.rows; row++) ids[row] = static_cast<int32_t>(choices.below(s.outputs));
    ids[0] = static_cast<int32_t>(s.outputs - 1);
    call.ids = ids;
    call.y = takeFloats(memory, "y", s.rows * s.width);
  }

  std::string run(const Kernel &kernel, Choices &choices, Memory &) const override {
    inRanges(call.rows, choices, [&](int64_t from, int64_t to) { kernel.blocks->embedding(&call, from, to); });
    for (int64_t at = 0; at < call.rows * call.width; at++) {
      const int64_t from = call.ids[at / call.width] * call.stride + at % call.width;
      const double wanted = numberAt(call.type, call.table, from) * call.scale;
      const std::string wrong = unlessNear("y", at, call.y[at], wanted, U * std::fabs(wanted));
      if (!wrong.empty()) return wrong;
    }
    return "";
  }

  std::string description() const override {
    return sizesOf("embedding", call.rows, call.width) + ", type " + std::to_string(call.type);
  }

private:
  Embedding call = {};
};

class RotaryCall : public Call {
public:
  RotaryCall(const BlockSizes &s, Choices &choices, Memory &memory) {
    call.rows = s.rows, call.size = s.width, call.heads = choices.between(1, 3);
    call.dims = choices.chance(50) ? s.width / 2 * 2 : 2 * choices.between(0, s.width / 2);
    call.interleaved = choices.chance(50);
    call.x = makeFloats(memory, choices, "x", count());
    auto *positions = static_cast<int32_t *>(memory.take("positions", 4 * s.rows, 4));
    for (int64_t row = 0; row < s.rows; row++) positions[row] = static_cast<int32_t>(choices.below(s.outputs));
    positions[0] = static_cast<int32_t>(s.outputs - 1);
    call.positions = positions;
    call.table = makeFloats(memory, choices, "table", s.outputs * call.dims);
    call.y = takeFloats(memory, "y", count());
    inPlace = choices.chance(30);
  }

  std::string run(const Kernel &kernel, Choices &choices, Memory &) const override {
    Rotary turned = call;
    if (inPlace) {
      std::copy_n(call.x, count(), call.y);
      turned.x = call.y;
    }
    inRanges(call.rows, choices, [&](int64_t from, int64_t to) { kernel.blocks->rotary(&turned, from, to); });
    for (int64_t at = 0; at < count(); at++) {
      const std::string wrong = judge(at);
      if (!wrong.empty()) return wrong;
    }
    return "";
  }

  std::string description() const override {
    return sizesOf("rotary", call.rows * call.heads, call.size) + ", " + std::to_string(call.dims) + " turned" +
           (call.interleaved ? ", interleaved" : "") + (inPlace ? ", in place" : "");
  }

private:
  int64_t count() const { return call.rows * call.heads * call.size; }

  std::string judge(int64_t at) const {
    const int64_t i = at % call.size, half = call.dims / 2;
    if (i >= call.dims) return unlessNear("y", at, call.y[at], call.x[at], 0);
    const int64_t pair = call.interleaved ? i / 2 : i % half, step = call.interleaved ? 1 : half;
    const bool isSecond = call.interleaved ? i % 2 == 1 : i >= half;
    const float *angle = call.table + call.positions[at / call.size / call.heads] * call.dims + pair;
    const double own = call.x[at] * static_cast<double>(angle[0]);
    const double other = call.x[isSecond ? at - step : at + step] * static_cast<double>(angle[half]);
    const double allowed = 2 * U * (std::fabs(own) + std::fabs(other));
    return unlessNear("y", at, call.y[at], isSecond ? own + other : own - other, allowed);
  }

  Rotary call = {};
  bool inPlace;
};

} // namespace

BlockSizes chooseBlockSizes(Choices &choices) {
  auto length = [&](int64_t most) { return choices.chance(50) ? choices.between(1, 20) : choices.between(1, most); };
  return {length(110), choices.chance(5) ? choices.between(500, 1100) : length(150), length(150)};
}

AnyCall makeNorm(const BlockSizes &sizes, Choices &choices, Memory &memory) {
  return std::make_unique<NormCall>(sizes, choices, memory);
}

AnyCall makeEmbedding(const BlockSizes &sizes, Choices &choices, Memory &memory) {
  return std::make_unique<EmbeddingCall>(sizes, choices, memory);
}

AnyCall makeRotary(const BlockSizes &sizes, Choices &choices, Memory &memory) {
  return std::make_unique<RotaryCall>(sizes, choices, memory);
}
