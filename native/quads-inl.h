// Rows rounded to int8, a factor each, times weights that are int8 too: sums of integers are exact in any order. A lane
// takes four inputs of its output at a time.

enum { QUAD = 4, QUAD_PANELS = 16, ROW_BYTES = QUAD * W }; // panels for each time that a row is rounded

// Some rows of a call as int8, with zeros behind the last input up to whole vectors.
struct QuadRows {
  int64_t stride;
  int8_t *data;
  float *factors;
  int32_t *starts; // what sums begin with
};

XATTN_INLINE int64_t quadStride(const Linear *p) {
  return ceilDivide(p->inputs, ROW_BYTES) * ROW_BYTES;
}

XATTN_INLINE size_t quadScratch(const Linear *p) {
  return ITEM_ROWS * (quadStride(p) + sizeof(float) + sizeof(int32_t)) + ALIGNMENT;
}

XATTN_INLINE QuadRows quadRows(const Linear *p, void *scratch) {
  float *factors = (float *)aligned(scratch);
  int32_t *starts = (int32_t *)(factors + ITEM_ROWS);
  return {quadStride(p), (int8_t *)(starts + ITEM_ROWS), factors, starts};
}

template <class Quads> XATTN_NOINLINE void roundRows(const Linear *p, int64_t row, int64_t rows, const QuadRows &to) {
  for (int64_t r = 0; r < rows; r++) {
    int8_t *data = to.data + r * to.stride;
    convert(XATTN_FLOAT32, p->x + (row + r) * p->stride, XATTN_INT8, data, to.factors + r, p->inputs);
    for (int64_t k = p->inputs; k < to.stride; k++) data[k] = 0;
    to.starts[r] = Quads::start(data, to.stride);
  }
}

// sums[q][r][..] = R rows times N panels, in units of the weights' factors. Panels lie `step` bytes apart, their sums
// `sumStep` floats.
template <class Quads, int R, int N>
XATTN_NOINLINE void multiplyQuads(const QuadRows &x, int64_t row, const int8_t *w, int64_t step, float *sums,
                                  int64_t sumStep) {
  enum { NV = LINEAR_VECTORS };
  ints s[N][R][NV];
  XATTN_UNROLL for (int q = 0; q < N; q++) {
    XATTN_UNROLL for (int r = 0; r < R; r++) {
      XATTN_UNROLL for (int v = 0; v < NV; v++) s[q][r][v] = broadcastInt(x.starts[row + r]);
    }
  }
  const int8_t *from = x.data + row * x.stride;
  for (const int8_t *end = w + step; w < end; w += QUAD * PANEL, from += QUAD) {
    XATTN_UNROLL for (int q = 0; q < N; q++) {
      if (R > 1) prefetch<QUAD * PANEL>(w + q * step);
      ints weights[NV];
      XATTN_UNROLL for (int v = 0; v < NV; v++) weights[v] = Quads::weights(w + q * step + v * ROW_BYTES);
      XATTN_UNROLL for (int r = 0; r < R; r++) {
        const ints b = broadcastQuad(from + r * x.stride);
        XATTN_UNROLL for (int v = 0; v < NV; v++) s[q][r][v] = Quads::add(s[q][r][v], weights[v], b);
      }
    }
  }
  XATTN_UNROLL for (int q = 0; q < N; q++) {
    XATTN_UNROLL for (int r = 0; r < R; r++) {
      const vec factor = broadcast(x.factors + row + r);
      float *to = sums + q * sumStep + r * PANEL;
      XATTN_UNROLL for (int v = 0; v < NV; v++) store(to + v * W, mul(toFloats(s[q][r][v]), factor));
    }
  }
}

template <class Quads> XATTN_INLINE void multiplyPatch(const Patch &c, const QuadRows &x) {
  const int64_t step = quadsOf(c.p) * QUAD * PANEL;
  const int8_t *w = packedAs<int8_t>(c.p) + c.panel * step;
  if (c.rows == 1 && c.panels == ITEM_PANELS) return multiplyQuads<Quads, 1, ITEM_PANELS>(x, 0, w, step, c.sums, PANEL);
  for (int64_t q = 0; q < c.panels; q++) {
    float *sums = c.sums + q * c.step();
    inWholeSteps<LINEAR_ROWS>((int)c.rows, [&](auto count, int r) XATTN_LAMBDA_INLINE {
      multiplyQuads<Quads, decltype(count)::value, 1>(x, r, w + q * step, step, sums + r * PANEL, 0);
    });
  }
}

template <class Quads> XATTN_NOINLINE void quadsItem(const Linear *p, int64_t item, float *scratch) {
  const int64_t rowItems = ceilDivide(p->rows, ITEM_ROWS), panel = item / rowItems * QUAD_PANELS;
  const int64_t row = item % rowItems * ITEM_ROWS, end = smaller(panelsOf(p), panel + QUAD_PANELS);
  Patch c = {p, row, smaller(ITEM_ROWS, p->rows - row), panel, 0, scratch, nullptr};
  const QuadRows x = quadRows(p, scratch + 2 * ITEM_ROWS * PANEL);
  const int64_t together = c.rows == 1 ? ITEM_PANELS : p->gated ? 2 : 1;
  roundRows<Quads>(p, row, c.rows, x);
  for (; c.panel < end; c.panel += c.panels) {
    c.panels = smaller(together, end - c.panel);
    multiplyPatch<Quads>(c, x);
    finishPatch(c);
  }
}

void linear(const Linear *p, int64_t item, void *scratch) {
  if (p->type == XATTN_STORED_FLOAT32)
    linearItem<float>(p, item, (float *)scratch);
  else if (p->type == XATTN_STORED_BFLOAT16)
    linearItem<uint16_t>(p, item, (float *)scratch);
  else if (p->type == XATTN_STORED_INT8)
    linearItem<int8_t>(p, item, (float *)scratch);
#ifdef XATTN_QUADS
  else if (xattn_quads())
    quadsItem<FastQuads>(p, item, (float *)scratch);
#endif
  else
    quadsItem<Quads>(p, item, (float *)scratch);
}

void planLinear(const Linear *p, Plan *plan) {
  const bool isQuads = p->type == XATTN_STORED_QUADS;
  plan->kernel = "linear";
  plan->variant = 0;
  const int64_t panels = isQuads ? (int64_t)QUAD_PANELS : (int64_t)ITEM_PANELS;
  plan->tiles = plan->items = ceilDivide(panelsOf(p), panels) * ceilDivide(p->rows, ITEM_ROWS);
  plan->splits = 1;
  plan->scratch = (DEPTH + 2 * ITEM_ROWS) * PANEL * sizeof(float) + (isQuads ? quadScratch(p) : 0);
  plan->partials = 0;
  // A product of integers takes a quarter of the time.
  plan->work = (isQuads ? 0.25 : 1) * (double)p->rows * (double)p->inputs * (double)(panelsOf(p) * PANEL);
}
