#include "parallel.h"
#include "cpus.h"
#include "queue.h"
#include "thread.h"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

namespace {

using Clock = std::chrono::steady_clock;
using Lock = std::unique_lock<std::mutex>;

// Multiply-adds below which waking another thread costs more than it brings: about 20 us of one core.
constexpr double SMALL_WORK = 2e6;

// While other jobs wait, a pool thread leaves a job after so long. Most jobs are over by then.
constexpr Clock::duration TURN = std::chrono::milliseconds(4);

// Asynchronous jobs of a JavaScript thread that are under way at a time, besides one for each thread of the pool. More
// of them, and short ones need not wait for the end of long ones; fewer, and less memory is held by jobs begun.
constexpr int64_t MORE_UNDER_WAY = 16;

// What it takes to wake a thread whose core sleeps. A thread that has just worked waits so long with its eyes open, and
// only then sleeps: its waits cost at most twice the least that they could.
constexpr Clock::duration WAKING = std::chrono::microseconds(50);

// To give way to other threads takes a microsecond, in which nothing is seen: not more often than every few.
constexpr int LOOKS = 200;

template <class Condition> void watchFor(Condition isSo) {
  for (auto end = Clock::now() + WAKING; Clock::now() < end; std::this_thread::yield()) {
    for (int i = 0; i < LOOKS; i++) {
      if (isSo()) return;
      pauseBriefly();
    }
  }
}

// The caller of a synchronous job takes part.
int64_t helpers(const Job &job) {
  return job.done == nullptr ? job.threads - 1 : job.threads;
}

class Pool {
public:
  const int64_t size = defaultThreads();

  void run(Job &job, void *scratch);
  void submit(Job &job);
  void sweep();
  void dismiss(Owner &owner);

private:
  void enqueue(Job &job);
  void serve();
  Job *pick();
  void wakeOneForWork();
  void help(Job &job, Buffer &scratch, Lock &lock);
  void leave(Job &job, Lock &lock);
  void complete(Job &job, Lock &lock);
  // More threads than the pool's size run only for a job that asks for more.
  int64_t most(const Job &job) const { return std::max(size, job.threads); }

  std::mutex mutex;                              // guards what follows, and the pool's part of jobs and owners
  Condition wake;                                // threads without work sleep on it
  Condition settled;                             // some job has lost its last worker, or some owner its last job
  Queue queue{size + MORE_UNDER_WAY};            // its size may be read without
  std::atomic<int64_t> running{0};               // threads at work, callers included
  int64_t started = 0, watching = 0, asleep = 0; // pool threads
};

// On purpose never deleted: nobody joins its threads, so they may look at it while the process exits.
Pool &pool() {
  static Pool *const instance = new Pool;
  return *instance;
}

void Pool::run(Job &job, void *scratch) {
  Lock lock(mutex);
  if (helpers(job) > 0) enqueue(job);
  int64_t range = job.joined++;
  running++;
  lock.unlock();
  work(job, range, scratch, [] { return true; });
  lock.lock();
  running--;
  queue.remove(job);
  wakeOneForWork();
  lock.unlock();
  watchFor([&] { return job.workers == 0; });
  if (job.workers == 0) return;
  lock.lock();
  while (job.workers != 0) settled.wait(lock);
}

void Pool::submit(Job &job) {
  Lock lock(mutex);
  if (queue.admit(job)) enqueue(job);
  if (started == 0) {
    queue.remove(job);
    queue.end(job);
    throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                            "no thread could be started");
  }
  job.owner->jobs++;
}

void Pool::enqueue(Job &job) {
  queue.push(job);
  while (started < helpers(job) && startThread([] { pool().serve(); })) started++;
  for (int64_t n = std::min(helpers(job) - watching, asleep); n > 0; n--) wake.notify_one();
}

// A pool thread's life.
void Pool::serve() {
  Buffer scratch;
  Lock lock(mutex);
  for (bool hasWorked = false;;) {
    if (Job *job = pick()) {
      help(*job, scratch, lock);
      leave(*job, lock);
      hasWorked = true;
    } else if (hasWorked) {
      watching++;
      lock.unlock();
      watchFor([this] { return queue.size() > 0; });
      lock.lock();
      watching--;
      hasWorked = false;
    } else {
      asleep++;
      wake.wait(lock);
      asleep--;
    }
  }
}

// The first job that has use for a thread. None is passed over because too many threads run, or it might wait for ever.
Job *Pool::pick() {
  Job *job = queue.first([](Job &job) { return job.workers < helpers(job) && !isExhausted(job); });
  return job != nullptr && running < most(*job) ? job : nullptr;
}

void Pool::wakeOneForWork() {
  if (asleep > 0 && pick() != nullptr) wake.notify_one();
}

// Works until nothing is left of the job, the turn is over, or a caller has come with a thread of its own.
void Pool::help(Job &job, Buffer &scratch, Lock &lock) {
  job.workers++;
  running++;
  queue.moveOwnerBack(job);
  wakeOneForWork();
  try {
    prepare(job);
    int64_t range = job.joined++;
    lock.unlock();
    void *memory = scratch.reserve(job.plan.scratch);
    auto end = Clock::now() + TURN;
    work(job, range, memory, [&] { return running <= most(job) && (queue.size() <= 1 || Clock::now() < end); });
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
  if (exhausted) queue.remove(job);
  queue.moveBack(job);
  job.workers--; // now a synchronous job may be gone
  if (last && !asynchronous) settled.notify_all();
  if (last && asynchronous && exhausted) complete(job, lock);
}

void Pool::complete(Job &job, Lock &lock) {
  if (!isCancelled(job) && !job.failed && advance(job)) {
    divide(job, threadsFor(job));
    return enqueue(job);
  }
  Owner &owner = *job.owner;
  job.memory.release();
  if (Job *next = queue.end(job)) enqueue(*next);
  lock.unlock();
  job.done(job);
  lock.lock();
  if (--owner.jobs == 0) settled.notify_all();
}

void Pool::sweep() {
  Lock lock(mutex);
  const auto cancelled = queue.take([](Job &job) { return job.workers == 0 && isCancelled(job); });
  for (Job *job : cancelled) complete(*job, lock);
}

void Pool::dismiss(Owner &owner) {
  owner.leaving = true;
  sweep();
  Lock lock(mutex);
  while (owner.jobs != 0) settled.wait(lock);
  queue.forget(owner);
}

} // namespace

int64_t poolThreads() {
  return pool().size;
}

bool isSmall(const Plan &plan) {
  return plan.work < SMALL_WORK;
}

int64_t threadsFor(const Job &job) {
  if (isSmall(job.plan)) return 1;
  int64_t wanted = job.wanted > 0 ? std::min<int64_t>(job.wanted, MOST_THREADS) : poolThreads();
  return std::min(wanted, itemsOf(job));
}

void run(Job &job, Owner &owner) {
  job.owner = &owner;
  void *memory = owner.scratch.reserve(job.plan.scratch);
  prepare(job);
  do {
    divide(job, threadsFor(job));
    if (isSmall(job.plan))
      work(job, 0, memory, [] { return true; });
    else
      pool().run(job, memory);
    if (job.failed) throw std::bad_alloc();
  } while (advance(job));
}

void submit(Job &job) {
  divide(job, threadsFor(job));
  pool().submit(job);
}

void sweep() {
  pool().sweep();
}

void dismiss(Owner &owner) {
  pool().dismiss(owner);
}
