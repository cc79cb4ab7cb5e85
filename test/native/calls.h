// Made-up calls of the kernel table: every type, layout, mask and option, in memory that somebody else lays out.
#pragma once
#include "choices.h"
#include "naive.h"
#include <string>

struct Sizes {
  int64_t batch, heads, kvHeads, tq, tk, d, dv;
};

// Gives arrays their places.
class Memory {
public:
  virtual ~Memory() = default;
  virtual void *take(const char *name, size_t bytes, size_t alignment) = 0;
};

// Sizes of at most a few thousand numbers in each array.
Sizes chooseSizes(Choices &);

// What it reads is written, what it is to write is not. Keys and values that no query sees may hold NaN or infinities.
Problem makeProblem(const Sizes &, Choices &, Memory &);

// Does all items of a problem, in a chosen order, in working space from the memory, which also holds garbage at first.
void attend(const Kernel &, Problem, Choices &, Memory &);

// To find a call again by.
std::string describe(const Problem &);
