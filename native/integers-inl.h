// Weights of int8 times rows that are rounded to integers, a factor each: sums of integers are exact in any order. A
// lane takes some inputs of its output at a time.

enum { QUAD_PANELS = 16 }; // panels for each time that a row is rounded

// Rows as int8. BITS is a kernel's way to multiply four inputs of a lane.
template <class BITS> struct Bytes : BITS {
  typedef int8_t Number;
  enum { TOGETHER = 4 };
  static constexpr int64_t DEPTH = INT64_MAX; // the facade knows how many inputs a sum can take
  static XATTN_INLINE float round(const float *x, int8_t *to, int64_t n) {
    float factor;
    convert(XATTN_FLOAT32, x, XATTN_INT8, to, &factor, n);
    return factor;
  }
  static XATTN_INLINE ints inputs(const int8_t *p) { return broadcastQuad(p); }
};

// Rows as integers of 16 bits: 2^-8 of what the weights' own rounding does.
struct Shorts {
  typedef int16_t Number;
  enum { TOGETHER = 2, MOST = 32767 };
  static constexpr int64_t DEPTH = 512; // sums of so many products of 127 * MOST fit 32 bits
  static XATTN_INLINE int32_t start(const int16_t *, int64_t) { return 0; }
  static XATTN_INLINE float round(const float *x, int16_t *to, int64_t n) {
    const float factor = scaleOf(XATTN_FLOAT32, x, n, MOST);
    toShortRow(x, to, factor, MOST, n);
    return factor;
  }
  static XATTN_INLINE shorts weights(const int8_t *p) { return widenBytes(p, 2 * W); }
  static XATTN_INLINE shorts inputs(const int16_t *p) { return broadcastShorts(p); }
  static XATTN_INLINE ints add(ints sum, shorts w, shorts x) { return addPairs(sum, w, x); }
};

// Some rows of a call as integers, with zeros behind the last input up to whole vectors.
template <class Number> struct IntegerRows {
  int64_t stride;
  Number *data;
  float *factors;
  int32_t *starts; // what sums begin with
};

XATTN_INLINE int64_t integerStride(const Linear *p) {
  return ceilDivide(p->inputs, 4 * W) * 4 * W;
}

XATTN_INLINE size_t integerScratch(const Linear *p) {
  const size_t number = p->type == XATTN_STORED_QUADS ? sizeof(int8_t) : sizeof(int16_t);
  return ITEM_ROWS * (integerStride(p) * number + sizeof(float) + sizeof(int32_t)) + ALIGNMENT;
}

template <class Number> XATTN_INLINE IntegerRows<Number> integerRows(const Linear *p, void *scratch) {
  float *factors = (float *)aligned(scratch);
  int32_t *starts = (int32_t *)(factors + ITEM_ROWS);
  return {integerStride(p), (Number *)(starts + ITEM_ROWS), factors, starts};
}

template <class I>
XATTN_NOINLINE void roundRows(const Linear *p, int64_t row, int64_t rows, const IntegerRows<typename I::Number> &to) {
  for (int64_t r = 0; r < rows; r++) {
    typename I::Number *data = to.data + r * to.stride;
    to.factors[r] = I::round(p->x + (row + r) * p->stride, data, p->inputs);
    for (int64_t k = p->inputs; k < to.stride; k++) data[k] = 0;
    to.starts[r] = I::start(data, to.stride);
  }
}

// sums[q][r][..] = R rows times N panels, in units of the weights' factors. Panels lie `step` bytes apart, their sums
// `sumStep` floats.
template <class I, int R, int N>
XATTN_NOINLINE void multiplyIntegers(const IntegerRows<typename I::Number> &x, int64_t row, const int8_t *w,
                                     int64_t step, float *sums, int64_t sumStep) {
  enum { NV = LINEAR_VECTORS, BYTES = I::TOGETHER * PANEL };
  const typename I::Number *from = x.data + row * x.stride;
  for (int64_t left = step / PANEL; left > 0; left -= I::DEPTH) {
    const bool isFirst = left == step / PANEL;
    ints s[N][R][NV];
    XATTN_UNROLL for (int q = 0; q < N; q++) {
      XATTN_UNROLL for (int r = 0; r < R; r++) {
        XATTN_UNROLL for (int v = 0; v < NV; v++) s[q][r][v] = broadcastInt(x.starts[row + r]);
      }
    }
    for (const int8_t *end = w + smaller(left, I::DEPTH) * PANEL; w < end; w += BYTES, from += I::TOGETHER) {
      XATTN_UNROLL for (int q = 0; q < N; q++) {
        prefetch<BYTES>(w + q * step);
        decltype(I::weights(w)) weights[NV];
        XATTN_UNROLL for (int v = 0; v < NV; v++) weights[v] = I::weights(w + q * step + v * I::TOGETHER * W);
        XATTN_UNROLL for (int r = 0; r < R; r++) {
          const auto b = I::inputs(from + r * x.stride);
          XATTN_UNROLL for (int v = 0; v < NV; v++) s[q][r][v] = I::add(s[q][r][v], weights[v], b);
        }
      }
    }
    XATTN_UNROLL for (int q = 0; q < N; q++) {
      XATTN_UNROLL for (int r = 0; r < R; r++) {
        const vec factor = broadcast(x.factors + row + r);
        float *to = sums + q * sumStep + r * PANEL;
        XATTN_UNROLL for (int v = 0; v < NV; v++, to += W) {
          const vec product = mul(toFloats(s[q][r][v]), factor);
          store(to, isFirst ? product : add(load(to), product));
        }
      }
    }
  }
}

template <class I> XATTN_INLINE void multiplyPatch(const Patch &c, const IntegerRows<typename I::Number> &x) {
  const int64_t step = packedInputs(c.p) * PANEL;
  const int8_t *w = packedAs<int8_t>(c.p) + c.panel * step;
  if (c.rows == 1 && c.panels == ITEM_PANELS) return multiplyIntegers<I, 1, ITEM_PANELS>(x, 0, w, step, c.sums, PANEL);
  for (int64_t q = 0; q < c.panels; q++) {
    float *sums = c.sums + q * c.step();
    inWholeSteps<LINEAR_ROWS>((int)c.rows, [&](auto count, int r) XATTN_LAMBDA_INLINE {
      multiplyIntegers<I, decltype(count)::value, 1>(x, r, w + q * step, step, sums + r * PANEL, 0);
    });
  }
}

template <class I> XATTN_NOINLINE void integersItem(const Linear *p, int64_t item, float *scratch) {
  const int64_t rowItems = ceilDivide(p->rows, ITEM_ROWS), panel = item / rowItems * QUAD_PANELS;
  const int64_t row = item % rowItems * ITEM_ROWS, end = smaller(panelsOf(p), panel + QUAD_PANELS);
  Patch c = {p, row, smaller(ITEM_ROWS, p->rows - row), panel, 0, scratch, nullptr};
  const auto x = integerRows<typename I::Number>(p, scratch + 2 * ITEM_ROWS * PANEL);
  const int64_t together = c.rows == 1 ? ITEM_PANELS : p->gated ? 2 : 1;
  roundRows<I>(p, row, c.rows, x);
  for (; c.panel < end; c.panel += c.panels) {
    c.panels = smaller(together, end - c.panel);
    multiplyPatch<I>(c, x);
    finishPatch(c);
  }
}

void linear(const Linear *p, int64_t item, void *scratch) {
  if (p->type == XATTN_STORED_FLOAT32)
    linearItem<float>(p, item, (float *)scratch);
  else if (p->type == XATTN_STORED_BFLOAT16)
    linearItem<uint16_t>(p, item, (float *)scratch);
  else if (p->type == XATTN_STORED_INT8)
    integersItem<Shorts>(p, item, (float *)scratch);
#ifdef XATTN_QUADS
  else if (xattn_quads())
    integersItem<Bytes<FastQuads>>(p, item, (float *)scratch);
#endif
  else
    integersItem<Bytes<Quads>>(p, item, (float *)scratch);
}

void planLinear(const Linear *p, Plan *plan) {
  const bool isQuads = p->type == XATTN_STORED_QUADS, isInteger = isQuads || p->type == XATTN_STORED_INT8;
  plan->kernel = "linear";
  plan->variant = 0;
  const int64_t panels = isInteger ? (int64_t)QUAD_PANELS : (int64_t)ITEM_PANELS;
  plan->tiles = plan->items = ceilDivide(panelsOf(p), panels) * ceilDivide(p->rows, ITEM_ROWS);
  plan->splits = 1;
  plan->scratch = (DEPTH + 2 * ITEM_ROWS) * PANEL * sizeof(float) + (isInteger ? integerScratch(p) : 0);
  plan->partials = 0;
  // A product of small integers takes a quarter of the time.
  plan->work = (isQuads ? 0.25 : 1) * (double)p->rows * (double)p->inputs * (double)(panelsOf(p) * PANEL);
}
