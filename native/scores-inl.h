// What masks, key ranges, softcap and ALiBi do to a block of raw scores, and how they become probabilities. Scores lie
// transposed: row j of s holds key j, lanes are query rows.

const float HEADROOM = 12.0f; // log2 of how far a score may exceed its reference: sums stay far from overflow

XATTN_INLINE float first(vec a) {
  float x[W];
  store(x, a);
  return x[0];
}

// n floats in whole vectors. x - x is 0 but for NaN and infinities.
XATTN_NOINLINE bool areFinite(const float *x, int64_t n) {
  vec bad = broadcast(0.0f);
  for (int64_t i = 0; i < n; i += W) bad = add(bad, sub(load(x + i), load(x + i)));
  return all(equal(bad, broadcast(0.0f)));
}

XATTN_INLINE vec softCap(vec x, float cap) {
  const float inverse = 1 / cap; // of a subnormal one infinity, and 0 times that is NaN
  return mul(broadcast(cap), tanh(mul(x, broadcast(inverse < LARGEST ? inverse : LARGEST))));
}

// Sums with a finite bias stay finite. A bias of -infinity hides the key whatever its score is, NaN included.
XATTN_INLINE vec addBias(vec x, vec b) {
  const vec sum = add(x, b), finite = max(broadcast(-LARGEST), min(broadcast(LARGEST), sum));
  const vec hidden = select(equal(b, broadcast(-INFINITE)), b, sum);
  return select(less(absolute(b), broadcast(INFINITE)), finite, hidden);
}

// A raw score with softcap, ALiBi and mask. `position` is that of the query and `index` that of the key, counted from
// the same key.
XATTN_INLINE vec biased(const Problem *p, vec x, vec slope, vec position, vec index, vec bias) {
  if (p->softcap > 0) x = softCap(x, p->softcap);
  if (p->alibi) x = sub(x, mul(slope, absolute(sub(position, index))));
  x = max(broadcast(-LARGEST), x); // a score of -infinity is still a key that is seen
  return p->mask.data ? addBias(x, bias) : x;
}

// -infinity for keys outside lo <= index < hi.
XATTN_INLINE vec within(vec x, vec index, vec lo, vec hi) {
  return select(both(less(index, hi), less(lo, add(index, broadcast(1.0f)))), x, broadcast(-INFINITE));
}

// 2^(x - reference), 0 for a key that is not seen.
XATTN_INLINE vec probability(vec x, vec reference, Units units) {
  const vec e = exp2(mul(sub(x, reference), broadcast(units.log2)));
  return select(equal(x, broadcast(-INFINITE)), broadcast(0.0f), e);
}

// A probability times a row's factor; 0 stays 0 where the factor is NaN.
XATTN_INLINE vec weightOf(vec e, vec factor) {
  return select(equal(e, broadcast(0.0f)), e, mul(e, factor));
}

struct Scores {
  const Problem *p;
  Units units;
  int width; // lanes: query rows of a tile, a multiple of W
  Rows rows;
  Row row[4 * W];
  float *s;                                          // [keys][width]: scores, then probabilities
  float *bias;                                       // [keys][width], or [keys] where all rows read the same mask row
  alignas(64) float m[4 * W], l[4 * W], peak[4 * W]; // reference, sum of probabilities, maximum of the latest scores

  // Transposes the mask of a block into bias. False: no row sees any of these keys.
  XATTN_NOINLINE bool readMask(int64_t key, int n) {
    const vec none = broadcast(-INFINITE);
    lanes hidden = equal(none, none);
    fetchMask(key + n, n);
    for (int g = 0; g < (rows.sameMask ? 1 : width); g += W) {
      for (int j = 0; j < n; j += W) {
        const int some = (int)smaller(W, n - j);
        vec b[W];
        readBiases(b, g, key + j, some);
        if (rows.sameMask) {
          store(bias + j, b[0]);
          for (int i = some; i < W; i++) bias[j + i] = -INFINITE;
          hidden = both(hidden, equal(load(bias + j), none));
          continue;
        }
        transpose(b);
        for (int i = 0; i < some; i++) {
          store(bias + (j + i) * width + g, b[i]);
          hidden = both(hidden, equal(b[i], none));
        }
      }
    }
    return !all(hidden);
  }

  // The mask of W rows from g on, or of the one that stands for all, and of n <= W keys; none where there is no row.
  XATTN_INLINE void readBiases(vec (&b)[W], int g, int64_t key, int n) {
    const int count = rows.sameMask ? 1 : rows.count - g;
    if (p->mask.type == XATTN_BOOL && p->mask.key == 1 && n == W && count >= W) {
      const uint8_t *bytes = (const uint8_t *)p->mask.data + key;
      for (int i = 0; i < W; i++) b[i] = hideZeros(bytes + row[g + i].mask);
      return;
    }
    for (int i = 0; i < W; i++) {
      b[i] = i < count ? biasOf(&p->mask, row[g + i].mask + key * p->mask.key, n) : broadcast(-INFINITE);
    }
  }

  // The lines that have the mask of n keys, where those follow each other; perhaps one more.
  XATTN_INLINE void fetchMask(int64_t key, int n) {
    const int64_t bytes = n * sizeOf(p->mask.type) + 63;
    for (int r = 0; r < (rows.sameMask ? 1 : rows.count); r++) {
      fetchLines<XATTN_FIRST_LEVEL>(at(p->mask.data, p->mask.type, row[r].mask + key * p->mask.key), bytes);
    }
  }

  // Turns raw scores into final ones, -infinity where a row does not see the key, and leaves their maxima in peak.
  XATTN_NOINLINE void adjust(int64_t key, int n) {
    const bool ranges = key < rows.allLo || key + n > rows.allHi;
    for (int v = 0; v < width; v += W) {
      float lo[W], hi[W], position[W], slope[W];
      for (int i = 0; i < W; i++) {
        const Row *r = row + (v + i < rows.count ? v + i : 0);
        lo[i] = (float)bigger(0, smaller(n, r->lo - key));
        hi[i] = v + i < rows.count ? (float)bigger(0, smaller(n, r->hi - key)) : 0.0f;
        position[i] = (float)(r->position - key);
        slope[i] = r->slope;
      }
      vec top = broadcast(-INFINITE);
      for (int j = 0; j < n; j++) {
        float *at = s + j * width + v;
        const vec index = broadcast((float)j), none = broadcast(0.0f);
        const vec b = !p->mask.data ? none : rows.sameMask ? broadcast(bias + j) : load(bias + j * width + v);
        vec x = biased(p, load(at), load(slope), load(position), index, b);
        if (ranges) x = within(x, index, load(lo), load(hi));
        store(at, x);
        top = max(x, top);
      }
      store(peak + v, top);
    }
  }

  // The same for scores that are final already.
  XATTN_NOINLINE void findPeaks(int n) {
    for (int v = 0; v < width; v += W) {
      vec top = broadcast(-LARGEST); // all keys are seen
      for (int j = 0; j < n; j++) top = max(load(s + j * width + v), top);
      store(peak + v, top);
    }
  }

  // Whether scores ask for a new reference: one is HEADROOM above it, or a row sees its first keys.
  XATTN_INLINE bool mustMove() {
    lanes move = less(broadcast(0.0f), broadcast(0.0f));
    for (int v = 0; v < width; v += W) {
      const lanes first = both(equal(load(l + v), broadcast(0.0f)), less(broadcast(-INFINITE), load(peak + v)));
      move = either(move, either(first, less(add(load(m + v), broadcast(HEADROOM / units.log2)), load(peak + v))));
    }
    return any(move);
  }

  // Final scores become probabilities, and l their sum.
  XATTN_NOINLINE void exponentiate(int n) {
    for (int v = 0; v < width; v += W) {
      const vec reference = load(m + v);
      vec total = broadcast(0.0f);
      for (int j = 0; j < n; j++) {
        const vec e = probability(load(s + j * width + v), reference, units);
        store(s + j * width + v, e);
        total = add(total, e);
      }
      store(l + v, add(load(l + v), total));
    }
  }
};
