// For addons that hold the C++ library themselves, as cross-built ones do: its handler of uncaught exceptions prints
// names of types, and would bring a demangler of 150 KB. Names stay as they are.
#include <cstddef>

extern "C" __attribute__((visibility("hidden"))) char *__cxa_demangle(const char *, char *, size_t *, int *status) {
  if (status != nullptr) *status = -2; // not a valid name
  return nullptr;
}
