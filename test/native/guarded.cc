#include "guarded.h"
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

static const size_t PAGE = static_cast<size_t>(sysconf(_SC_PAGESIZE));
static const uint8_t KNOWN = 0xa5;

bool GuardedMemory::Array::isOutput() const {
  const char *const OUTPUTS[] = {"output", "lse", "values", "indices", "y", "row", "scale"};
  return std::any_of(std::begin(OUTPUTS), std::end(OUTPUTS),
                     [this](auto output) { return !std::strcmp(name, output); });
}

GuardedMemory::~GuardedMemory() {
  for (const Array &array : arrays) munmap(array.pages, array.room + 2 * PAGE);
}

void *GuardedMemory::take(const char *name, size_t bytes, size_t alignment) {
  const size_t room = (bytes + PAGE - 1) / PAGE * PAGE;
  void *pages = mmap(nullptr, room + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) {
    std::perror("mmap");
    std::exit(1);
  }
  uint8_t *first = static_cast<uint8_t *>(pages) + PAGE;
  mprotect(first, room, PROT_READ | PROT_WRITE);
  std::memset(first, KNOWN, room);
  uint8_t *data = side == Side::BEHIND ? first + (room - bytes) / alignment * alignment : first;
  arrays.push_back({name, first - PAGE, data, bytes, room});
  return data;
}

void GuardedMemory::protectInputs() {
  for (const Array &array : arrays) {
    if (!array.isOutput()) mprotect(array.pages + PAGE, array.room, PROT_READ);
  }
}

void GuardedMemory::spoilOutputs() {
  for (const Array &array : arrays) {
    if (array.isOutput()) std::memset(array.data, 0xff, array.bytes);
  }
}

void GuardedMemory::hide(const char *name) {
  for (const Array &array : arrays) {
    if (!std::strcmp(array.name, name)) mprotect(array.pages + PAGE, array.room, PROT_NONE);
  }
}

std::vector<const char *> GuardedMemory::names() const {
  std::vector<const char *> all;
  for (const Array &array : arrays) all.push_back(array.name);
  return all;
}

const char *GuardedMemory::nameAt(const void *address) const {
  const uint8_t *at = static_cast<const uint8_t *>(address);
  for (const Array &array : arrays) {
    if (at >= array.pages && at < array.pages + array.room + 2 * PAGE) return array.name;
  }
  return nullptr;
}

const char *GuardedMemory::writtenBeside() const {
  for (const Array &array : arrays) {
    const uint8_t *first = array.pages + PAGE;
    auto isKnown = [](uint8_t byte) { return byte == KNOWN; };
    if (!std::all_of(first, static_cast<const uint8_t *>(array.data), isKnown) ||
        !std::all_of(static_cast<const uint8_t *>(array.data + array.bytes), first + array.room, isKnown)) {
      return array.name;
    }
  }
  return nullptr;
}
