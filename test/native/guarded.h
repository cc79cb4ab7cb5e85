// Arrays between pages that nobody may touch.
#pragma once
#include "calls.h"
#include <vector>

// Which of the two pages an array touches; towards the other one, to the next page's bound, lie bytes of a known value.
enum class Side { BEHIND, BEFORE };

class GuardedMemory : public Memory {
public:
  const Side side;

  explicit GuardedMemory(Side side) : side(side) {}
  ~GuardedMemory() override;

  // With the guard behind, up to alignment - 1 known bytes lie between the array's end and the page.
  void *take(const char *name, size_t bytes, size_t alignment) override;

  // From now on only "output", "lse", "values" and "indices" may be written.
  void protectInputs();

  // Those three hold garbage again.
  void spoilOutputs();

  // The array that an address is in or beside; nullptr: none.
  const char *nameAt(const void *address) const;

  // The first array with a changed byte beside it; nullptr: none.
  const char *writtenBeside() const;

private:
  struct Array {
    const char *name;
    uint8_t *pages, *data; // pages begin with the guard before
    size_t bytes, room;    // room: between the guards

    bool isOutput() const;
  };
  std::vector<Array> arrays;
};
