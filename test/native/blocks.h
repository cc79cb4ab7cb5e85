// Made-up calls of what kernels offer beside attention: the building blocks, and the conversion of a memory's rows.
#pragma once
#include "call.h"

struct BlockSizes {
  int64_t rows, width;
  int64_t outputs; // of a linear layer; entries of an embedding's table, positions of a rotary one's
};

BlockSizes chooseBlockSizes(Choices &);

// Their inputs are written, their outputs "y", "row" and "scale" are not.
using MakeBlock = AnyCall(const BlockSizes &, Choices &, Memory &);
MakeBlock makeLinear; // a convolution is one, too: its rows overlap
MakeBlock makeNorm, makeEmbedding, makeRotary;
MakeBlock makeConversion; // of a row on its way into a memory

constexpr MakeBlock *BLOCKS[] = {makeLinear, makeNorm, makeEmbedding, makeRotary, makeConversion};
