// Arrays between pages that nobody may touch.
#pragma once
#include "call.h"
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

  // From now on only outputs may be written: "output", "lse", "values", "indices", "y", "row" and "scale".
  void protectInputs();

  // Those hold garbage again.
  void spoilOutputs();

  // From now on nobody may touch the arrays of this name.
  void hide(const char *name);

  std::vector<const char *> names() const;

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
