// What begins with tokens: their embeddings, and rotary positions.

void embedding(const Embedding *p, int64_t from, int64_t to) {
  const vec scale = broadcast(p->scale);
  for (int64_t row = from; row < to; row++) {
    const int64_t entry = p->ids[row] * p->stride;
    float *y = p->y + row * p->width;
    overVectors(p->width, [&](int64_t i, int n) XATTN_LAMBDA_INLINE {
      storeAs(XATTN_FLOAT32, y, i, mul(loadAs(p->type, p->table, entry + i, n), scale), n);
    });
  }
}

void rotary(const Rotary *p, int64_t from, int64_t to) {
  const int64_t half = p->dims / 2, second = p->interleaved ? 1 : half, step = p->interleaved ? 2 : 1;
  for (int64_t head = from * p->heads; head < to * p->heads; head++) {
    const float *x = p->x + head * p->size, *cosines = p->table + p->positions[head / p->heads] * p->dims;
    float *y = p->y + head * p->size;
    for (int64_t i = 0; i < half; i++) {
      const float a = x[i * step], b = x[i * step + second], cosine = cosines[i], sine = cosines[half + i];
      y[i * step] = a * cosine - b * sine;
      y[i * step + second] = b * cosine + a * sine;
    }
    for (int64_t i = p->dims; i < p->size; i++) y[i] = x[i];
  }
}
