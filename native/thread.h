// What of threads that the C++ library does not give us as we need them.
#pragma once
#include <mutex>
#ifdef _MSC_VER
#include <intrin.h>
#endif

#ifdef _WIN32
#include <condition_variable>
using Condition = std::condition_variable;
#else
#include <pthread.h>

// std::condition_variable::wait would ask for a newer libstdc++ (GLIBCXX_3.4.30) than systems with glibc 2.28 have.
class Condition {
public:
  void wait(std::unique_lock<std::mutex> &lock) { pthread_cond_wait(&condition, lock.mutex()->native_handle()); }
  void notify_one() { pthread_cond_signal(&condition); }
  void notify_all() { pthread_cond_broadcast(&condition); }

private:
  pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
};
#endif

// Starts a thread that nobody joins and that no signal interrupts. False where the system has none to give.
bool startThread(void (*body)());

// Some 20 ns in a loop that waits for another thread, in which the core saves its strength.
inline void pauseBriefly() {
#if defined(_MSC_VER) && defined(_M_X64)
  _mm_pause();
#elif defined(_MSC_VER) && defined(_M_ARM64)
  __yield();
#elif defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}
