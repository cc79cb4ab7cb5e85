// Runs the items of a call on the caller's thread and on threads of our own. Not on libuv's: those are four, belong to
// file and network work, and would not share fairly.
#pragma once
#include "kernel.h"
#include <atomic>
#include <cstddef>

// Memory that grows and never shrinks, 64-byte aligned.
class Buffer {
public:
  Buffer() = default;
  Buffer(const Buffer &) = delete;
  Buffer &operator=(const Buffer &) = delete;
  ~Buffer() { release(); }

  // At least so many bytes, what was in them is lost. Throws std::bad_alloc.
  void *reserve(size_t bytes);
  void release();

private:
  void *data = nullptr;
  size_t size = 0;
};

// What asynchronous jobs belong to, and what may have to go before they are done.
struct Owner {
  std::atomic<bool> leaving{false};
  int64_t jobs = 0; // submitted and not yet over; guarded by the pool
};

// One call.
struct Job {
  Problem problem;
  const Kernel *kernel;
  Plan plan;
  int64_t wanted; // at most so many threads at once; 0: poolThreads()

  // Asynchronous jobs only.
  Owner *owner = nullptr;
  const std::atomic<int32_t> *cancel = nullptr; // looked at between two items: nonzero leaves out the others
  void (*done)(Job &) = nullptr;                // called once, by any thread, without a lock; may delete the job
  std::atomic<bool> failed{false};              // for want of memory the results are incomplete

  // The pool's.
  std::atomic<int64_t> next{0};               // item to claim
  void *partials = nullptr;                   // where the plan has splits
  std::atomic<int32_t> *splitsLeft = nullptr; // per tile
  Buffer memory;                              // of these two
  int64_t threads = 0;                        // at most so many at once
  std::atomic<int64_t> workers{0};            // pool threads at work; changed with the pool's lock
  bool queued = false;
};

// Size of the pool.
int64_t poolThreads();

// Threads that would take part in the job.
int64_t threadsFor(const Job &);

// Whether the job would be over before a second thread could help.
bool isSmall(const Plan &);

// Returns when all is done. The scratch is the caller's. Throws std::bad_alloc.
void run(Job &, Buffer &scratch);

// Queues the job and returns. Throws std::bad_alloc, or std::system_error where no thread can be started, and then does
// not call done().
void submit(Job &);

// Ends cancelled jobs that no thread works on; the others end themselves, after the item at hand.
void sweep();

// Cancels an owner's jobs and returns when the last done() has returned.
void dismiss(Owner &);
