// One instruction set's building blocks. Included behind kernel-inl.h.

#include "activations-inl.h"
#include "panels-inl.h"
#include "linear-inl.h"
#include "integers-inl.h"
#include "norms-inl.h"
#include "tokens-inl.h"

const Blocks blocks = {packedBytes, packLinear, planLinear, linear, norm, embedding, rotary};
