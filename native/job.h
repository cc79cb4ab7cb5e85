// One call, cut into items that threads claim.
#pragma once
#include "kernel.h"
#include <atomic>
#include <cstddef>
#include <list>

// Memory that grows and never shrinks, 64-byte aligned.
class Buffer {
public:
  Buffer() = default;
  Buffer(const Buffer &) = delete;
  Buffer &operator=(const Buffer &) = delete;
  ~Buffer() { release(); }

  // At least so many bytes; what was in them is lost. Throws std::bad_alloc.
  void *reserve(size_t bytes);
  void release();

private:
  void *data = nullptr;
  size_t size = 0;
};

struct Job;

// A JavaScript thread: what jobs belong to, and what may have to go before they are done.
struct Owner {
  std::atomic<bool> leaving{false};
  Buffer scratch; // of synchronous jobs

  // The pool's.
  int64_t jobs = 0;         // submitted and not yet over
  int64_t underWay = 0;     // of these, those that may hold memory
  std::list<Job *> turns;   // that may have items to claim, next turn first
  std::list<Job *> waiting; // for others to end
};

// Items that follow one another share keys and pages. So every thread begins with a range of its own; at its end it
// goes on with what is left of the others.
struct alignas(64) Range {
  std::atomic<int64_t> next; // item to claim; from `end` on there is none
  int64_t end;
};
constexpr int MOST_RANGES = 16; // with more threads, some begin with the same

struct Job {
  Problem problem = {};
  const Kernel *kernel;
  Plan plan = {};
  int64_t wanted;                                             // at most so many threads at once; 0: the pool's size
  void (*item)(Job &, int64_t item, void *scratch) = nullptr; // for work that is not the kernel's attention

  Owner *owner = nullptr;

  // Asynchronous jobs only.
  const std::atomic<int32_t> *cancel = nullptr; // looked at between two items: nonzero leaves out the others
  void (*done)(Job &) = nullptr;                // called once, by any thread, without a lock; may delete the job
  std::atomic<bool> failed{false};              // for want of memory the results are incomplete

  // The pool's.
  int64_t threads = 1;             // at most so many at once
  int64_t joined = 0;              // threads that have begun, and so the range of the next one
  std::atomic<int64_t> workers{0}; // pool threads that work on it
  bool queued = false;             // among its owner's turns

  // Where the plan has splits or a map. Its first thread allocates: jobs that wait hold no memory.
  bool prepared = false;
  void *partials = nullptr;
  std::atomic<int32_t> *splitsLeft = nullptr; // per tile
  Buffer memory;                              // of both, and of problem.rows

  bool mapping = false; // the items are those of the map, after all others

  int64_t rangeCount = 0;
  Range ranges[MOST_RANGES]; // divide() begins those that count: all of them are 1 KB
};

// Items of the stage that the job is at.
int64_t itemsOf(const Job &);

// Gives `threads` threads their ranges.
void divide(Job &, int64_t threads);

// Goes on to the map, once all other items are done. False: there is none, or it is done.
bool advance(Job &);

// Allocates what items share. Once is enough, more often does no harm. Throws std::bad_alloc.
void prepare(Job &);

bool isCancelled(const Job &);

// Whether no item is left to claim; some may still be at work.
bool isExhausted(const Job &);

void leaveOutTheRest(Job &);

void doItem(Job &, int64_t item, void *scratch);

// Does items, first of the range with this number, until none is left, the job is cancelled, or mayGoOn() says no.
template <class Condition> void work(Job &job, int64_t range, void *scratch, Condition mayGoOn) {
  for (int64_t tried = 0; tried < job.rangeCount; tried++, range++) {
    Range &items = job.ranges[range % job.rangeCount];
    for (int64_t item; (item = items.next.fetch_add(1, std::memory_order_relaxed)) < items.end;) {
      if (isCancelled(job)) return leaveOutTheRest(job);
      doItem(job, item, scratch);
      if (!mayGoOn()) return;
    }
  }
}
