// Where memories keep keys and values: blocks outside the JavaScript heap, which memories of any thread hold together.
// What lies where in a block is the facade's business (src/store.ts).
#pragma once
#include "kernel.h"
#include <atomic>
#include <memory>
#include <string>

// Rows below the length of any memory that holds the block stay as they are. Those behind belong to whoever claims
// them.
struct Block {
  std::unique_ptr<char[]> memory;
  char *bytes; // within it, 64-byte aligned
  size_t size;
  std::atomic<int64_t> holders{1};
  std::atomic<int64_t> claimed{0}; // rows, counted in each of its sequences
};

// With one holder, and undefined content. Throws std::bad_alloc.
Block *newBlock(size_t size);

// The last holder's release() frees it.
void hold(Block &);
void release(Block *);

// Whether rows from .. to are now the caller's alone to write: only where nobody has claimed rows from there on.
bool claim(Block &, int64_t from, int64_t to);

// Gives rows from `from` on back, and says whether that could be: the caller is the only holder.
bool reclaim(Block &, int64_t from);

// The registry of blocks on their way to another thread, each with a holder and the facade's description of it.
void park(const std::string &token, Block &, const std::string &description);

// Takes the holder over. nullptr: nothing waits under this token, or no longer.
Block *unpark(const std::string &token, std::string &description);

// `count` runs of bytes, a stride apart on either side. Runs may overlap where both lie in one block.
struct Runs {
  char *to;
  const char *from;
  int64_t toStride, fromStride, bytes, count;
};
void copyRuns(const Runs &);

// Rows of [batch, heads, count, width] on their way into a block. Strides of `to` are in its elements.
struct Rows {
  Operand from, to;
  float *scales; // where to.type is XATTN_INT8; of rows as `to` counts them
  int64_t batch, heads, count, width;
};
void convertRows(const Kernel &, const Rows &);
