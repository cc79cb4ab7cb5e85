// A fuzzer of the facade: whatever a caller passes, there is a result of the right form or an error, and the next call is
// right. XATTN_FUZZ_SECONDS runs it for so long, from another seed each time.
import fc from "fast-check";
import { expect, test } from "vitest";
import { attention, attentionSync, explain } from "../src/index.js";
import { expectSameBits } from "./compare.js";
import { filled } from "./filled.js";
import { ATTACKS, Hostile, rightCall, type Target } from "./hostile.js";
import { Random } from "./random.js";
import { product } from "./tensors.js";

const SECONDS = Number(process.env.XATTN_FUZZ_SECONDS ?? 0);
const LIMITS = SECONDS > 0 ? { interruptAfterTimeLimit: SECONDS * 1000, numRuns: 1e9 } : { seed: 1, numRuns: 1000 };

type Form = (...call: never[]) => unknown;

/** What the call gives, or the error that it ends with. */
async function outcomeOf(form: Form, { query, key, value, options }: Target) {
  try {
    return { result: await (form as (...call: unknown[]) => unknown)(query, key, value, options) };
  } catch (error) {
    return { error };
  }
}

function expectGoodError(error: unknown, attacks: string[]): void {
  // What the attacker throws passes through, and so does the reason of a signal.
  if (error instanceof Hostile || attacks.includes("a signal of its own")) return;
  expect([TypeError, RangeError], `${(error as Error)?.stack} after ${attacks}`).toContain(error?.constructor);
}

function expectGoodForm(result: unknown): void {
  const { output, lse, weights } = result as Record<string, { data: Float32Array; dims: number[] } | undefined>;
  for (const part of [output, lse, weights]) {
    if (part !== undefined) expect(part.data.length).toBe(product(part.dims));
  }
}

const thing = fc.anything({
  withBigInt: true,
  withDate: true,
  withMap: true,
  withNullPrototype: true,
  withSparseArray: true,
  withTypedArray: true,
});
const attacks = fc.array(fc.tuple(fc.constantFrom(...Object.keys(ATTACKS)), thing), { minLength: 1, maxLength: 4 });
const forms = fc.constantFrom<Form>(attention, attentionSync, explain);

const good = [filled([2, 30, 16]), filled([2, 50, 16], 2), filled([2, 50, 16], 3)] as const;

test(
  "whatever is passed, there is a result or an error, and the next call is right",
  async () => {
    const expected = attentionSync(...good).output;
    const property = fc.asyncProperty(fc.integer(), attacks, forms, async (seed, list, form) => {
      const random = new Random(seed);
      const target = rightCall(random);
      for (const [name, thing] of list) {
        try {
          ATTACKS[name](target, random, thing);
        } catch {} // an attack on what an earlier one has made unusable
      }
      const outcome = await outcomeOf(form, target);
      if (outcome.error !== undefined)
        expectGoodError(
          outcome.error,
          list.map(([name]) => name),
        );
      else if (outcome.result !== undefined) expectGoodForm(outcome.result);
      expectSameBits(attentionSync(...good).output, expected);
    });
    await fc.assert(property, LIMITS);
  },
  60_000 + SECONDS * 1000,
);
