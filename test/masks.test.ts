// What masks, lengths, causal and window take away, and what a float mask adds.
import { describe, expect, test } from "vitest";
import { type Case, makeCase } from "./cases.js";
import { expectAgreement, expectSameBits } from "./compare.js";
import { bias, fillRow, mask, run, SMALL, sizesOf } from "./small.js";

describe("a float mask", () => {
  test("takes keys away by -Infinity as a boolean one does by 0", () => {
    for (const sizes of SMALL) {
      const call = makeCase(sizes);
      const { tq, tk } = sizesOf(call);
      const sees = (i: number, j: number) => (i + j) % 4 !== 0 && j !== 2;
      fillRow(call.key, 2, NaN);
      fillRow(call.value, 2, NaN);
      call.options.mask = bias(tq, tk, (i, j) => (sees(i, j) ? 0 : -Infinity));
      const added = run(call);
      expectAgreement(added, call);
      call.options.mask = mask(tq, tk, sees);
      expectAgreement(added, call);
      expectAgreement(run(call), call);
    }
  });

  test("of nothing but -3.4e38 in a row attends uniformly", () => {
    for (const sizes of SMALL) {
      const call = makeCase(sizes);
      const { tq, tk } = sizesOf(call);
      call.options.mask = bias(tq, tk, (i) => (i % 2 === 0 ? -3.4e38 : 0));
      expectAgreement(run(call), call);
      const { weights } = run(call);
      expect(weights.data.subarray(0, tk).every((w) => Math.abs(w * tk - 1) < 1e-5)).toBe(true);
    }
  });

  test("is only a bias, at the ends of float32 too", () => {
    const rows: ((j: number) => number)[] = [
      (j) => (j === 3 ? -1e38 : -3.4e38),
      (j) => (j === 5 ? 3.4e38 : 0),
      (j) => (j % 2 === 0 ? -3.4e38 : 0),
      (j) => (j === 7 ? -3.4e38 : -Infinity),
      () => 3.4e38,
      (j) => (j < 4 ? -2e38 : -3e38),
    ];
    for (const sizes of SMALL) {
      const call = makeCase(sizes);
      const { tq, tk } = sizesOf(call);
      call.options.mask = bias(tq, tk, (i, j) => rows[i % rows.length](j));
      expectAgreement(run(call), call);
      call.options.causal = { offset: 8 };
      expectAgreement(run(call), call);
    }
  });

  test.each([0, 1, -1])("gives NaN in the row that has a NaN, and in no other (row %i from the middle)", (from) => {
    for (const sizes of SMALL) {
      const call = makeCase(sizes);
      const { tq, tk } = sizesOf(call);
      const row = Math.min(Math.max((tq >> 1) + from, 0), tq - 1);
      call.options.mask = bias(tq, tk, (i, j) => (i === row && j === tk >> 1 ? NaN : 0.5));
      expectAgreement(run(call), call);
      expect(run(call).lse.data[row]).toBeNaN();
    }
  });
});

describe("keys and values that are taken away", () => {
  // How the last two keys go.
  const forAll: Record<string, (tq: number, tk: number, batch: number) => Case["options"]> = {
    "key lengths": (_, tk, batch) => ({ keyLengths: Array(batch).fill(tk - 2) }),
    "a boolean mask of padding": (_, tk) => ({ mask: mask(1, tk, (_, j) => j < tk - 2) }),
    "a float mask of padding": (_, tk) => ({ mask: bias(1, tk, (_, j) => (j < tk - 2 ? 0 : -Infinity)) }),
    "a causal limit": (tq, tk) => ({ causal: { offset: tk - 2 - tq } }),
    "a window": (tq, tk) => ({ causal: { offset: tk - 5 - tq }, window: [-1, 2] }),
  };
  const forSome: typeof forAll = {
    "a boolean mask for other queries": (tq, tk) => ({ mask: mask(tq, tk, (i, j) => j < tk - 2 || i % 3 === 2) }),
    "a float mask for other queries": (tq, tk) => ({
      mask: bias(tq, tk, (i, j) => (j < tk - 2 || i % 3 === 2 ? 0.3 : -Infinity)),
    }),
    "a causal limit that ends among the queries": (tq, tk) => ({ causal: { offset: tk - 2 - (tq >> 1) } }),
    "a window that begins among the queries": (tq, tk) => ({ causal: { offset: tk - (tq >> 1) }, window: [3, -1] }),
    "a causal limit beside a soft cap and a mask": (tq, tk) => ({
      softcap: 5,
      causal: { offset: tk - 2 - (tq >> 1) },
      mask: mask(tq, tk, (i, j) => (i + j) % 5 !== 0),
    }),
  };
  const ways = { ...forAll, ...forSome };

  test.each(Object.keys(ways))("are never read into the result, by %s", (way) => {
    // An infinite score that is seen has no meaning, so only what nobody sees is made infinite.
    for (const bad of way in forAll ? [NaN, Infinity, -Infinity] : [NaN]) {
      for (const sizes of SMALL) {
        for (const spoilt of [["key"], ["value"], ["key", "value"]] as const) {
          const call = makeCase(sizes);
          const { tq, tk, batch } = sizesOf(call);
          call.options = ways[way](tq, tk, batch);
          for (const name of spoilt) {
            fillRow(call[name], tk - 1, bad);
            fillRow(call[name], tk - 2, bad);
          }
          expectAgreement(run(call), call); // NaN in those that see it
        }
      }
    }
  });

  test("change no bit of the result, whatever they hold", () => {
    for (const tq of [1, 2, 40]) {
      const call = makeCase({ heads: 2, tq, tk: 70, d: 64, dv: 100 });
      call.options = { mask: mask(tq, 70, (_, j) => j !== 5) };
      const expected = run(call);
      fillRow(call.value, 5, NaN);
      expectSameBits(run(call).output, expected.output);
    }
  });

  test("show where they are attended after all", () => {
    for (const sizes of SMALL) {
      const call = makeCase(sizes);
      const { tk, dv } = sizesOf(call);
      fillRow(call.key, tk - 1, NaN);
      expect(run(call).output.data.every(Number.isNaN)).toBe(true);
      const other = makeCase(sizes);
      other.value.data[(tk - 1) * dv] = NaN;
      expectAgreement(run(other), other);
      expect(run(other).output.data[0]).toBeNaN();
    }
  });
});
