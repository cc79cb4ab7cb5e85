#include "maps.h"
#include <algorithm>
#include <cstring>
#include <functional>

static int64_t rowWidth(const Map &map) {
  return map.kind == XATTN_TOP ? map.k : map.kind == XATTN_ENTROPY ? 1 : map.keyCount;
}

static int64_t countOf(const Problem &p) {
  const int64_t heads = p.map.kind == XATTN_MEAN ? 1 : p.map.headCount, rows = p.map.kind == XATTN_SUM ? 1 : p.tq;
  return p.batch * heads * rows * rowWidth(p.map);
}

// Places of `chosen` of `count` things in an order of their own, -1 for the others.
static void choosePlaces(int32_t *places, int64_t count, int64_t chosen, Choices &choices) {
  std::fill(places, places + count, -1);
  for (int64_t place = 0; place < chosen; place++) {
    int64_t at = choices.below(count);
    while (places[at] >= 0) at = (at + 1) % count;
    places[at] = static_cast<int32_t>(place);
  }
}

void makeMap(Problem &p, Choices &choices, Memory &memory) {
  Map &map = p.map;
  auto integers = [&](const char *name, int64_t n) { return static_cast<int32_t *>(memory.take(name, 4 * n, 4)); };
  map.kind = choices.pick({XATTN_WEIGHTS, XATTN_MEAN, XATTN_TOP, XATTN_ENTROPY, XATTN_SUM});
  map.headCount = p.heads, map.keyCount = p.tk;
  if (choices.chance(40)) {
    int32_t *heads = integers("heads", p.heads);
    map.headCount = choices.between(1, p.heads);
    choosePlaces(heads, p.heads, map.headCount, choices);
    map.heads = heads;
  }
  if (choices.chance(40)) {
    std::vector<int32_t> places(p.tk);
    map.keyCount = choices.between(1, p.tk);
    choosePlaces(places.data(), p.tk, map.keyCount, choices);
    int32_t *keys = integers("keys", map.keyCount), *columns = integers("columns", map.keyCount);
    for (int64_t j = 0, c = 0; j < p.tk; j++) {
      if (places[j] >= 0) keys[c] = static_cast<int32_t>(j), columns[c++] = places[j];
    }
    map.keys = keys, map.columns = columns;
  }
  if (map.kind == XATTN_TOP) map.k = choices.pick({1, 3, 8, 20});
  map.values = static_cast<float *>(memory.take("values", 4 * countOf(p), 4));
  if (map.kind == XATTN_TOP) map.indices = integers("indices", countOf(p));
}

void clearMap(const Problem &p) {
  if (p.map.kind == XATTN_NO_MAP) return;
  std::memset(p.map.values, 0, 4 * countOf(p));
  if (p.map.indices) std::memset(p.map.indices, 0xff, 4 * countOf(p));
}

static double largest(std::vector<double> row, int64_t k) {
  std::sort(row.begin(), row.end(), std::greater<double>());
  return k < static_cast<int64_t>(row.size()) ? row[k] : 0;
}

std::string mapDisagreement(const Problem &p, const Results &expected) {
  const Map &map = p.map;
  if (map.kind == XATTN_NO_MAP) return "";
  std::vector<double> wanted(countOf(p), 0.0), room(countOf(p), 0.0);
  for (int64_t at = 0; at < p.batch * p.heads * p.tq; at++) {
    const int64_t i = at % p.tq, h = at / p.tq % p.heads, b = at / p.tq / p.heads;
    const int64_t place = map.heads ? map.heads[h] : h, sequence = b * map.headCount + place;
    if (place < 0) continue;
    std::vector<double> row(map.keyCount);
    for (int64_t c = 0; c < map.keyCount; c++) {
      row[map.columns ? map.columns[c] : c] = expected.weights[at * p.tk + (map.keys ? map.keys[c] : c)];
    }
    const double error = errorOf(p, expected.lse[at]);
    const int64_t start = map.kind == XATTN_SUM    ? sequence
                          : map.kind == XATTN_MEAN ? b * p.tq + i
                                                   : sequence * p.tq + i;
    const double share = map.kind == XATTN_MEAN ? 1.0 / static_cast<double>(map.headCount) : 1;
    for (int64_t c = 0; c < rowWidth(map); c++) {
      const int64_t cell = start * rowWidth(map) + c;
      room[cell] += share * error;
      if (map.kind == XATTN_ENTROPY) {
        for (double w : row) wanted[cell] -= w > 0 ? w * std::log(w) : 0;
        room[cell] *= 2 + 2 * std::log(static_cast<double>(p.tk));
      } else {
        wanted[cell] += map.kind == XATTN_TOP ? largest(row, c) : share * row[c];
      }
    }
  }
  for (size_t n = 0; n < wanted.size(); n++) {
    if (std::fabs(map.values[n] - wanted[n]) <= room[n]) continue;
    return "map[" + std::to_string(n) + "] expected " + std::to_string(wanted[n]) + ", got " +
           std::to_string(map.values[n]);
  }
  return "";
}
