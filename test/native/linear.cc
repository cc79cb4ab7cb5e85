#include "blocks.h"
#include "../../native/blocks.h"
#include "arrays.h"
#include <cstring>

namespace {

double activated(Activation activation, double x) {
  switch (activation) {
  case XATTN_RELU:
    return x < 0 ? 0 : x;
  case XATTN_GELU:
    return x * std::erfc(-x / std::sqrt(2.0)) / 2;
  case XATTN_GELU_TANH:
    return x * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x))) / 2;
  case XATTN_SILU:
    return x / (1 + std::exp(-x));
  default:
    return x;
  }
}

// With what it may be off by.
struct Approximate {
  double value, error;
};

class LinearCall : public Call {
public:
  LinearCall(const BlockSizes &, Choices &, Memory &);
  std::string run(const Kernel &, Choices &, Memory &) const override;
  std::string description() const override;

private:
  Approximate sum(int64_t row, int64_t output) const;
  Approximate wanted(int64_t row, int64_t output) const;
  std::string judge() const;

  Linear linear = {};
  Type elements; // of the weights
  const void *rows;
};

LinearCall::LinearCall(const BlockSizes &s, Choices &choices, Memory &memory) {
  linear.rows = s.rows, linear.inputs = s.width, linear.outputs = s.outputs;
  linear.stride = choices.pick<int64_t>({s.width, s.width, s.width + choices.between(1, 5), (s.width + 1) / 2});
  linear.type = choices.pick({XATTN_STORED_FLOAT32, XATTN_STORED_BFLOAT16, XATTN_STORED_INT8, XATTN_STORED_QUADS});
  linear.activation = choices.pick({XATTN_NONE, XATTN_RELU, XATTN_GELU, XATTN_GELU_TANH, XATTN_SILU});
  linear.gated = choices.chance(30);
  elements = linear.type == XATTN_STORED_FLOAT32    ? XATTN_FLOAT32
             : linear.type == XATTN_STORED_BFLOAT16 ? XATTN_BFLOAT16
                                                    : XATTN_INT8;
  const int64_t outputs = s.outputs * (linear.gated ? 2 : 1), count = (s.rows - 1) * linear.stride + s.width;
  float *x = makeFloats(memory, choices, "x", count);
  // What lies between rows is not read.
  for (int64_t at = 0; at < count && linear.stride > s.width; at++) {
    if (at % linear.stride >= s.width) x[at] = NAN;
  }
  if (choices.chance(20)) x[choices.below(s.rows) * linear.stride] = NAN;
  linear.x = x;
  void *weights = memory.take("weights", outputs * s.width * sizeOf(elements), sizeOf(elements));
  fill(elements, weights, outputs * s.width,
       [&] { return elements == XATTN_INT8 ? std::round(63 * choices.number()) : choices.number(); });
  rows = weights;
  if (elements == XATTN_INT8) linear.scales = makeFloats(memory, choices, "scales", outputs);
  if (choices.chance(60)) linear.bias = makeFloats(memory, choices, "bias", outputs);
  if (choices.chance(30)) linear.residual = makeFloats(memory, choices, "residual", s.rows * s.outputs);
  linear.y = takeFloats(memory, "y", s.rows * s.outputs);
}

std::string LinearCall::run(const Kernel &kernel, Choices &choices, Memory &memory) const {
  Linear call = linear;
  void *packed = memory.take("packed", kernel.blocks->packedBytes(&call), sizeOf(elements));
  kernel.blocks->pack(&call, rows, packed);
  call.weights = packed;
  Plan plan = {};
  kernel.blocks->planLinear(&call, &plan);
  void *scratch = memory.take("scratch", plan.scratch, 64);
  std::memset(scratch, 0xff, plan.scratch);
  const bool backwards = choices.chance(50);
  for (int64_t n = 0; n < plan.items; n++) {
    kernel.blocks->linear(&call, backwards ? plan.items - 1 - n : n, scratch);
  }
  return judge();
}

// Roundings of n products are independent: they grow with sqrt(n) times the largest partial sum.
Approximate LinearCall::sum(int64_t row, int64_t output) const {
  double value = 0, size = 0, largest = 0, weights = 0;
  for (int64_t k = 0; k < linear.inputs; k++) {
    const double term =
        static_cast<double>(linear.x[row * linear.stride + k]) * numberAt(elements, rows, output * linear.inputs + k);
    value += term, size += std::fabs(term);
    largest = std::fmax(largest, std::fabs(static_cast<double>(linear.x[row * linear.stride + k])));
    weights += std::fabs(numberAt(elements, rows, output * linear.inputs + k));
  }
  // Rows of x are rounded, too, beside int8: by half a step at most.
  const double steps = linear.type == XATTN_STORED_QUADS ? 127 : 32639;
  double rounding = linear.scales ? 0.5001 * largest / steps * weights * std::fabs(linear.scales[output]) : 0;
  if (linear.scales) value *= linear.scales[output], size *= std::fabs(linear.scales[output]);
  if (linear.bias) value += linear.bias[output], size += std::fabs(linear.bias[output]);
  return {value, U * (2 * std::sqrt(static_cast<double>(linear.inputs)) + 8) * size + rounding};
}

// Slopes of activations are 1.13 at most.
Approximate LinearCall::wanted(int64_t row, int64_t output) const {
  const Approximate gate = sum(row, output + (linear.gated ? linear.outputs : 0));
  const Approximate active = {activated(linear.activation, gate.value),
                              1.13 * gate.error + 8 * U * std::fabs(gate.value)};
  if (!linear.gated) return active;
  const Approximate hidden = sum(row, output);
  const double value = active.value * hidden.value;
  const double error = active.error * std::fabs(hidden.value) + hidden.error * (std::fabs(active.value) + active.error);
  return {value, error + U * std::fabs(value)};
}

std::string LinearCall::judge() const {
  for (int64_t at = 0; at < linear.rows * linear.outputs; at++) {
    Approximate expected = wanted(at / linear.outputs, at % linear.outputs);
    if (linear.residual) {
      expected.value += linear.residual[at];
      expected.error += U * std::fabs(expected.value);
    }
    const std::string wrong = unlessNear("y", at, linear.y[at], expected.value, expected.error);
    if (!wrong.empty()) return wrong;
  }
  return "";
}

std::string LinearCall::description() const {
  static const char *const TYPES[] = {"float32", "bfloat16", "int8", "int8-dynamic"};
  static const char *const ACTIVATIONS[] = {"none", "relu", "gelu", "gelu-tanh", "silu"};
  return "linear of " + std::to_string(linear.rows) + " rows, a stride of " + std::to_string(linear.stride) + ", " +
         std::to_string(linear.inputs) + " inputs, " + std::to_string(linear.outputs) + " outputs, " +
         TYPES[linear.type] + ", activation " + ACTIVATIONS[linear.activation] + (linear.gated ? ", gated" : "") +
         (linear.bias ? ", bias" : "") + (linear.residual ? ", residual" : "");
}

} // namespace

AnyCall makeLinear(const BlockSizes &sizes, Choices &choices, Memory &memory) {
  return std::make_unique<LinearCall>(sizes, choices, memory);
}
