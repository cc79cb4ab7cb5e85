// Packed weights: panels of PANEL outputs side by side, input after input, so that lanes are outputs and a panel is
// read from its start to its end. Of 16 and 8 bits some inputs of an output lie side by side, then the next output's.

enum { PANEL = LINEAR_VECTORS * W };

XATTN_INLINE int64_t panelsOf(const Linear *p) {
  return ceilDivide(p->outputs, PANEL) * (p->gated ? 2 : 1);
}

// Of the two halves of a gated layer, hidden panels are the even ones and the gates' the odd ones.
XATTN_INLINE int64_t firstOutput(const Linear *p, int64_t panel) {
  return (p->gated ? panel / 2 : panel) * PANEL;
}

// Callers' memory is aligned to 16 bytes at best; a vector across two cache lines costs as much as two vectors.
enum { ALIGNMENT = 64 };

XATTN_INLINE void *aligned(const void *memory) {
  return (void *)(((uintptr_t)memory + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
}

// Inputs of an output that lie side by side where weights are floats.
template <class T> constexpr int together() {
  return sizeof(T) == sizeof(float) ? 1 : 2;
}

template <class T> XATTN_INLINE const T *packedAs(const Linear *p) {
  return (const T *)aligned(p->weights);
}

XATTN_INLINE size_t storedSize(Stored type) {
  return type == XATTN_STORED_FLOAT32 ? 4 : type == XATTN_STORED_BFLOAT16 ? 2 : 1;
}

XATTN_INLINE int64_t togetherOf(Stored type) {
  return type == XATTN_STORED_FLOAT32 ? 1 : type == XATTN_STORED_BFLOAT16 || !hasQuads() ? 2 : 4;
}

// With zeros behind the last.
XATTN_INLINE int64_t packedInputs(const Linear *p) {
  const int64_t together = togetherOf(p->type);
  return ceilDivide(p->inputs, together) * together;
}

size_t packedBytes(const Linear *p) {
  return (size_t)(panelsOf(p) * PANEL * packedInputs(p)) * storedSize(p->type) + ALIGNMENT;
}

// Lanes behind the last output are 0, and inputs behind the last.
template <class T> XATTN_NOINLINE void packPanels(const Linear *p, const T *rows, T *to) {
  const int64_t inputs = packedInputs(p), together = togetherOf(p->type);
  for (int64_t panel = 0; panel < panelsOf(p); panel++, to += inputs * PANEL) {
    const int64_t first = firstOutput(p, panel), half = p->gated && panel % 2 == 1 ? p->outputs : 0;
    for (int j = 0; j < PANEL; j++) {
      const T *row = rows + (half + first + j) * p->inputs;
      const bool isOutput = first + j < p->outputs;
      for (int64_t k = 0; k < inputs; k++) {
        const bool isThere = isOutput && k < p->inputs;
        to[(k / together * PANEL + j) * together + k % together] = isThere ? row[k] : (T)0;
      }
    }
  }
}

XATTN_INLINE void packBytes(const Linear *p, const int8_t *rows, int8_t *to) {
  packPanels(p, rows, to);
  const int64_t bytes = hasQuads() ? panelsOf(p) * PANEL * packedInputs(p) : 0;
  for (int64_t i = 0; i < bytes; i++) to[i] ^= (int8_t)Quads::FLIP;
}

void packLinear(const Linear *p, const void *rows, void *packed) {
  void *to = aligned(packed);
  if (p->type == XATTN_STORED_FLOAT32)
    packPanels(p, (const float *)rows, (float *)to);
  else if (p->type == XATTN_STORED_BFLOAT16)
    packPanels(p, (const uint16_t *)rows, (uint16_t *)to);
  else
    packBytes(p, (const int8_t *)rows, (int8_t *)to);
}
