#include "parallel.h"
#include "cpus.h"
#include "thread.h"

#include <algorithm>
#include <chrono>
#include <list>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

namespace {

using Clock = std::chrono::steady_clock;
using Lock = std::unique_lock<std::mutex>;

// Multiply-adds below which waking another thread costs more than it brings: 10 to 100 us of one core.
constexpr double SMALL_WORK = 1e6;

// While other jobs wait, a pool thread leaves a job after so long. Most jobs are over by then.
constexpr Clock::duration TURN = std::chrono::milliseconds(4);

// A caller without items left looks so long for the end of its helpers' last ones before it sleeps.
constexpr Clock::duration PATIENCE = std::chrono::microseconds(50);

constexpr std::align_val_t ALIGNMENT{64};

bool isCancelled(const Job &job) {
  if (job.cancel != nullptr && job.cancel->load(std::memory_order_relaxed) != 0) return true;
  return job.owner != nullptr && job.owner->leaving;
}

// The caller of a synchronous job takes part.
int64_t helpers(const Job &job) {
  return job.done == nullptr ? job.threads - 1 : job.threads;
}

bool isExhausted(const Job &job) {
  return job.next.load(std::memory_order_relaxed) >= job.plan.items;
}

void leaveOutTheRest(Job &job) {
  job.next.store(job.plan.items, std::memory_order_relaxed);
}

// Memory for partial results, when the first thread begins: jobs that wait hold none.
void prepare(Job &job) {
  using Count = std::atomic<int32_t>;
  const Plan &plan = job.plan;
  if (plan.splits == 1 || job.partials != nullptr) return;
  job.partials = job.memory.reserve(plan.partials + plan.tiles * sizeof(Count));
  job.splitsLeft = reinterpret_cast<Count *>(static_cast<char *>(job.partials) + plan.partials);
  for (int64_t tile = 0; tile < plan.tiles; tile++)
    new (&job.splitsLeft[tile]) Count(static_cast<int32_t>(plan.splits));
}

// False where no item is left.
bool doItem(Job &job, void *scratch) {
  const Plan &plan = job.plan;
  int64_t item = job.next.fetch_add(1, std::memory_order_relaxed);
  if (item >= plan.items) return false;
  if (isCancelled(job)) {
    leaveOutTheRest(job);
    return false;
  }
  job.kernel->attend(&job.problem, &plan, item, scratch, job.partials);
  if (plan.splits == 1) return true;
  // Whoever does the last split of a tile merges them all, so that nobody waits for anybody.
  int64_t tile = item / plan.splits;
  if (job.splitsLeft[tile].fetch_sub(1, std::memory_order_acq_rel) == 1) {
    job.kernel->finish(&job.problem, &plan, tile, scratch, job.partials);
  }
  return true;
}

class Pool {
public:
  const int64_t size = defaultThreads();

  void run(Job &job, void *scratch);
  void submit(Job &job);
  void sweep();
  void dismiss(Owner &owner);
  [[noreturn]] void serve();

private:
  void enqueue(Job &job);
  void dequeue(Job &job);
  Job *pick();
  void wakeOneForWork();
  void help(Job &job, Buffer &scratch, Lock &lock);
  void leave(Job &job, Lock &lock);
  void complete(Job &job, Lock &lock);
  // More threads than the pool's size run only for a job that asks for more.
  int64_t most(const Job &job) const { return std::max(size, job.threads); }

  std::mutex mutex;                // guards what follows, and the pool's part of jobs and owners
  Condition work;                  // idle threads wait for some
  Condition settled;               // some job has lost its last worker, or some owner its last job
  std::list<Job *> queue;          // jobs that may have items to claim, next turn first
  std::atomic<size_t> waiting{0};  // length of the queue
  std::atomic<int64_t> running{0}; // threads at work, callers included
  int64_t started = 0, idle = 0;   // pool threads
};

// On purpose never deleted: its threads are never joined, so they may look at it while the process exits.
Pool &pool() {
  static Pool *const instance = new Pool;
  return *instance;
}

void Pool::run(Job &job, void *scratch) {
  Lock lock(mutex);
  if (helpers(job) > 0) enqueue(job);
  running++;
  lock.unlock();
  while (doItem(job, scratch)) {
  }
  lock.lock();
  running--;
  dequeue(job);
  wakeOneForWork();
  lock.unlock();
  for (auto end = Clock::now() + PATIENCE; job.workers != 0 && Clock::now() < end;) std::this_thread::yield();
  if (job.workers == 0) return;
  lock.lock();
  while (job.workers != 0) settled.wait(lock);
}

void Pool::submit(Job &job) {
  Lock lock(mutex);
  enqueue(job);
  if (started == 0) {
    dequeue(job);
    throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                            "no thread could be started");
  }
  job.owner->jobs++;
}

void Pool::enqueue(Job &job) {
  queue.push_back(&job);
  waiting = queue.size();
  job.queued = true;
  while (started < helpers(job) && startThread([] { pool().serve(); })) started++;
  for (int64_t n = std::min(helpers(job), idle); n > 0; n--) work.notify_one();
}

void Pool::dequeue(Job &job) {
  if (!job.queued) return;
  queue.erase(std::find(queue.begin(), queue.end(), &job));
  waiting = queue.size();
  job.queued = false;
}

// The first job that has use for a thread. None is passed over because too many threads run, or it might wait for ever.
Job *Pool::pick() {
  for (Job *job : queue) {
    if (job->workers < helpers(*job) && !isExhausted(*job)) return running < most(*job) ? job : nullptr;
  }
  return nullptr;
}

void Pool::wakeOneForWork() {
  if (idle > 0 && pick() != nullptr) work.notify_one();
}

// A pool thread's life.
void Pool::serve() {
  Buffer scratch;
  Lock lock(mutex);
  for (;;) {
    if (Job *job = pick()) {
      job->workers++;
      running++;
      wakeOneForWork();
      help(*job, scratch, lock);
      leave(*job, lock);
    } else {
      idle++;
      work.wait(lock);
      idle--;
    }
  }
}

// Does items until none is left, the turn is over, or a caller has come with a thread of its own. Without the lock.
void Pool::help(Job &job, Buffer &scratch, Lock &lock) {
  try {
    prepare(job);
    lock.unlock();
    void *memory = scratch.reserve(job.plan.scratch);
    auto turn = Clock::now() + TURN;
    while (doItem(job, memory) && running <= most(job) && (waiting <= 1 || Clock::now() < turn)) {
    }
  } catch (const std::bad_alloc &) {
    job.failed = true;
    leaveOutTheRest(job);
  }
  if (!lock.owns_lock()) lock.lock();
}

void Pool::leave(Job &job, Lock &lock) {
  running--;
  if (isCancelled(job)) leaveOutTheRest(job);
  bool exhausted = isExhausted(job), last = job.workers == 1, asynchronous = job.done != nullptr;
  if (exhausted)
    dequeue(job);
  else if (job.queued)
    queue.splice(queue.end(), queue, std::find(queue.begin(), queue.end(), &job));
  job.workers--; // without workers, a synchronous job may be gone
  if (last && !asynchronous) settled.notify_all();
  if (last && asynchronous && exhausted) complete(job, lock);
}

void Pool::complete(Job &job, Lock &lock) {
  Owner &owner = *job.owner;
  job.memory.release();
  lock.unlock();
  job.done(job);
  lock.lock();
  if (--owner.jobs == 0) settled.notify_all();
}

void Pool::sweep() {
  Lock lock(mutex);
  std::list<Job *> cancelled;
  for (auto at = queue.begin(); at != queue.end();) {
    auto here = at++;
    if ((*here)->workers == 0 && isCancelled(**here)) cancelled.splice(cancelled.end(), queue, here);
  }
  waiting = queue.size();
  for (Job *job : cancelled) complete(*job, lock);
}

void Pool::dismiss(Owner &owner) {
  owner.leaving = true;
  sweep();
  Lock lock(mutex);
  while (owner.jobs != 0) settled.wait(lock);
}

} // namespace

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

int64_t poolThreads() {
  return pool().size;
}

bool isSmall(const Plan &plan) {
  return plan.work < SMALL_WORK;
}

int64_t threadsFor(const Job &job) {
  if (isSmall(job.plan)) return 1;
  int64_t wanted = job.wanted > 0 ? std::min<int64_t>(job.wanted, MOST_THREADS) : poolThreads();
  return std::min(wanted, job.plan.items);
}

void run(Job &job, Buffer &scratch) {
  void *memory = scratch.reserve(job.plan.scratch);
  prepare(job);
  if (isSmall(job.plan)) {
    while (doItem(job, memory)) {
    }
    return;
  }
  job.threads = threadsFor(job);
  pool().run(job, memory);
  if (job.failed) throw std::bad_alloc();
}

void submit(Job &job) {
  job.threads = threadsFor(job);
  pool().submit(job);
}

void sweep() {
  pool().sweep();
}

void dismiss(Owner &owner) {
  pool().dismiss(owner);
}
