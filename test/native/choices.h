// Where a made-up call gets its decisions from: bytes of a fuzzer as long as there are any, then a generator.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

class Choices {
public:
  explicit Choices(uint64_t seed, const uint8_t *bytes = nullptr, size_t count = 0)
      : state(seed), bytes(bytes), left(count) {}

  int64_t below(int64_t n) {
    return static_cast<int64_t>((left >= 2 ? takeTwo() : random()) % static_cast<uint64_t>(n));
  }
  int64_t between(int64_t from, int64_t to) { return from + below(to - from + 1); }
  bool chance(int percent) { return below(100) < percent; }
  template <class T> T pick(std::initializer_list<T> list) { return list.begin()[below(list.size())]; }

  // Uniform in -2 .. 2, from the generator alone: a fuzzer has better to do than to choose every number.
  float number() { return static_cast<float>(random() % 65536) / 16384.0f - 2.0f; }

private:
  uint64_t takeTwo() {
    uint64_t two = bytes[0] | bytes[1] << 8;
    bytes += 2, left -= 2;
    return two;
  }
  // splitmix64, Steele et al. 2014
  uint64_t random() {
    uint64_t x = state += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
  }

  uint64_t state;
  const uint8_t *bytes;
  size_t left;
};
