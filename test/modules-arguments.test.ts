import { describe, expect, test } from "vitest";
import {
  LayerNorm,
  Linear,
  MultiheadAttention,
  Transformer,
  TransformerDecoderLayer,
  TransformerEncoderLayer,
} from "../src/nn/index.js";
import { expectClose } from "./modules-expect.js";
import { below, encoderLayer } from "./modules-oracle.js";
import { encoderLayerDims, matrix, parametersOf, prefixed, randomState } from "./modules-state.js";
import { Random } from "./random.js";
import { normal, numbersOf, tensor } from "./tensors.js";

const random = new Random(1);

describe("loading", () => {
  const options = { dModel: 4, nhead: 2, dimFeedforward: 6 };
  const dims = prefixed(encoderLayerDims({ ...options, bias: true }), "a.");
  const layer = new TransformerEncoderLayer(options);

  test("leaves what has another prefix alone", () => {
    layer.loadStateDict(new Map([...randomState(dims), ["b.norm1.weight", normal(random, [3])]]), "a.");
  });

  test("takes 16-bit weights", async () => {
    const state = new Map(Object.entries(dims).map(([name, each]) => [name, normal(random, each, "float16")]));
    layer.loadStateDict(state, "a.");
    const x = normal(random, [3, 4]);
    const exact = new Map([...state].map(([name, each]) => [name, tensor(numbersOf(each), each.dims)]));
    const wanted = encoderLayer(below(parametersOf(exact), "a."), matrix(x), {
      heads: 2,
      normFirst: false,
      activation: "relu",
      eps: 1e-5,
    });
    expectClose((await layer.forward(x)).output, [wanted]);
  });

  test.each([
    ["a.linear1.weight", undefined, '"a.linear1.weight" expected a tensor [6, 4], got undefined'],
    ["a.linear1.weight", normal(random, [4, 6]), '"a.linear1.weight.dims" expected [6, 4], got [4, 6]'],
    ["a.linear1.weight", { data: new Int8Array(24), dims: [6, 4] }, '"a.linear1.weight.data" expected a Float32Array'],
    [
      "a.linear3.weight",
      normal(random, [4]),
      '"a.linear3.weight" expected a known name (did you mean "a.linear1.weight"?)',
    ],
  ])("with a wrong %s is an error, and changes nothing", async (name, given, message) => {
    const x = normal(random, [3, 4]);
    const before = await layer.forward(x);
    const state: Map<string, unknown> = randomState(dims, 2);
    if (given === undefined) state.delete(name);
    else state.set(name, given);
    expect(() => layer.loadStateDict(state as never, "a.")).toThrow(message);
    expect(await layer.forward(x)).toEqual(before);
  });

  test("from something else than a Map is an error", () => {
    expect(() => layer.loadStateDict({} as never)).toThrow(
      '"tensors" expected a Map of tensors by name, got an object',
    );
  });
});

describe("wrong arguments are errors that name them:", () => {
  const layer = new TransformerDecoderLayer({ dModel: 4, nhead: 2 });
  const x = normal(random, [2, 3, 4]);
  const wrong: [string, () => unknown, string][] = [
    [
      "no width",
      () => new MultiheadAttention({ numHeads: 1 } as never),
      '"embedDim" expected an integer of at least 1',
    ],
    ["heads", () => new MultiheadAttention({ embedDim: 5, numHeads: 2 }), '"embedDim" expected a multiple of 2'],
    ["an option", () => new TransformerEncoderLayer({ dModel: 4, nhead: 2, d_ff: 3 } as never), '"options.d_ff"'],
    [
      "an activation",
      () => new TransformerEncoderLayer({ dModel: 4, nhead: 2, activation: "elu" as never }),
      '"activation"',
    ],
    ["a flag", () => new Transformer({ normFirst: 1 as never }), '"normFirst" expected a boolean, got 1'],
    ["a count", () => new Transformer({ numEncoderLayers: 0 }), '"numEncoderLayers" expected an integer of at least 1'],
    ["eps", () => new LayerNorm({ normalizedShape: 4, eps: -1 }), '"eps" expected a'],
    [
      "a target that is shared by several memories",
      () => layer.forward(normal(random, [1, 3, 4]), x),
      '"memory.dims[0]" expected 1 (batch of "tgt"), got 2',
    ],
    ["a batch", () => layer.forward(x, normal(random, [3, 3, 4])), '"memory.dims[0]" expected 1 or 2 (batch of "tgt")'],
    ["a rank", () => layer.forward(x, normal(random, [3, 4])), '"memory.dims" expected 3 dimensions (rank of "tgt")'],
    ["columns", () => layer.forward(normal(random, [2, 3, 5]), x), '"tgt.dims" expected [batch, t, 4] or [t, 4], got'],
    ["a call's option", () => layer.forward(x, x, { isCausal: true } as never), 'did you mean "causal"?'],
    [
      "a linear's input",
      () => new Linear({ inFeatures: 3, outFeatures: 2 }).forward(x),
      '"x.dims" expected [batch, t, 3]',
    ],
  ];
  test.each(wrong)("%s", async (_, call, message) => {
    await expect(Promise.resolve().then(call)).rejects.toThrow(message);
  });
});
