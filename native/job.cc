#include "job.h"

#include <algorithm>
#include <new>
#ifdef __linux__
#include <sys/mman.h>
#endif

constexpr std::align_val_t ALIGNMENT{64};

void *Buffer::reserve(size_t bytes) {
  if (bytes > size) {
    release();
    data = ::operator new(bytes, ALIGNMENT);
    size = bytes;
  }
  return data;
}

void Buffer::release() {
  ::operator delete(data, ALIGNMENT);
  data = nullptr;
  size = 0;
}

int64_t itemsOf(const Job &job) {
  return job.mapping ? job.plan.map.items : job.plan.items;
}

void divide(Job &job, int64_t threads) {
  int64_t items = itemsOf(job);
  job.threads = threads;
  job.rangeCount = std::min<int64_t>(threads, MOST_RANGES);
  for (int64_t i = 0; i < job.rangeCount; i++) {
    job.ranges[i].next = items * i / job.rangeCount;
    job.ranges[i].end = items * (i + 1) / job.rangeCount;
  }
}

namespace {

// A large map is fresh memory, which Linux hands out 4 KB at a time while it is written, at a microsecond each.
void askForLargePages(const Problem &p) {
#ifdef __linux__
  const Map &map = p.map;
  if (map.kind != XATTN_WEIGHTS && map.kind != XATTN_MEAN) return;
  constexpr uintptr_t LARGE = 1 << 21;
  const uintptr_t start = reinterpret_cast<uintptr_t>(map.values);
  const int64_t floats = p.batch * (map.kind == XATTN_MEAN ? 1 : map.headCount) * p.tq * map.keyCount;
  const uintptr_t first = (start + LARGE - 1) / LARGE * LARGE, end = (start + floats * sizeof(float)) / LARGE * LARGE;
  if (first < end) madvise(reinterpret_cast<void *>(first), end - first, MADV_HUGEPAGE); // a hint, which may fail
#endif
}

} // namespace

bool advance(Job &job) {
  if (job.mapping || job.plan.map.items == 0) return false;
  askForLargePages(job.problem);
  job.mapping = true;
  job.joined = 0;
  return true;
}

void prepare(Job &job) {
  using Count = std::atomic<int32_t>;
  const Plan &plan = job.plan;
  Problem &problem = job.problem;
  size_t rows = plan.map.items > 0 ? 2 * sizeof(float) * problem.batch * problem.heads * problem.tq : 0;
  size_t counts = plan.splits > 1 ? plan.tiles * sizeof(Count) : 0;
  if (job.prepared || rows + counts == 0) return;
  char *memory = static_cast<char *>(job.memory.reserve(plan.partials + rows + counts));
  job.partials = memory;
  if (rows > 0) problem.rows = reinterpret_cast<float *>(memory + plan.partials);
  job.splitsLeft = reinterpret_cast<Count *>(memory + plan.partials + rows);
  for (int64_t tile = 0; tile < plan.tiles && counts > 0; tile++)
    new (&job.splitsLeft[tile]) Count(static_cast<int32_t>(plan.splits));
  job.prepared = true;
}

bool isCancelled(const Job &job) {
  if (job.cancel != nullptr && job.cancel->load(std::memory_order_relaxed) != 0) return true;
  return job.owner != nullptr && job.owner->leaving;
}

bool isExhausted(const Job &job) {
  auto isEmpty = [](const Range &range) { return range.next.load(std::memory_order_relaxed) >= range.end; };
  return std::all_of(job.ranges, job.ranges + job.rangeCount, isEmpty);
}

void leaveOutTheRest(Job &job) {
  for (int64_t i = 0; i < job.rangeCount; i++) job.ranges[i].next.store(job.ranges[i].end, std::memory_order_relaxed);
}

void doItem(Job &job, int64_t item, void *scratch) {
  if (job.item != nullptr) return job.item(job, item, scratch);
  const Plan &plan = job.plan;
  if (job.mapping) return job.kernel->map(&job.problem, &plan, item, scratch);
  job.kernel->attend(&job.problem, &plan, item, scratch, job.partials);
  if (plan.splits == 1) return;
  // Whoever does the last split of a tile merges them all, so that nobody waits for anybody.
  int64_t tile = item / plan.splits;
  if (job.splitsLeft[tile].fetch_sub(1, std::memory_order_acq_rel) == 1) {
    job.kernel->finish(&job.problem, &plan, tile, job.partials);
  }
}
