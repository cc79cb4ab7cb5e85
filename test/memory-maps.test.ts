import { describe, test } from "vitest";
import { MEMORY_TYPES, makeCase, OPTION_SIZES, OPTIONS } from "./cases.js";
import { checkMemoryMaps } from "./map-checks.js";
import { randomMix } from "./mixes.js";

describe.each(MEMORY_TYPES)("Every map over a %s memory agrees with the oracle on what it keeps", (type) => {
  test.each(["no options", "a window", "a full boolean mask", "all options"])("with %s", (name) => {
    for (const [n, sizes] of OPTION_SIZES.entries()) checkMemoryMaps(makeCase(sizes, OPTIONS[name]), n, type);
  });

  test("with heads that share key heads, and more keys than an item or a block has", () => {
    const calls = [
      { heads: 6, kvHeads: 2, tq: 70, tk: 130, d: 40, dv: 33 },
      { heads: 4, kvHeads: 1, tq: 1, tk: 300, d: 64 },
      { heads: 2, tq: 65, tk: 2100, d: 16 },
      { heads: 2, tq: 2, tk: 5000, d: 16 },
    ];
    for (const [n, sizes] of calls.entries()) checkMemoryMaps(makeCase(sizes), n, type);
  });

  test("in random mixes, where masked keys hold NaN and infinities", () => {
    for (let seed = 2000, count = 0; count < 40; seed++) {
      const call = randomMix(seed);
      const { layout, heads } = call.options;
      const isPlain = layout !== "bthd" && heads === undefined && !call.key.strides && !call.value.strides;
      if (!isPlain || [call.query, call.key].some(({ dims }) => dims.includes(0))) continue;
      count++;
      checkMemoryMaps(call, seed, type);
    }
  });
});
