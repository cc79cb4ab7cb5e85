#include "blocks.h"
#include "arrays.h"

namespace {

class ConvertCall : public Call {
public:
  ConvertCall(const BlockSizes &s, Choices &choices, Memory &memory) : width(s.width) {
    from = chooseFloat(choices), to = choices.pick({XATTN_FLOAT32, XATTN_FLOAT16, XATTN_BFLOAT16, XATTN_INT8});
    const float factor = choices.pick({1.0f, 1.0f, 3e4f, 1e-6f, 0.0f});
    void *data = memory.take("source", width * sizeOf(from), sizeOf(from));
    fill(from, data, width, [&] { return factor * choices.number(); });
    if (choices.chance(20)) putNumber(from, data, choices.below(width), choices.pick({NAN, INFINITY, -INFINITY}));
    source = data;
    target = memory.take("row", width * sizeOf(to), sizeOf(to));
    if (to == XATTN_INT8) scale = takeFloats(memory, "scale", 1);
  }

  std::string run(const Kernel &kernel, Choices &, Memory &) const override {
    kernel.convert(from, source, to, target, scale, width);
    double most = 0;
    for (int64_t i = 0; i < width; i++) most = std::fmax(most, std::fabs(numberAt(from, source, i)));
    bool isBad = !std::isfinite(most);
    for (int64_t i = 0; i < width; i++) isBad = isBad || std::isnan(numberAt(from, source, i));
    if (to == XATTN_INT8) {
      const std::string wrong = unlessNear("scale", 0, *scale, isBad ? NAN : most / 127, U * most / 127 + 0x1p-149);
      if (!wrong.empty() || isBad) return wrong;
    }
    for (int64_t i = 0; i < width; i++) {
      const double wanted = numberAt(from, source, i);
      const double got = numberAt(to, target, i) * (to == XATTN_INT8 ? *scale : 1);
      const std::string wrong = unlessNear("row", i, got, wanted, roundingOf(wanted));
      if (!wrong.empty()) return wrong;
    }
    return "";
  }

  std::string description() const override {
    return "conversion of " + std::to_string(width) + " elements from type " + std::to_string(from) + " to " +
           std::to_string(to);
  }

private:
  double roundingOf(double x) const {
    if (to == XATTN_INT8) return 0.5001 * *scale + 0x1p-149;
    if (to == XATTN_FLOAT16) return std::fmax(0x1p-11 * std::fabs(x), 0x1p-25);
    return to == XATTN_BFLOAT16 ? 0x1p-8 * std::fabs(x) : 0;
  }

  int64_t width;
  Type from, to;
  const void *source;
  void *target;
  float *scale = nullptr;
};

} // namespace

AnyCall makeConversion(const BlockSizes &sizes, Choices &choices, Memory &memory) {
  return std::make_unique<ConvertCall>(sizes, choices, memory);
}
