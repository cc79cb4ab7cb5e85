// One instruction set's kernel: the shared algorithm, and how a problem is cut into items. Included inside a target
// region and an unnamed namespace, after vec and its operations.

#include "exp-inl.h"
#include "rows-inl.h"
#include "scores-inl.h"
#include "prefetch-inl.h"
#include "pack-inl.h"
#include "multiply-inl.h"
#include "attention-inl.h"
#include "streams-inl.h"
#include "score-keys-inl.h"
#include "add-values-inl.h"
#include "decode-inl.h"
#include "weigh-inl.h"
#include "map-inl.h"
#ifdef XATTN_PAIRS
#include "pairs-inl.h"
#include "amx-inl.h"
#endif
#include "items-inl.h"

struct Variant {
  const char *name;
  int rows;     // query rows of a tile
  double cost;  // of a lane, relative to the best variant: what its loads and shuffles add to its multiply-adds
  int together; // tiles that one item may hold
  size_t (*scratch)(const Problem *);
  size_t (*shared)(const Problem *); // what tiles of one item have in common
  void (*attend)(const Problem *, const Plan *, int64_t, void *, void *);
  size_t (*mapScratch)(const Problem *);
  void (*map)(const Problem *, const Plan *, int64_t, void *);
};

#define XATTN_VARIANT(name, T, cost)                                                                                   \
  {name, T::R, cost, T::TOGETHER, T::scratchBytes, T::sharedBytes, attendItem<T>, mapScratchBytes<T>, mapItem<T>},
#define XATTN_TILE_TYPE(nv, kr, cost) typedef Tile<nv, kr> Tile##nv##x##kr;
#define XATTN_TILE_VARIANT(nv, kr, cost) XATTN_VARIANT("prefill " #nv "x" #kr, Tile##nv##x##kr, cost)
#define XATTN_PAIR_TYPE(nv, kr, cost) typedef PairTile<nv, kr> PairTile##nv##x##kr;
#define XATTN_PAIR_VARIANT(nv, kr, cost) XATTN_VARIANT("prefill bfloat16 dot " #nv "x" #kr, PairTile##nv##x##kr, cost)
XATTN_TILES(XATTN_TILE_TYPE)
#ifdef XATTN_PAIRS
XATTN_PAIR_TILES(XATTN_PAIR_TYPE)
#endif
const Variant variants[] = {XATTN_VARIANT("decode", Decode, 1.0) XATTN_TILES(XATTN_TILE_VARIANT)
#ifdef XATTN_PAIRS
                                XATTN_PAIR_TILES(XATTN_PAIR_VARIANT) XATTN_VARIANT("prefill bfloat16 amx", AmxTile, 1.0)
#endif
};
#define XATTN_ONE_MORE(nv, kr, cost) +1
enum { DECODE, VARIANTS = 1 XATTN_TILES(XATTN_ONE_MORE) }; // those for every type
#ifdef XATTN_PAIRS
enum { AMX_VARIANT = VARIANTS XATTN_PAIR_TILES(XATTN_ONE_MORE) };
#endif

// The tile that wastes least of the rows; decode where they are few.
int chooseVariant(const Problem *p, int64_t rows) {
  if (rows <= DECODE_ROWS) return DECODE;
  int from = DECODE + 1, to = VARIANTS;
#ifdef XATTN_PAIRS
  if (p->mayRound && p->key.type == XATTN_BFLOAT16 && p->value.type == XATTN_BFLOAT16) {
    if (xattn_pairs() == XATTN_AMX) return AMX_VARIANT;
    if (xattn_pairs() == XATTN_DOTS) from = VARIANTS, to = AMX_VARIANT;
  }
#endif
  int best = from;
  double least = 0;
  for (int i = from; i < to; i++) {
    const double cost = (double)(ceilDivide(rows, variants[i].rows) * variants[i].rows) * variants[i].cost;
    if (i == from || cost < least) best = i, least = cost;
  }
  return best;
}

enum { ENOUGH_ITEMS = 16, FEW_ITEMS = 4, SPLIT_KEYS = 2048 };

void planMap(const Problem *p, Plan *plan, const Variant *v) {
  cutMap(p, v->rows, &plan->map);
  const size_t scratch = v->mapScratch(p);
  if (scratch > plan->scratch) plan->scratch = scratch;
  const double heads = (double)p->map.headCount, keys = (double)p->map.keyCount;
  plan->work += (double)p->batch * heads * (double)p->tq * keys * (double)p->d;
}

// Tiles that had better take turns: those of a group whose keys are far or converted, as long as enough items are left;
// in decode those of neighbours with few keys, where the keys of all come from memory.
int64_t tilesTogether(const Problem *p, int64_t tiles, bool decode) {
  if (!decode) return isFar(p) || isConverted(p) ? tiles / ENOUGH_ITEMS : 1;
  return tiles * p->tk * keyBytes(p) > FAR_BYTES ? smaller(CHUNK / p->tk, tiles / FEW_ITEMS) : 1;
}

void plan(const Problem *p, Plan *plan) {
  const Groups g = groupsOf(p);
  plan->variant = chooseVariant(p, g.rows);
  const Variant *v = variants + plan->variant;
  plan->kernel = v->name;
  const int64_t each = plan->each = ceilDivide(g.rows, v->rows);
  plan->run = plan->variant == DECODE ? g.count : each;
  plan->together = bigger(1, smaller(v->together, tilesTogether(p, g.count * each, plan->variant == DECODE)));
  plan->tiles = g.count * each / plan->run * ceilDivide(plan->run, plan->together);
  // Keys are split where tiles alone would leave threads idle.
  plan->splits = bigger(1, smaller(ENOUGH_ITEMS / bigger(1, plan->tiles), p->tk / SPLIT_KEYS));
  plan->splitKeys = ceilDivide(ceilDivide(p->tk, plan->splits), KEY_BLOCK) * KEY_BLOCK; // equal shares, in whole blocks
  plan->items = plan->tiles * plan->splits;
  const size_t shared = plan->together > 1 ? v->shared(p) : 0;
  plan->scratch = (plan->together * v->scratch(p) + shared + 63) / 64 * 64;
  plan->partials = plan->splits > 1 ? (size_t)(plan->items * v->rows * (p->dv + 2)) * sizeof(float) : 0;
  // To read keys and values takes as long as four rows of multiply-adds.
  plan->work = (double)g.count * (double)bigger(g.rows, 4) * (double)p->tk * (double)(p->d + p->dv);
  if (p->map.kind != XATTN_NO_MAP) planMap(p, plan, v);
}

void attend(const Problem *p, const Plan *plan, int64_t item, void *scratch, void *partials) {
  variants[plan->variant].attend(p, plan, item, scratch, partials);
}

void finish(const Problem *p, const Plan *plan, int64_t tile, void *partials) {
  const int rows = variants[plan->variant].rows;
  finishTile(p, plan, tile, rows, unitsOf(p), partialOf(p, rows, tile * plan->splits, partials));
}

void map(const Problem *p, const Plan *plan, int64_t item, void *scratch) {
  variants[plan->variant].map(p, plan, item, scratch);
}
