// What kernels offer beside attention: the building blocks of whole models. Plain C types only, as in kernel.h.
#pragma once
#include "kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

// XATTN_STORED_QUADS: int8, and rows of x are rounded to int8, too.
typedef enum Stored { XATTN_STORED_FLOAT32, XATTN_STORED_BFLOAT16, XATTN_STORED_INT8, XATTN_STORED_QUADS } Stored;
typedef enum Activation { XATTN_NONE, XATTN_RELU, XATTN_GELU, XATTN_GELU_TANH, XATTN_SILU, XATTN_TANH } Activation;

// y = activation(x W^T + bias) + residual. Gated: W has a second half of `outputs` rows, G, and
// y = activation(x G^T + bias of G) * (x W^T + bias of W) + residual.
typedef struct Linear {
  int64_t rows, inputs, outputs;
  int64_t stride; // elements from one row of x to the next
  Stored type;
  Activation activation;
  int64_t gated;  // nonzero: yes
  int64_t wanted; // at most so many threads; 0: the pool's size
  const float *x;
  const void *weights;   // as pack() laid them out
  const float *scales;   // per row of W, where they are int8
  const float *bias;     // per row of W, or NULL
  const float *residual; // [rows, outputs], or NULL; may be y
  float *y;              // [rows, outputs]
} Linear;

// y = (x - mean) / sqrt(mean square + eps) * weight + bias; not centred: without the mean. y may be x.
typedef struct Norm {
  int64_t rows, width;
  int64_t centred;
  float eps;
  const float *x, *weight, *bias; // weight, bias: [width], or NULL
  float *y;
} Norm;

// y = the table's rows with these numbers, times scale.
typedef struct Embedding {
  int64_t rows, width;
  Type type;
  int64_t stride; // elements from one row of the table to the next
  float scale;
  const void *table;
  const int32_t *ids;
  float *y;
} Embedding;

// Pairs of the first `dims` elements of each head turn by the angles of the row's position. y may be x.
typedef struct Rotary {
  int64_t rows, heads, size, dims;
  int64_t interleaved; // pairs of 2i and 2i + 1; else of i and i + dims / 2
  const float *x;
  const int32_t *positions; // per row
  const float *table;       // [position, 2, dims / 2]: cosines, then sines
  float *y;
} Rotary;

// The building blocks for one instruction set. What works on rows may be called for any ranges of them, on any threads.
typedef struct Blocks {
  size_t (*packedBytes)(const Linear *);
  void (*pack)(const Linear *, const void *rows, void *packed); // rows: [outputs, or twice as many, inputs]
  void (*planLinear)(const Linear *, Plan *);
  void (*linear)(const Linear *, int64_t item, void *scratch);
  void (*norm)(const Norm *, int64_t from, int64_t to);
  void (*embedding)(const Embedding *, int64_t from, int64_t to);
  void (*rotary)(const Rotary *, int64_t from, int64_t to);
} Blocks;

#ifdef __cplusplus
}
#endif
