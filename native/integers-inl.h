// Weights of int8 times rows that are rounded to integers, a factor each: sums of integers are exact in any order. A
// lane takes some inputs of its output at a time.

enum {
  ROUNDED_PANELS = 1024 / PANEL, // panels for each time that a row is rounded
  BYTE_STEPS = 127,              // either way of a row's largest magnitude
  SHORT_STEPS = 32639            // the same of 16 bits: 127 * 256 + 127, whose bytes both have a sign
};

// Rows as integers of 16 bits.
template <int MOST> struct Shorts {
  typedef int16_t Number;
  enum { STEPS = MOST, TOGETHER = 2, DIGITS = 1 };
  static constexpr int64_t DEPTH = INT32_MAX / (127 * MOST) / TOGETHER * TOGETHER; // inputs whose products fit 32 bits
  static XATTN_INLINE int32_t start(const int16_t *, int64_t) { return 0; }
  static XATTN_INLINE void put(vec x, int16_t *to, int64_t) { toShorts(to, x); }
  static XATTN_INLINE shorts weights(const int8_t *p) { return widenBytes(p, 2 * W); }
  template <int U> static XATTN_INLINE void inputs(const int16_t *p, shorts (&x)[U]) {
    XATTN_UNROLL for (int u = 0; u < U; u++) x[u] = broadcastShorts(p + u * TOGETHER);
  }
  static XATTN_INLINE ints add(ints sum, shorts w, shorts x) { return addPairs(sum, w, x); }
};

// U times the next four int8 in every lane.
template <int U> XATTN_INLINE void broadcastQuads(const int8_t *p, ints (&x)[U]) {
  XATTN_UNROLL for (int u = 0; u < U; u++) x[u] = broadcastInt(XATTN_QUAD(p + 4 * u));
}

// Rows as bytes, where a kernel has a way to multiply four of a lane. What has 16 bits is 256 times a row of bytes and
// another row of them.
template <int MOST> struct Bytes : Quads {
  typedef int8_t Number;
  enum { STEPS = MOST, TOGETHER = 4, DIGITS = MOST == BYTE_STEPS ? 1 : 2 };
  static constexpr int64_t DEPTH = INT64_MAX; // the facade knows how many inputs a sum can take
  static XATTN_INLINE void put(vec x, int8_t *to, int64_t stride) {
    if (DIGITS == 2) {
      const vec high = roundNearest(fma(x, broadcast(0x1p-8f), broadcast(0x1p-9f))); // half of 256 goes up
      toSigned(to, high);
      x = fma(high, broadcast(-256.0f), x);
      to += stride;
    }
    toSigned(to, x);
  }
  template <int U> static XATTN_INLINE void inputs(const int8_t *p, ints (&x)[U]) { broadcastQuads(p, x); }
};

// Some rows of a call as integers, each as one or two rows of digits, with zeros behind the last input.
template <class Number> struct IntegerRows {
  int64_t stride; // whole vectors
  Number *data;
  float *factors;
  int32_t *starts; // what sums begin with, for each row of digits
};

XATTN_INLINE int64_t integerStride(const Linear *p) {
  return ceilDivide(p->inputs, 4 * W) * 4 * W;
}

// A row takes two bytes an input at most.
XATTN_INLINE size_t integerScratch(const Linear *p) {
  return ITEM_ROWS * (2 * integerStride(p) + sizeof(float) + 2 * sizeof(int32_t)) + ALIGNMENT;
}

template <class Number> XATTN_INLINE IntegerRows<Number> integerRows(const Linear *p, void *scratch) {
  float *factors = (float *)aligned(scratch);
  int32_t *starts = (int32_t *)(factors + ITEM_ROWS);
  return {integerStride(p), (Number *)(starts + 2 * ITEM_ROWS), factors, starts};
}

template <class I>
XATTN_NOINLINE void roundRows(const Linear *p, int64_t row, int64_t rows, const IntegerRows<typename I::Number> &to) {
  typename I::Number *data = to.data;
  for (int64_t r = 0; r < rows; r++, data += I::DIGITS * to.stride) {
    const float *x = p->x + (row + r) * p->stride, factor = scaleOf(XATTN_FLOAT32, x, p->inputs, I::STEPS);
    const vec divisor = broadcast(factor == 0 ? 1.0f : factor); // what is too small for a factor is 0
    const vec top = broadcast((float)I::STEPS), bottom = broadcast(-(float)I::STEPS);
    for (int64_t k = 0; k < to.stride; k += W) {
      const int n = (int)smaller(W, p->inputs - k);
      const vec a = n > 0 ? div(loadAs(XATTN_FLOAT32, x, k, n), divisor) : broadcast(0.0f);
      I::put(roundNearest(max(min(a, top), bottom)), data + k, to.stride);
    }
    to.factors[r] = factor;
    for (int d = 0; d < I::DIGITS; d++) to.starts[r * I::DIGITS + d] = I::start(data + d * to.stride, to.stride);
  }
}

// s[u][d][..] += products of the u-th inputs that lie together with D rows of digits.
template <class I, int U, int M, int D, int NV>
XATTN_INLINE void addIntegers(ints (&s)[M][D][NV], const typename I::Number *x, int64_t stride, const int8_t *w) {
  enum { BYTES = I::TOGETHER * PANEL };
  decltype(I::weights(w)) b[D][U], weights[NV];
  prefetch<U * BYTES>(w);
  XATTN_UNROLL for (int u = 0; u < U; u++, w += BYTES) {
    XATTN_UNROLL for (int v = 0; v < NV; v++) weights[v] = I::weights(w + v * I::TOGETHER * W);
    XATTN_UNROLL for (int d = 0; d < D; d++) {
      if (u == 0) I::inputs(x + d * stride, b[d]);
      XATTN_UNROLL for (int v = 0; v < NV; v++) s[u][d][v] = I::add(s[u][d][v], weights[v], b[d][u]);
    }
  }
}

// What s[..][d][v] and, of numbers of two digits, s[..][d + 1][v] stand for.
template <class I, int U, int D, int NV> XATTN_INLINE vec totalOf(const ints (&s)[U][D][NV], int d, int v) {
  vec digits[I::DIGITS];
  XATTN_UNROLL for (int i = 0; i < I::DIGITS; i++) {
    ints sum = s[0][d + i][v];
    XATTN_UNROLL for (int u = 1; u < U; u++) sum = addInts(sum, s[u][d + i][v]);
    digits[i] = toFloats(sum);
  }
  return I::DIGITS == 1 ? digits[0] : fma(digits[0], broadcast(256.0f), digits[I::DIGITS - 1]);
}

// sums[r][..] = R rows times a panel, in units of the weights' factors. U: sums of an output that grow side by side.
template <class I, int R, int U>
XATTN_NOINLINE void multiplyIntegers(const IntegerRows<typename I::Number> &x, int64_t row, const int8_t *w,
                                     int64_t inputs, float *sums) {
  enum { NV = LINEAR_VECTORS, D = R * I::DIGITS, BYTES = I::TOGETHER * PANEL };
  const typename I::Number *from = x.data + row * I::DIGITS * x.stride;
  const int32_t *starts = x.starts + row * I::DIGITS;
  for (int64_t left = inputs; left > 0; left -= I::DEPTH) {
    ints s[U][D][NV];
    XATTN_UNROLL for (int u = 0; u < U; u++) {
      XATTN_UNROLL for (int d = 0; d < D; d++) {
        XATTN_UNROLL for (int v = 0; v < NV; v++) s[u][d][v] = broadcastInt(u == 0 ? starts[d] : 0);
      }
    }
    int64_t steps = smaller(left, I::DEPTH) / I::TOGETHER;
    for (; steps >= U; steps -= U, w += U * BYTES, from += U * I::TOGETHER) addIntegers<I, U>(s, from, x.stride, w);
    for (; steps > 0; steps--, w += BYTES, from += I::TOGETHER) addIntegers<I, 1>(s, from, x.stride, w);
    XATTN_UNROLL for (int r = 0; r < R; r++) {
      const vec factor = broadcast(x.factors + row + r);
      XATTN_UNROLL for (int v = 0; v < NV; v++) {
        float *to = sums + r * PANEL + v * W;
        const vec total = mul(totalOf<I>(s, r * I::DIGITS, v), factor);
        store(to, left == inputs ? total : add(load(to), total));
      }
    }
  }
}

// One row reads weights in one stream, as fast as memory gives them: to have enough sums under way there are some of
// each output.
template <class I> XATTN_INLINE void multiplyPatch(const Patch &c, const IntegerRows<typename I::Number> &x) {
  const int64_t inputs = packedInputs(c.p);
  const int8_t *w = packedAs<int8_t>(c.p) + c.panel * inputs * PANEL;
  for (int64_t q = 0; q < c.panels; q++, w += inputs * PANEL) {
    float *sums = c.sums + q * c.step();
    if (c.rows == 1) {
      multiplyIntegers<I, 1, LINEAR_SUMS / I::DIGITS>(x, 0, w, inputs, sums);
      continue;
    }
    inWholeSteps<LINEAR_ROWS / I::DIGITS>((int)c.rows, [&](auto count, int r) XATTN_LAMBDA_INLINE {
      multiplyIntegers<I, decltype(count)::value, 1>(x, r, w, inputs, sums + r * PANEL);
    });
  }
}

template <class I> XATTN_NOINLINE void integersItem(const Linear *p, int64_t item, float *scratch) {
  const int64_t rowItems = ceilDivide(p->rows, ITEM_ROWS), panel = item / rowItems * ROUNDED_PANELS;
  const int64_t row = item % rowItems * ITEM_ROWS, end = smaller(panelsOf(p), panel + ROUNDED_PANELS);
  Patch c = {p, row, smaller(ITEM_ROWS, p->rows - row), panel, 0, scratch, nullptr};
  const auto x = integerRows<typename I::Number>(p, scratch + 2 * ITEM_ROWS * PANEL);
  const int64_t together = c.rows == 1 ? (int64_t)ROUNDED_PANELS : p->gated ? 2 : 1;
  roundRows<I>(p, row, c.rows, x);
  for (; c.panel < end; c.panel += c.panels) {
    c.panels = smaller(together, end - c.panel);
    multiplyPatch<I>(c, x);
    finishPatch(c);
  }
}

template <int STEPS> XATTN_INLINE void integers(const Linear *p, int64_t item, float *scratch) {
#ifdef XATTN_QUADS
  if (hasQuads()) return integersItem<Bytes<STEPS>>(p, item, scratch);
#endif
  integersItem<Shorts<STEPS>>(p, item, scratch);
}

void linear(const Linear *p, int64_t item, void *scratch) {
  if (p->type == XATTN_STORED_FLOAT32)
    linearItem<float>(p, item, (float *)scratch);
  else if (p->type == XATTN_STORED_BFLOAT16)
    linearItem<uint16_t>(p, item, (float *)scratch);
  else if (p->type == XATTN_STORED_INT8)
    integers<SHORT_STEPS>(p, item, (float *)scratch);
  else
    integers<BYTE_STEPS>(p, item, (float *)scratch);
}

void planLinear(const Linear *p, Plan *plan) {
  const bool isQuads = p->type == XATTN_STORED_QUADS, isInteger = isQuads || p->type == XATTN_STORED_INT8;
  plan->kernel = "linear";
  plan->variant = 0;
  const int64_t panels = isInteger ? (int64_t)ROUNDED_PANELS : (int64_t)ITEM_PANELS;
  plan->tiles = plan->items = ceilDivide(panelsOf(p), panels) * ceilDivide(p->rows, ITEM_ROWS);
  plan->splits = 1;
  plan->scratch = (DEPTH + 2 * ITEM_ROWS) * PANEL * sizeof(float) + (isInteger ? integerScratch(p) : 0);
  plan->partials = 0;
  // A product of small integers takes a quarter of the time.
  plan->work = (isQuads ? 0.25 : 1) * (double)p->rows * (double)p->inputs * (double)(panelsOf(p) * PANEL);
}
