// What the binding hands to a kernel, and what a kernel offers. Plain C types only: kernel sources must not see the C++
// library, or an inline function of it compiled for AVX-512 could be linked into everyone's code.
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// XATTN_INT8 is for keys and values only, whose rows have a factor each.
typedef enum Type { XATTN_FLOAT32, XATTN_FLOAT16, XATTN_BFLOAT16, XATTN_BOOL, XATTN_INT8 } Type;

// Strides are in elements, 0 where an entry is shared. The last dimension is contiguous.
typedef struct Operand {
  const void *data;
  Type type;
  int64_t batch, head, row;
  const float *scales; // XATTN_INT8: the factor of element i is scales[i / row]
} Operand;

// data == NULL: no mask. XATTN_BOOL takes keys away where it is 0, float types are added to the scores.
typedef struct Mask {
  const void *data;
  Type type;
  int64_t batch, head, row, key;
} Mask;

// A part or a reduction of the weights. Its results come as zeros, its indices as -1.
typedef enum MapKind { XATTN_NO_MAP, XATTN_WEIGHTS, XATTN_MEAN, XATTN_TOP, XATTN_ENTROPY, XATTN_SUM } MapKind;
typedef struct Map {
  MapKind kind;
  int64_t headCount, keyCount, k; // chosen heads and keys; weights per query of XATTN_TOP
  float *values;          // [batch, headCount, tq, keyCount] without what is reduced, or [batch, headCount, tq, k]
  int32_t *indices;       // of XATTN_TOP
  const int32_t *heads;   // per head its place in the map, -1: left out; NULL: all, in their order
  const int32_t *keys;    // the chosen ones, ascending; NULL: all
  const int32_t *columns; // per chosen key its column in the map, NULL: in the order of the keys
} Map;

// One checked call.
typedef struct Problem {
  int64_t batch, heads, kvHeads, tq, tk, d, dv;
  float scale;
  float softcap;                     // 0: none
  int64_t causal;                    // nonzero: query i sees key j <= i + offset
  int64_t windowLeft, windowRight;   // -1: open
  Operand query, key, value, output; // output.data is written
  Mask mask;
  const int32_t *keyLengths; // per batch entry, NULL: tk
  const int32_t *offsets;    // per batch entry, NULL: 0
  const float *alibi;        // slope per head, or NULL
  const float *sinks;        // extra logit per head, or NULL
  int64_t mayRound;          // nonzero: to bfloat16 where keys and values are, queries and probabilities too
  float *lse;                // [batch, heads, tq], or NULL
  Map map;
  float *rows; // per row its reference and its factor, for the map; the job's, NULL without a map
} Problem;

// How the map is cut: sets of tiles with cells of their own in the map. A set is dealt out to `lanes` items, of which
// each takes every lanes-th tile, and each of those to `ranges` items of some keys.
typedef struct MapPlan {
  int64_t items; // sets * lanes * ranges; 0: no map
  int64_t lanes, ranges;
  int64_t tiles;   // of one set
  int64_t stacked; // nonzero: the tiles of an item have the same cells
} MapPlan;

// How a kernel cuts a problem into items that need nothing of each other. It depends on the problem alone, never on
// the number of threads, so that the bits do not either.
typedef struct Plan {
  const char *kernel; // name for explain()
  int32_t variant;    // the kernel's own choice of tile
  int64_t items;      // tiles * splits
  int64_t run;        // neighbouring tiles of query rows, of which some may be attended together
  int64_t together;   // tiles that make up one here; with more, splits == 1
  int64_t tiles;      // tiles of query rows
  int64_t each;       // tiles of one group of rows that share keys, each by itself
  int64_t splits;     // ranges of keys per tile; with more than one, partials are merged by finish()
  int64_t splitKeys;  // of each but the last
  size_t scratch;     // bytes that each thread needs, 64-byte aligned
  size_t partials;    // bytes that the call needs for partial results, 64-byte aligned; 0 when splits == 1
  MapPlan map;
  double work; // multiply-adds, an estimate: says whether threads are worth waking
} Plan;

typedef struct Blocks Blocks; // blocks.h

// One row of the kernel table: one instruction set. A caller runs attend() once for every item in any order and on any
// thread; where splits > 1, finish() once for every tile after the tile's items (item = tile * splits + split). After
// all of that, map() once for every item of the map.
typedef struct Kernel {
  const char *name;
  void (*plan)(const Problem *, Plan *);
  void (*attend)(const Problem *, const Plan *, int64_t item, void *scratch, void *partials);
  void (*finish)(const Problem *, const Plan *, int64_t tile, void *partials);
  void (*map)(const Problem *, const Plan *, int64_t item, void *scratch);
  // One row for a memory, each element rounded to the nearest, ties to even. For XATTN_INT8 *scale becomes its factor.
  void (*convert)(Type from, const void *source, Type to, void *target, float *scale, int64_t width);
  const Blocks *blocks;
} Kernel;

// How this CPU multiplies pairs of bfloat16 faster than float32.
typedef enum Pairs { XATTN_NO_PAIRS, XATTN_DOTS, XATTN_AMX } Pairs;
Pairs xattn_pairs(void);

// Nonzero where this CPU adds up four products of int8 in one instruction, in each of so many lanes.
int xattn_quads(int lanes);

extern const Kernel xattn_avx512, xattn_avx2, xattn_neon, xattn_scalar;

#ifdef __cplusplus
}
#endif
