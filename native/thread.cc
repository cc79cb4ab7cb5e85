#include "thread.h"

#include <new>
#include <system_error>
#include <thread>

#ifdef _WIN32
#include <windows.h>
#else
#include <dlfcn.h>
#include <signal.h>
#endif

namespace {

// Node unloads an addon with the last worker that has loaded it, but our threads stay in its code. For ELF systems the
// linker is told so: -z nodelete.
void stayLoaded() {
#if defined(_WIN32)
  HMODULE self;
  GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS,
                     reinterpret_cast<LPCWSTR>(&stayLoaded), &self);
#elif defined(__APPLE__)
  Dl_info self;
  if (dladdr(reinterpret_cast<const void *>(&stayLoaded), &self)) dlopen(self.dli_fname, RTLD_LAZY | RTLD_NODELETE);
#endif
}

// A new thread takes over what its creator blocks. Signals are for Node's threads; those of faults stay open, or a
// fault would end the process without a report.
class SignalsBlocked {
#ifndef _WIN32
public:
  SignalsBlocked() {
    sigset_t blocked;
    sigfillset(&blocked);
    for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}) sigdelset(&blocked, fault);
    // On Linux and macOS the same as pthread_sigmask, which would ask for glibc 2.32.
    sigprocmask(SIG_BLOCK, &blocked, &before);
  }
  ~SignalsBlocked() {
    sigprocmask(SIG_SETMASK, &before, nullptr);
  }

private:
  sigset_t before;
#endif
};

} // namespace

bool startThread(void (*body)()) {
  stayLoaded();
  [[maybe_unused]] SignalsBlocked during;
  try {
    // The stack is the platform's: 128 KB in musl, more elsewhere. Kernels keep their tiles in scratch and need some
    // KB.
    std::thread(body).detach();
    return true;
  } catch (const std::system_error &) {
  } catch (const std::bad_alloc &) {
  }
  return false;
}
