#include "problems.h"
#include "arrays.h"
#include "maps.h"
#include <algorithm>
#include <cstring>
#include <functional>

Sizes chooseSizes(Choices &choices) {
  auto length = [&](int64_t most) { return choices.chance(50) ? choices.between(1, 20) : choices.between(1, most); };
  Sizes s;
  s.batch = choices.pick({1, 1, 2, 3});
  s.kvHeads = choices.pick({1, 1, 2});
  s.heads = s.kvHeads * choices.pick({1, 1, 2, 3});
  s.tq = length(140), s.tk = length(300), s.d = length(130), s.dv = length(130);
  if (choices.chance(3)) { // neighbours take turns: more than 1 MB of keys and values
    s.batch = 4, s.kvHeads = choices.between(40, 60), s.heads = s.kvHeads * choices.pick({1, 1, 2});
    s.tq = 1, s.tk = choices.between(16, 40), s.d = choices.between(60, 70), s.dv = choices.between(60, 70);
  }
  if (choices.chance(5)) { // keys are split over threads
    s = {1,
         s.heads,
         s.kvHeads,
         choices.between(1, 9),
         choices.between(4090, 4200),
         choices.between(1, 20),
         choices.between(1, 20)};
  }
  return s;
}

// Strides of a tensor [batch, heads, rows, columns], 0 where it has one entry of a dimension: rows of a head together
// or heads of a row, with or without gaps, or one row for all.
static Operand layOut(Choices &choices, int64_t batch, int64_t heads, int64_t rows, int64_t columns, bool gaps) {
  Operand x = {};
  const int64_t gap = gaps && choices.chance(30) ? choices.between(1, 5) : 0;
  const bool oneRow = gaps && choices.chance(3);
  if (choices.chance(60)) {
    x.row = oneRow ? 0 : columns + gap;
    x.head = oneRow ? columns : rows * x.row + gap;
    x.batch = heads * x.head;
  } else {
    x.head = columns + gap;
    x.row = oneRow ? 0 : heads * x.head + gap;
    x.batch = oneRow ? heads * x.head : rows * x.row;
  }
  if (rows == 1) x.row = 0;
  if (heads == 1) x.head = 0;
  if (batch == 1) x.batch = 0;
  return x;
}

static int64_t reachOf(const Operand &x, int64_t batch, int64_t heads, int64_t rows, int64_t columns) {
  return columns == 0 ? 0 : (batch - 1) * x.batch + (heads - 1) * x.head + (rows - 1) * x.row + columns;
}

// Gaps hold NaN, so that a read of them shows in the result.
static void makeInput(Operand &x, const char *name, Type type, int64_t batch, int64_t heads, int64_t rows,
                      int64_t columns, Choices &choices, Memory &memory) {
  x = layOut(choices, batch, heads, rows, columns, true);
  x.type = type;
  const int64_t count = reachOf(x, batch, heads, rows, columns);
  void *data = memory.take(name, count * sizeOf(x.type), sizeOf(x.type));
  x.data = data;
  fill(x.type, data, count, [] { return NAN; });
  for (int64_t row = 0; row < batch * heads * rows; row++) {
    const int64_t b = row / rows / heads, h = row / rows % heads, t = row % rows;
    for (int64_t c = 0; c < columns; c++) {
      putNumber(x.type, data, b * x.batch + h * x.head + t * x.row + c, choices.number());
    }
  }
}

// As a memory holds it: one row after another, each with its factor.
static void makeInt8(Operand &x, const char *name, int64_t batch, int64_t heads, int64_t rows, int64_t columns,
                     Choices &choices, Memory &memory) {
  x = {};
  x.type = XATTN_INT8;
  x.row = std::max<int64_t>(1, columns + choices.pick({0, 0, 3}));
  x.head = rows * x.row;
  x.batch = batch == 1 ? 0 : heads * x.head;
  const int64_t count = columns == 0 ? 0 : (batch * heads * rows - 1) * x.row + columns;
  void *data = memory.take(name, count, 1);
  x.data = data;
  fill(x.type, data, count, [&] { return std::round(63 * choices.number()); });
  float *scales = takeFloats(memory, "scales", batch * heads * rows);
  x.scales = scales;
  fill(XATTN_FLOAT32, scales, batch * heads * rows, [&] { return choices.number() / 127; });
}

// Keys or values.
static void makeRows(Operand &x, const char *name, bool mayRound, int64_t batch, int64_t heads, int64_t rows,
                     int64_t columns, Choices &choices, Memory &memory) {
  if (!mayRound && choices.chance(20)) return makeInt8(x, name, batch, heads, rows, columns, choices, memory);
  makeInput(x, name, mayRound ? XATTN_BFLOAT16 : chooseFloat(choices), batch, heads, rows, columns, choices, memory);
}

static void makeOutput(Problem &p, Choices &choices, Memory &memory) {
  p.output = layOut(choices, p.batch, p.heads, p.tq, p.dv, false);
  p.output.type = p.query.type;
  const int64_t count = reachOf(p.output, p.batch, p.heads, p.tq, p.dv);
  p.output.data = memory.take("output", count * sizeOf(p.output.type), sizeOf(p.output.type));
  const int64_t rows = p.batch * p.heads * p.tq;
  p.lse = choices.chance(50) ? takeFloats(memory, "lse", rows) : nullptr;
  if (choices.chance(40)) makeMap(p, choices, memory);
}

// A mask that broadcasts along any of its dimensions.
static void makeMask(Problem &p, Choices &choices, Memory &memory) {
  Mask &mask = p.mask;
  mask.type = choices.chance(50) ? XATTN_BOOL : chooseFloat(choices);
  auto size = [&](int64_t whole) { return choices.chance(25) ? 1 : whole; };
  const int64_t keys = size(p.tk), rows = size(p.tq), heads = size(p.heads), batch = size(p.batch);
  const int64_t step = choices.pick({1, 1, 1, 2});
  const int64_t sizes[] = {batch, heads, rows, keys};
  int64_t *const strides[] = {&mask.batch, &mask.head, &mask.row, &mask.key};
  int64_t next = step;
  for (int i = 3; i >= 0; next *= sizes[i--]) *strides[i] = sizes[i] == 1 ? 0 : next;
  const int64_t count =
      1 + (batch - 1) * mask.batch + (heads - 1) * mask.head + (rows - 1) * mask.row + (keys - 1) * mask.key;
  void *data = memory.take("mask", count * sizeOf(mask.type), sizeOf(mask.type));
  mask.data = data;
  const int density = static_cast<int>(choices.pick({0, 5, 50, 95, 100}));
  const double lowest = mask.type == XATTN_FLOAT16 ? -60000 : -3.3e38, away = mask.type == XATTN_BOOL ? 0 : -INFINITY;
  Choices own(choices.below(65536));
  fill(mask.type, data, count, [&]() -> double {
    if (!own.chance(density)) return away;
    if (mask.type == XATTN_BOOL) return own.pick({1, 1, 255});
    return own.chance(95) ? own.number() : own.pick({-1e4, lowest});
  });
}

static void makeOptions(Problem &p, Choices &choices, Memory &memory) {
  auto integers = [&](const char *name, int64_t from, int64_t to) {
    auto *list = static_cast<int32_t *>(memory.take(name, 4 * p.batch, 4));
    for (int64_t b = 0; b < p.batch; b++) list[b] = static_cast<int32_t>(choices.between(from, to));
    return list;
  };
  auto floats = [&](const char *name, const std::function<float()> &number) {
    float *list = takeFloats(memory, name, p.heads);
    for (int64_t h = 0; h < p.heads; h++) list[h] = number();
    return list;
  };
  p.scale = choices.chance(70) ? 1 / std::sqrt(static_cast<float>(p.d)) : choices.pick({0.0f, -0.2f, 0.3f});
  p.causal = choices.chance(25);
  if (choices.chance(20)) p.offsets = integers("offsets", -p.tq, p.tk);
  if (choices.chance(20)) p.keyLengths = integers("keyLengths", 0, p.tk);
  const bool hasWindow = choices.chance(25);
  p.windowLeft = hasWindow ? choices.between(-1, p.tk) : -1;
  p.windowRight = hasWindow ? choices.between(-1, p.tk) : -1;
  if (choices.chance(15)) p.softcap = choices.pick({0.5f, 3.0f, 50.0f});
  if (choices.chance(15)) p.alibi = floats("alibi", [&] { return choices.pick({0.004f, 0.5f, 2.0f}); });
  if (choices.chance(15)) p.sinks = floats("sinks", [&] { return choices.pick({-INFINITY, 0.0f, 3.0f}); });
  if (choices.chance(35)) makeMask(p, choices, memory);
}

static void spoil(const Operand &x, int64_t b, int64_t h, int64_t t, int64_t columns, double bad) {
  if (x.type == XATTN_INT8) {
    const int64_t row = (b * x.batch + h * x.head + t * x.row) / x.row;
    return putNumber(XATTN_FLOAT32, const_cast<float *>(x.scales), row, bad);
  }
  for (int64_t c = 0; c < columns; c++) {
    putNumber(x.type, const_cast<void *>(x.data), b * x.batch + h * x.head + t * x.row + c, bad);
  }
}

// A key that shares its memory with others is left alone: they may be seen.
static void spoilUnseen(const Problem &p, double bad) {
  const bool shared = p.batch > 1 && (p.key.batch == 0 || p.value.batch == 0);
  const int64_t each = p.heads / p.kvHeads;
  for (int64_t at = 0; at < p.batch * p.kvHeads * p.tk; at++) {
    const int64_t b = at / p.tk / p.kvHeads, h = at / p.tk % p.kvHeads, j = at % p.tk;
    bool seen = false;
    for (int64_t other = shared ? 0 : b; !seen && other < (shared ? p.batch : b + 1); other++) {
      for (int64_t row = 0; !seen && row < each * p.tq; row++)
        seen = sees(p, other, h * each + row / p.tq, row % p.tq, j);
    }
    if (seen) continue;
    if (p.tk == 1 || p.key.row != 0) spoil(p.key, b, h, j, p.d, bad);
    if (p.tk == 1 || p.value.row != 0) spoil(p.value, b, h, j, p.dv, bad);
  }
}

static Problem makeProblem(const Sizes &s, Choices &choices, Memory &memory) {
  Problem p = {};
  p.batch = s.batch, p.heads = s.heads, p.kvHeads = s.kvHeads, p.tq = s.tq, p.tk = s.tk, p.d = s.d, p.dv = s.dv;
  auto shared = [&] { return choices.chance(30) ? 1 : s.batch; };
  p.mayRound = choices.chance(20);
  makeInput(p.query, "query", chooseFloat(choices), shared(), s.heads, s.tq, s.d, choices, memory);
  makeRows(p.key, "key", p.mayRound, shared(), s.kvHeads, s.tk, s.d, choices, memory);
  makeRows(p.value, "value", p.mayRound, shared(), s.kvHeads, s.tk, s.dv, choices, memory);
  makeOptions(p, choices, memory);
  makeOutput(p, choices, memory);
  if (choices.chance(50)) spoilUnseen(p, choices.pick<double>({NAN, INFINITY, -INFINITY}));
  return p;
}

static void attend(const Kernel &kernel, Problem p, Choices &choices, Memory &memory) {
  Plan plan = {};
  kernel.plan(&p, &plan);
  clearMap(p);
  if (plan.map.items > 0) p.rows = static_cast<float *>(memory.take("rows", 8 * p.batch * p.heads * p.tq, 4));
  void *scratch = memory.take("scratch", plan.scratch, 64);
  void *partials = memory.take("partials", plan.partials, 64);
  std::memset(scratch, 0xff, plan.scratch);
  std::memset(partials, 0xff, plan.partials);
  const bool backwards = choices.chance(50);
  for (int64_t n = 0; n < plan.items; n++) {
    kernel.attend(&p, &plan, backwards ? plan.items - 1 - n : n, scratch, partials);
  }
  for (int64_t tile = 0; plan.splits > 1 && tile < plan.tiles; tile++) {
    kernel.finish(&p, &plan, tile, partials);
  }
  for (int64_t n = 0; n < plan.map.items; n++) {
    kernel.map(&p, &plan, backwards ? plan.map.items - 1 - n : n, scratch);
  }
}

static std::string describe(const Problem &p) {
  static const char *const TYPES[] = {"float32", "float16", "bfloat16", "bool", "int8"};
  std::string text;
  auto add = [&](const char *name, int64_t x) {
    text += std::string(text.empty() ? "" : ", ") + name + " " + std::to_string(x);
  };
  add("batch", p.batch), add("heads", p.heads), add("kvHeads", p.kvHeads);
  add("tq", p.tq), add("tk", p.tk), add("d", p.d), add("dv", p.dv);
  text += std::string(", types ") + TYPES[p.query.type] + " " + TYPES[p.key.type] + " " + TYPES[p.value.type];
  if (p.mayRound) text += ", may round";
  if (p.causal) text += ", causal";
  if (p.windowLeft >= 0 || p.windowRight >= 0) add("window from", p.windowLeft), add("to", p.windowRight);
  if (p.softcap > 0) text += ", softcap";
  if (p.mask.data) text += std::string(", mask ") + TYPES[p.mask.type];
  if (p.keyLengths) text += ", keyLengths";
  if (p.offsets) text += ", offsets";
  if (p.alibi) text += ", alibi";
  if (p.sinks) text += ", sinks";
  if (p.lse) text += ", lse";
  if (p.map.kind != XATTN_NO_MAP) add("map", p.map.kind);
  return text;
}

namespace {

class AttentionCall : public Call {
public:
  explicit AttentionCall(const Problem &problem) : problem(problem), expected(naive(problem)) {}

  std::string run(const Kernel &kernel, Choices &choices, Memory &memory) const override {
    attend(kernel, problem, choices, memory);
    return disagreement(problem, expected);
  }

  std::string description() const override { return describe(problem); }

private:
  const Problem problem;
  const Results expected;
};

} // namespace

AnyCall makeAttention(const Sizes &sizes, Choices &choices, Memory &memory) {
  return std::make_unique<AttentionCall>(makeProblem(sizes, choices, memory));
}
