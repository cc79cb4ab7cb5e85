#include "memory.h"

#include <cstring>
#include <map>
#include <mutex>

namespace {

constexpr size_t ALIGNMENT = 64;

struct Parked {
  Block *block;
  std::string description;
};

struct Registry {
  std::mutex mutex;
  std::map<std::string, Parked> parked;
};

// On purpose never deleted: threads may look at it while the process exits.
Registry &registry() {
  static Registry *const instance = new Registry;
  return *instance;
}

int64_t sizeOf(Type type) {
  return type == XATTN_FLOAT32 ? 4 : type == XATTN_INT8 ? 1 : 2;
}

} // namespace

Block *newBlock(size_t size) {
  // Aligned here: glibc's aligned allocation asks for more than it keeps, so that it seldom fits where the last block
  // of this size was, and the process grows.
  std::unique_ptr<char[]> memory(new char[size + ALIGNMENT - 1]);
  const size_t over = reinterpret_cast<uintptr_t>(memory.get()) % ALIGNMENT;
  char *bytes = memory.get() + (over == 0 ? 0 : ALIGNMENT - over);
  return new Block{std::move(memory), bytes, size};
}

void hold(Block &block) {
  block.holders.fetch_add(1, std::memory_order_relaxed);
}

void release(Block *block) {
  // What the others have read of the block is over before its end, or before a single holder writes again.
  if (block->holders.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
  delete block;
}

bool claim(Block &block, int64_t from, int64_t to) {
  return block.claimed.compare_exchange_strong(from, to);
}

bool reclaim(Block &block, int64_t from) {
  if (block.holders.load(std::memory_order_acquire) > 1) return false;
  block.claimed = from;
  return true;
}

void park(const std::string &token, Block &block, const std::string &description) {
  std::lock_guard<std::mutex> lock(registry().mutex);
  registry().parked.emplace(token, Parked{&block, description});
  hold(block);
}

Block *unpark(const std::string &token, std::string &description) {
  std::lock_guard<std::mutex> lock(registry().mutex);
  auto found = registry().parked.find(token);
  if (found == registry().parked.end()) return nullptr;
  Block *block = found->second.block;
  description = std::move(found->second.description);
  registry().parked.erase(found);
  return block;
}

void copyRuns(const Runs &runs) {
  const size_t bytes = static_cast<size_t>(runs.bytes);
  for (int64_t i = 0; i < runs.count; i++) {
    std::memmove(runs.to + i * runs.toStride, runs.from + i * runs.fromStride, bytes);
  }
}

void convertRows(const Kernel &kernel, const Rows &rows) {
  const auto *source = static_cast<const char *>(rows.from.data);
  auto *target = static_cast<char *>(const_cast<void *>(rows.to.data));
  const int64_t sourceSize = sizeOf(rows.from.type), targetSize = sizeOf(rows.to.type);
  for (int64_t b = 0; b < rows.batch; b++) {
    for (int64_t h = 0; h < rows.heads; h++) {
      for (int64_t i = 0; i < rows.count; i++) {
        const char *from = source + (b * rows.from.batch + h * rows.from.head + i * rows.from.row) * sourceSize;
        const int64_t at = b * rows.to.batch + h * rows.to.head + i * rows.to.row;
        float *scale = rows.scales == nullptr ? nullptr : rows.scales + at / rows.to.row;
        kernel.convert(rows.from.type, from, rows.to.type, target + at * targetSize, scale, rows.width);
      }
    }
  }
}
