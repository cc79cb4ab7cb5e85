// What one core can do with one instruction set. Included inside a target region and a namespace that has a Vec.

// Independent chains of FMA, enough to cover a latency of 5 cycles at 2 a cycle; they stay in registers.
XATTN_NOINLINE double fmaSeconds(int rounds) {
  Vec::T chains[Vec::CHAINS];
  const Vec::T factor = Vec::set1(0.999f), term = Vec::set1(1e-3f);
  XATTN_UNROLL for (int c = 0; c < Vec::CHAINS; ++c) chains[c] = Vec::set1(float(c));
  const double start = seconds();
  for (int i = 0; i < rounds; ++i) {
    XATTN_UNROLL for (int c = 0; c < Vec::CHAINS; ++c) chains[c] = Vec::fma(chains[c], factor, term);
  }
  const double spent = seconds() - start;
  XATTN_UNROLL for (int c = 1; c < Vec::CHAINS; ++c) chains[0] = Vec::add(chains[0], chains[c]);
  keep(Vec::first(chains[0]));
  return spent;
}

// GFLOP/s. The best of a few bursts of some 5 us: an interrupt in one of them does no harm.
double peak() {
  constexpr int ROUNDS = 2000, BURSTS = 8;
  double best = fmaSeconds(ROUNDS);
  for (int i = 1; i < BURSTS; ++i) best = smaller(best, fmaSeconds(ROUNDS));
  return 2e-9 * Vec::WIDTH * Vec::CHAINS * ROUNDS / best;
}

// One pass over `length` floats in order. The last few that fill no block are left out.
XATTN_NOINLINE void readAll(const float *data, size_t length) {
  constexpr int BLOCK = 8;
  Vec::T sums[BLOCK];
  XATTN_UNROLL for (int c = 0; c < BLOCK; ++c) sums[c] = Vec::set1(0);
  for (size_t at = 0; at + BLOCK * Vec::WIDTH <= length; at += BLOCK * Vec::WIDTH) {
    XATTN_UNROLL for (int c = 0; c < BLOCK; ++c) sums[c] = Vec::add(sums[c], Vec::load(data + at + c * Vec::WIDTH));
  }
  XATTN_UNROLL for (int c = 1; c < BLOCK; ++c) sums[0] = Vec::add(sums[0], sums[c]);
  keep(Vec::first(sums[0]));
}
