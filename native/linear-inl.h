// Rows times packed weights (see panels-inl.h). Every output is one chain of multiply-adds in the order of the inputs,
// so its bits depend neither on the rows beside it nor on how the work is cut.

enum {
  ITEM_PANELS = 4,
  ITEM_ROWS = 96, // a multiple of LINEAR_ROWS
  DEPTH = 512     // inputs at a time: this part of a panel stays in the L2 cache while rows pass by
};

// W outputs' weights of TOGETHER inputs.
XATTN_INLINE void widen(const float *p, vec *x) {
  x[0] = load(p);
}
XATTN_INLINE void widen(const uint16_t *p, vec *x) {
  fromBfloats(p, 2 * W, x);
}

XATTN_INLINE vec loadSome(const float *p, int n) {
  return n == W ? load(p) : loadFirst(p, n);
}

// Fetches what will be read AHEAD bytes later. One row follows its float32 panels as fast as memory gives them; while
// there is more to do for each line, the hardware does not look far enough ahead: four rows took two to three times as
// long. Of bfloat16 AVX-512 needs no help either.
enum { AHEAD = 4096 };
template <int BYTES> XATTN_INLINE void prefetch(const void *p) {
  XATTN_UNROLL for (int line = 0; line < BYTES; line += 64)
      XATTN_PREFETCH((const char *)p + AHEAD + line, XATTN_FIRST_LEVEL);
}

// s[q][r][..] += products of the first SOME of the inputs that lie together.
template <int SOME, class T, int R, int N, int NV>
XATTN_INLINE void addInputs(vec (&s)[N][R][NV], const float *x, int64_t stride, const T *w, int64_t step) {
  XATTN_UNROLL for (int q = 0; q < N; q++) {
    if (R > 1 || (sizeof(T) < sizeof(float) && W < 16)) prefetch<PANEL * SOME * sizeof(T)>(w + q * step);
    vec weights[NV][together<T>()];
    XATTN_UNROLL for (int v = 0; v < NV; v++) widen(w + q * step + v * W * together<T>(), weights[v]);
    XATTN_UNROLL for (int t = 0; t < SOME; t++) {
      XATTN_UNROLL for (int r = 0; r < R; r++) {
        const vec b = broadcast(x + r * stride + t);
        XATTN_UNROLL for (int v = 0; v < NV; v++) s[q][r][v] = fma(b, weights[v][t], s[q][r][v]);
      }
    }
  }
}

// sums[q][r][..] += n inputs of R rows times N panels. Panels lie `step` elements apart, their sums `sumStep`.
template <class T, int R, int N>
XATTN_NOINLINE void multiplyPanels(const float *x, int64_t stride, const T *w, int64_t step, int64_t n, float *sums,
                                   int64_t sumStep) {
  enum { NV = LINEAR_VECTORS };
  vec s[N][R][NV];
  XATTN_UNROLL for (int q = 0; q < N; q++) {
    XATTN_UNROLL for (int r = 0; r < R; r++) {
      const float *from = sums + q * sumStep + r * PANEL;
      XATTN_UNROLL for (int v = 0; v < NV; v++) s[q][r][v] = load(from + v * W);
    }
  }
  enum { TOGETHER = together<T>() };
  for (; n >= TOGETHER; n -= TOGETHER, x += TOGETHER, w += TOGETHER * PANEL) addInputs<TOGETHER>(s, x, stride, w, step);
  if (TOGETHER > 1 && n > 0) addInputs<1>(s, x, stride, w, step);
  XATTN_UNROLL for (int q = 0; q < N; q++) {
    XATTN_UNROLL for (int r = 0; r < R; r++) {
      float *to = sums + q * sumStep + r * PANEL;
      XATTN_UNROLL for (int v = 0; v < NV; v++) store(to + v * W, s[q][r][v]);
    }
  }
}

// Some rows and panels of a call, and where their sums are: [panels][rows][PANEL].
struct Patch {
  const Linear *p;
  int64_t row, rows, panel, panels;
  float *sums;
  float *wide; // [DEPTH][PANEL]: a part of a panel as float32

  const float *x() const { return p->x + row * p->stride; }
  int64_t step() const { return rows * PANEL; }
  void clear() const {
    for (int64_t i = 0; i < panels * step(); i += W) store(sums + i, broadcast(0.0f));
  }
  template <class T> const T *weights(int64_t ofPanel) const {
    return packedAs<T>(p) + ofPanel * packedInputs(p) * PANEL;
  }
};

// Few rows: weights are read once for all of them, from as many panels at a time as there are registers for, and
// widened on the way.
template <class T, int R> XATTN_INLINE void multiplyFew(const Patch &c) {
  enum { ROOM = REGISTERS * 3 / 4 / (LINEAR_VECTORS * R), N = ROOM < 1 ? 1 : ROOM < ITEM_PANELS ? ROOM : ITEM_PANELS };
  if constexpr (R < LINEAR_ROWS) {
    if (c.rows > R) return multiplyFew<T, R + 1>(c);
  }
  const int64_t inputs = c.p->inputs, step = packedInputs(c.p) * PANEL;
  int64_t q = 0;
  for (; q + N <= c.panels; q += N) {
    const T *w = c.weights<T>(c.panel + q);
    multiplyPanels<T, R, N>(c.x(), c.p->stride, w, step, inputs, c.sums + q * c.step(), c.step());
  }
  for (; q < c.panels; q++) {
    const T *w = c.weights<T>(c.panel + q);
    multiplyPanels<T, R, 1>(c.x(), c.p->stride, w, step, inputs, c.sums + q * c.step(), c.step());
  }
}

XATTN_INLINE const float *asFloats(const float *w, int64_t, float *) {
  return w;
}
XATTN_INLINE const float *asFloats(const uint16_t *w, int64_t n, float *wide) {
  for (int64_t k = 0; k < n; k += 2, wide += 2 * PANEL) {
    for (int o = 0; o < PANEL; o += W, w += 2 * W) {
      vec x[2];
      widen(w, x);
      store(wide + o, x[0]), store(wide + PANEL + o, x[1]);
    }
  }
  return wide - (n + 1) / 2 * 2 * PANEL;
}

// Many rows: a part of a panel at a time, as float32.
template <class T> XATTN_INLINE void multiplyMany(const Patch &c) {
  for (int64_t q = 0; q < c.panels; q++) {
    float *sums = c.sums + q * c.step();
    for (int64_t k = 0; k < c.p->inputs; k += DEPTH) {
      const int64_t n = smaller(DEPTH, c.p->inputs - k), stride = c.p->stride;
      const float *w = asFloats(c.weights<T>(c.panel + q) + k * PANEL, n, c.wide), *x = c.x() + k;
      inSteps<LINEAR_ROWS>((int)c.rows, [&](auto count, int r) XATTN_LAMBDA_INLINE {
        multiplyPanels<float, decltype(count)::value, 1>(x + r * stride, stride, w, 0, n, sums + r * PANEL, 0);
      });
    }
  }
}

// The sums at an output of W, with its scale and bias.
XATTN_INLINE vec shifted(const Linear *p, const float *sums, int64_t output, int n) {
  vec a = load(sums);
  if (p->scales) a = mul(a, loadSome(p->scales + output, n));
  return p->bias ? add(a, loadSome(p->bias + output, n)) : a;
}

// From sums to outputs.
XATTN_NOINLINE void finishPatch(const Patch &c) {
  const Linear *p = c.p;
  for (int64_t q = 0; q < c.panels; q += p->gated ? 2 : 1) {
    const int64_t first = firstOutput(p, c.panel + q), end = smaller(p->outputs, first + PANEL);
    for (int64_t r = 0; r < c.rows; r++) {
      const float *sums = c.sums + q * c.step() + r * PANEL;
      const int64_t at = (c.row + r) * p->outputs;
      float *y = p->y + at;
      for (int64_t o = first; o < end; o += W, sums += W) {
        const int n = (int)smaller(W, end - o);
        vec a = shifted(p, sums, o, n);
        const vec b = activate(p->activation, p->gated ? shifted(p, sums + c.step(), p->outputs + o, n) : a);
        a = p->gated ? mul(a, b) : b;
        if (p->residual) a = add(a, loadSome(p->residual + at + o, n));
        if (n == W)
          store(y + o, a);
        else
          storeFirst(y + o, a, n);
      }
    }
  }
}

template <class T> XATTN_NOINLINE void linearItem(const Linear *p, int64_t item, float *scratch) {
  const int64_t rowItems = ceilDivide(p->rows, ITEM_ROWS), panel = item / rowItems * ITEM_PANELS;
  const int64_t row = item % rowItems * ITEM_ROWS, end = smaller(panelsOf(p), panel + ITEM_PANELS);
  Patch c = {p, row, smaller(ITEM_ROWS, p->rows - row), panel, end - panel, scratch + DEPTH * PANEL, scratch};
  if (c.rows <= LINEAR_ROWS) {
    c.clear();
    multiplyFew<T, 1>(c);
    return finishPatch(c);
  }
  c.panels = p->gated ? 2 : 1;
  for (; c.panel < end; c.panel += c.panels) {
    c.clear();
    multiplyMany<T>(c);
    finishPatch(c);
  }
}
