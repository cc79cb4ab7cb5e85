// libFuzzer's target: bytes become a bounded call, which every kernel of this CPU runs in arrays of exact sizes, so
// that the sanitizer sees what lies beside them. The results must be right.
#include "../../native/dispatch.h"
#include "blocks.h"
#include "problems.h"
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

namespace {

class HeapMemory : public Memory {
public:
  HeapMemory() = default;
  HeapMemory(const HeapMemory &) = delete;
  ~HeapMemory() override {
    for (void *array : arrays) ::operator delete (array, std::align_val_t{64});
  }
  void *take(const char *, size_t bytes, size_t) override {
    arrays.push_back(::operator new (bytes, std::align_val_t{64}));
    std::memset(arrays.back(), 0xff, bytes);
    return arrays.back();
  }

private:
  std::vector<void *> arrays;
};

// Multiply-adds of a call that the judge can do often enough.
constexpr double MOST_WORK = 2e5;

// None: too much work.
AnyCall makeCall(Choices &choices, Memory &memory) {
  if (choices.chance(40)) {
    const BlockSizes s = chooseBlockSizes(choices);
    if (static_cast<double>(s.rows * s.width * s.outputs) > MOST_WORK) return nullptr;
    return BLOCKS[choices.below(std::size(BLOCKS))](s, choices, memory);
  }
  const Sizes s = chooseSizes(choices);
  if (static_cast<double>(s.batch * s.heads * s.tq * s.tk) * static_cast<double>(s.d + s.dv) > MOST_WORK)
    return nullptr;
  return makeAttention(s, choices, memory);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
  Choices choices(count, bytes, count);
  HeapMemory memory;
  const AnyCall call = makeCall(choices, memory);
  if (!call) return -1;
  for (int i = 0; i < usableKernels().count; i++) {
    const Kernel &kernel = *usableKernels().list[i];
    const std::string wrong = call->run(kernel, choices, memory);
    if (wrong.empty()) continue;
    std::fprintf(stderr, "%s: %s: %s\n", kernel.name, call->description().c_str(), wrong.c_str());
    std::abort();
  }
  return 0;
}
