// Made-up attention: every type, layout, mask, map and option, in memory that somebody else lays out.
#pragma once
#include "call.h"

struct Sizes {
  int64_t batch, heads, kvHeads, tq, tk, d, dv;
};

// Sizes of at most a few thousand numbers in each array.
Sizes chooseSizes(Choices &);

// What it reads is written, its outputs "output", "lse", "values" and "indices" are not. Keys and values that no query
// sees may hold NaN or infinities.
AnyCall makeAttention(const Sizes &, Choices &, Memory &);
