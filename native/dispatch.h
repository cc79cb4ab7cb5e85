// Which kernels this CPU can run.
#pragma once
#include "kernel.h"

struct Kernels {
  const Kernel *list[4]; // best first
  int count;
};

// Detected at the first call; any thread may ask.
const Kernels &usableKernels();
