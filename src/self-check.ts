// A backend's quick self-check, in a process of its own, so that `xattn doctor` outlives a crash: with XATTN_BACKEND set,
// exits with 0 where the answers are right, else prints one line and exits with 1.
//
// The answers are known without attention: key j of n scores ln(j), so it weighs j / (1 + .. + n), and of values j the
// weighted mean is (1^2 + .. + n^2) / (1 + .. + n) = (2n + 1) / 3, with lse = ln(n (n + 1) / 2).
import { type AttentionResult, attention, attentionSync } from "./attention.js";
import type { AttentionOptions } from "./options.js";

interface Sizes {
  heads: number;
  tq: number;
  tk: number;
  d: number;
}

/** With `causal`, query i sees i + 1 keys. */
const CALLS: { sizes: Sizes; options: AttentionOptions; seen: (query: number) => number }[] = [
  { sizes: { heads: 4, tq: 200, tk: 200, d: 32 }, options: { causal: "top-left" }, seen: (query) => query + 1 },
  { sizes: { heads: 2, tq: 1, tk: 4099, d: 17 }, options: {}, seen: () => 4099 },
];

/** Head h and column c add a constant to the values, and so to the output. */
const added = (h: number, c: number) => 10 * h + c;

function tensor(
  heads: number,
  rows: number,
  columns: number,
  entry: (h: number, row: number, column: number) => number,
) {
  const data = Float32Array.from({ length: heads * rows * columns }, (_, at) => {
    const row = Math.floor(at / columns);
    return entry(Math.floor(row / rows), row % rows, at % columns);
  });
  return { data, dims: [heads, rows, columns] };
}

/** The first wrong entry, in words; undefined where all are right. */
function firstWrong(
  { output, lse }: AttentionResult<Float32Array, true>,
  { heads, tq, d }: Sizes,
  seen: (query: number) => number,
): string | undefined {
  for (let h = 0; h < heads; h++) {
    for (let i = 0; i < tq; i++) {
      const n = seen(i);
      const sum = Math.log((n * (n + 1)) / 2);
      const tolerance = 1e-6 * (20 + sum); // what the library promises, on values of about 1
      const gotSum = lse.data[h * tq + i];
      if (!(Math.abs(gotSum - sum) <= tolerance)) return `lse of head ${h}, query ${i}: expected ${sum}, got ${gotSum}`;
      for (let c = 0; c < d; c++) {
        const mean = (2 * n + 1) / 3 + added(h, c);
        const got = output.data[(h * tq + i) * d + c];
        if (!(Math.abs(got - mean) <= tolerance * (n + added(h, c))))
          return `output of head ${h}, query ${i}, column ${c}: expected ${mean}, got ${got}`;
      }
    }
  }
  return undefined;
}

async function selfCheck(): Promise<string | undefined> {
  for (const { sizes, options, seen } of CALLS) {
    const { heads, tq, tk, d } = sizes;
    const query = tensor(heads, tq, d, () => 1);
    const key = tensor(heads, tk, d, (_, j) => Math.log(j + 1) / d);
    const value = tensor(heads, tk, d, (h, j, c) => j + 1 + added(h, c));
    const all = { ...options, scale: 1, lse: true } as const;
    const forms = {
      attentionSync: () => attentionSync(query, key, value, all),
      attention: () => attention(query, key, value, all),
    };
    for (const [name, attend] of Object.entries(forms)) {
      const wrong = firstWrong(await attend(), sizes, seen);
      if (wrong !== undefined) return `${name} with tq = ${tq}, tk = ${tk}, d = ${d}: ${wrong}`;
    }
  }
  return undefined;
}

const wrong = selfCheck().catch((error: Error) => error.message);
void wrong.then((failure) => {
  if (failure === undefined) return;
  console.log(failure);
  process.exitCode = 1;
});
