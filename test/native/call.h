// A made-up call, whatever it is a call of: what guard.cc and fuzz.cc have every kernel do.
#pragma once
#include "../../native/kernel.h"
#include "choices.h"
#include <memory>
#include <string>

// Gives arrays their places.
class Memory {
public:
  virtual ~Memory() = default;
  virtual void *take(const char *name, size_t bytes, size_t alignment) = 0;
};

class Call {
public:
  virtual ~Call() = default;

  // Has a kernel do it, with working space from the memory. What came out wrong, in words; empty: nothing.
  virtual std::string run(const Kernel &, Choices &, Memory &) const = 0;

  // To find the call again by.
  virtual std::string description() const = 0;
};

using AnyCall = std::unique_ptr<const Call>;
