import { describe, expect, test } from "vitest";
import { TransformerDecoder } from "../src/nn/index.js";
import { decoderLayerDims, randomState, rowsOf, stackDims } from "./modules-state.js";
import { Random } from "./random.js";
import { normal, type Tensor, tensor } from "./tensors.js";

const CLOSE = 1e-5;
const sizes = { dModel: 12, dimFeedforward: 20, bias: true };
const random = new Random(3);
const encoded = normal(random, [1, 7, 12]);
const targets = Array.from({ length: 3 }, () => normal(random, [1, 9, 12]));

function makeDecoder(options: object = {}): TransformerDecoder {
  const decoder = new TransformerDecoder({ ...sizes, nhead: 3, numLayers: 2, norm: true, ...options });
  decoder.loadStateDict(randomState(stackDims(decoderLayerDims(sizes), 2, 12)));
  return decoder;
}

const decoders = {
  post: makeDecoder(),
  pre: makeDecoder({ normFirst: true }),
  rotary: makeDecoder({ rotary: { dims: 4, pairs: "interleaved" } }),
};

function expectClose(got: ArrayLike<number>, wanted: ArrayLike<number>): void {
  expect(got.length).toBe(wanted.length);
  for (let i = 0; i < wanted.length; i++) expect(Math.abs(got[i] - wanted[i])).toBeLessThanOrEqual(CLOSE);
}

/** Rows of several tensors [1, t, d] side by side: the tokens of beams. */
function stacked(rows: Tensor[]): Tensor {
  return tensor(
    rows.flatMap(({ data }) => [...data]),
    [1, rows.length, 12],
  );
}

/** What the whole target gives, row by row. */
async function whole(decoder: TransformerDecoder, target: Tensor, options: object = {}) {
  const { output, weights } = await decoder.forward(target, encoded, { causal: true, weights: true, ...options });
  return { rows: (at: number) => rowsOf(output, at, at + 1).data, weights };
}

describe.each(Object.entries(decoders))("decoding by steps, %s", (_, decoder) => {
  test("gives what the whole target gives at once, in steps of any length", async () => {
    const { rows } = await whole(decoder, targets[0]);
    for (const lengths of [Array(9).fill(1), [4, 1, 1, 3], [9]]) {
      const state = await decoder.start(encoded);
      for (const length of lengths) {
        const at = state.length;
        const { output } = await decoder.step(rowsOf(targets[0], at, at + length), state);
        expect(output.dims).toEqual([1, length, 12]);
        for (let i = 0; i < length; i++) expectClose(rowsOf(output, i, i + 1).data, rows(at + i));
      }
      expect(state.length).toBe(9);
    }
  });

  test("follows beams that split, swap and end, as if each had been decoded alone", async () => {
    // Which target each beam reads from a position on: histories are made of several.
    const plan: { parents: number[]; reads: number[] }[] = [
      { parents: [0, 0, 0], reads: [0, 1, 2] },
      { parents: [2, 0, 0, 1], reads: [1, 1, 2, 0] },
      { parents: [3, 1], reads: [0, 1] },
      { parents: [1], reads: [2] },
      { parents: [0, 0], reads: [0, 1] },
    ];
    const state = await decoder.start(encoded);
    await decoder.step(rowsOf(targets[0], 0, 3), state);
    let histories = [[0, 1, 2].map((at) => rowsOf(targets[0], at, at + 1))];
    for (const { parents, reads } of plan) {
      state.reorder(parents);
      expect(state.beams).toBe(parents.length);
      const at = state.length;
      const tokens = reads.map((n) => rowsOf(targets[n], at, at + 1));
      histories = parents.map((parent, beam) => [...histories[parent], tokens[beam]]);
      const { output } = await decoder.step(stacked(tokens), state);
      for (const [beam, history] of histories.entries()) {
        const alone = await whole(decoder, stacked(history));
        expectClose(rowsOf(output, beam, beam + 1).data, alone.rows(history.length - 1));
      }
    }
  });

  test("goes on with several tokens after beams have become one", async () => {
    const state = await decoder.start(encoded);
    await decoder.step(rowsOf(targets[0], 0, 2), state);
    state.reorder([0, 0]);
    await decoder.step(stacked([rowsOf(targets[1], 2, 3), rowsOf(targets[0], 2, 3)]), state);
    state.reorder([1]);
    const { output } = await decoder.step(rowsOf(targets[0], 3, 6), state);
    const { rows } = await whole(decoder, targets[0]);
    for (const i of [0, 1, 2]) expectClose(rowsOf(output, i, i + 1).data, rows(3 + i));
  });
});

const decoder = decoders.post;

test("steps say where every layer looked", async () => {
  const { weights: wanted } = await whole(decoder, targets[0]);
  const state = await decoder.start(encoded);
  await decoder.step(rowsOf(targets[0], 0, 8), state);
  const { weights } = await decoder.step(rowsOf(targets[0], 8, 9), state, { weights: true });
  expect(weights).toHaveLength(2);
  for (const [layer, map] of (weights ?? []).entries()) {
    expect(map.dims).toEqual([1, 3, 1, 7]);
    for (let h = 0; h < 3; h++) {
      const last = wanted?.[layer].data.subarray((h * 9 + 8) * 7, (h * 9 + 9) * 7) as Float32Array;
      expectClose(map.data.subarray(h * 7, (h + 1) * 7), last);
    }
  }
});

test("what hides parts of the memory is told at the start", async () => {
  const state = await decoder.start(encoded, { memoryKeyLengths: [4] });
  const { output } = await decoder.step(rowsOf(targets[0], 0, 1), state);
  expectClose(output.data, (await whole(decoder, targets[0], { memoryKeyLengths: [4] })).rows(0));
});

test("a batch is decoded side by side, and a target without a batch, too", async () => {
  const batch = normal(random, [2, 7, 12]);
  const target = normal(random, [2, 3, 12]);
  const { output: wanted } = await decoder.forward(target, batch, { causal: true });
  const state = await decoder.start(batch);
  for (const at of [0, 1, 2]) {
    const { output } = await decoder.step(rowsOf(target, at, at + 1), state);
    expectClose(output.data, rowsOf(wanted, at, at + 1).data);
  }
  const flat = await decoder.start({ data: encoded.data, dims: [7, 12] });
  const { output } = await decoder.step({ data: rowsOf(targets[0], 0, 1).data, dims: [1, 12] }, flat);
  expect(output.dims).toEqual([1, 12]);
  expectClose(output.data, (await whole(decoder, targets[0])).rows(0));
});

test("a step that is aborted leaves the state as it was", async () => {
  const { rows } = await whole(decoder, targets[0]);
  const state = await decoder.start(encoded);
  await decoder.step(rowsOf(targets[0], 0, 4), state);
  const reason = new Error("enough");
  const controller = new AbortController();
  const aborted = decoder.step(rowsOf(targets[1], 4, 5), state, { signal: controller.signal });
  controller.abort(reason);
  await expect(aborted).rejects.toBe(reason);
  const { output } = await decoder.step(rowsOf(targets[0], 4, 5), state);
  expectClose(output.data, rows(4));
});

test("a state that is disposed of during a step that is aborted rejects with the signal's reason", async () => {
  const state = await decoder.start(encoded);
  const reason = new Error("enough");
  const controller = new AbortController();
  const aborted = decoder.step(rowsOf(targets[0], 0, 4), state, { signal: controller.signal });
  controller.abort(reason);
  state[Symbol.dispose]();
  await expect(aborted).rejects.toBe(reason);
  const late = decoder.step(rowsOf(targets[0], 0, 1), state);
  await expect(late).rejects.toThrow('"state" expected a state that has not been disposed');
});

test("beams are not reordered under a step", async () => {
  const state = await decoder.start(encoded);
  const first = decoder.step(rowsOf(targets[0], 0, 1), state);
  expect(() => state.reorder([0, 0])).toThrow("the state is in use by another step");
  await first;
  state.reorder(Int32Array.of(0, 0));
  const { output } = await decoder.step(stacked([0, 1].map((i) => rowsOf(targets[i], 1, 2))), state);
  expectClose(rowsOf(output, 0, 1).data, (await whole(decoder, targets[0])).rows(1));
});

test("wrong steps are errors that say why", async () => {
  const token = rowsOf(targets[0], 0, 1);
  const state = await decoder.start(encoded);
  const first = decoder.step(token, state);
  await expect(decoder.step(token, state)).rejects.toThrow("the state is in use by another step");
  await first;
  await expect(decoder.step(token, {} as never)).rejects.toThrow('"state" expected a DecoderState, from start()');
  await expect(decoder.step({ data: token.data, dims: [1, 12] }, state)).rejects.toThrow(
    '"token.dims" expected [1, t, 12] (as "memory"), got [1, 12]',
  );
  expect(() => state.reorder(undefined as never)).toThrow('"parents" expected an array (integers), got undefined');
  expect(() => state.reorder([])).toThrow('"parents.length" expected at least 1');
  expect(() => state.reorder([1])).toThrow('"parents[0]" expected an integer from 0 to 0, got 1');
  state.reorder([0, 0]);
  await expect(decoder.step(token, state)).rejects.toThrow('"token.dims" expected 2 rows (one for each beam), got 1');
  const batch = await decoder.start(normal(random, [2, 7, 12]));
  expect(() => batch.reorder([0])).toThrow('"state.batch" expected 1 for beams, got 2');
});
