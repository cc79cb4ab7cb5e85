import { describe, expect, test } from "vitest";
import type { MapOptions, Tensor, TopK } from "../src/index.js";
import {
  LayerNorm,
  Linear,
  MultiheadAttention,
  Transformer,
  TransformerDecoder,
  TransformerDecoderLayer,
  TransformerEncoder,
  TransformerEncoderLayer,
} from "../src/nn/index.js";
import { type Bias, below, decoderLayer, encoderLayer, layerNorm, type Matrix, multihead } from "./modules-oracle.js";
import {
  attentionDims,
  type Dims,
  decoderLayerDims,
  encoderLayerDims,
  matrix,
  parametersOf,
  prefixed,
  randomState,
  stackDims,
} from "./modules-state.js";
import { reduced } from "./oracle.js";
import { Random } from "./random.js";
import { normal, numbersOf, tensor } from "./tensors.js";

const CLOSE = 1e-5;
const random = new Random(1);

function expectClose(got: { data: ArrayLike<number>; dims: number[] }, wanted: Matrix[]): void {
  const flat = wanted.flat(2);
  expect(got.data.length).toBe(flat.length);
  flat.forEach((x, i) => {
    expect(Math.abs(got.data[i] - x), `[${i}] of ${x}`).toBeLessThanOrEqual(CLOSE * Math.max(1, Math.abs(x)));
  });
}

const MAPS: MapOptions[] = [
  { heads: [2, 0] },
  { reduce: "mean" },
  { keys: [4, 1], heads: [1] },
  { topK: 2 },
  { reduce: "entropy" },
  { reduce: "sum", over: "queries" },
];

/** Against the oracle's reduction of all weights. */
function expectMap(got: object | undefined, whole: Tensor<Float32Array> | undefined, asked: MapOptions): void {
  const wanted = reduced(whole as never, asked as never);
  const { weights, indices } = (asked.topK ? got : { weights: got, indices: undefined }) as TopK;
  expect(weights.dims).toEqual(wanted.weights.dims);
  expectClose(weights, [[Array.from(wanted.weights.data)]]);
  if (asked.topK) expect(Array.from(indices.data)).toEqual(Array.from(wanted.indices?.data ?? []));
}

const hidden = (isHidden: boolean) => (isHidden ? -Infinity : 0);
const upTo =
  (length: number): Bias =>
  (_, _i, j) =>
    hidden(j >= length);
const causal: Bias = (_, i, j) => hidden(j > i);

describe("MultiheadAttention", () => {
  const query = normal(random, [2, 5, 12]);
  const key = normal(random, [2, 7, 10]);
  const value = normal(random, [2, 7, 9]);
  const same = normal(random, [2, 7, 12]);

  const variants: [what: string, options: object, dims: Dims][] = [
    ["one width", {}, attentionDims("x", 12)],
    ["no biases", { bias: false }, attentionDims("x", 12, false)],
    ["heads of their own size", { headDim: 6 }, attentionDims("x", 12, true, 18)],
    [
      "widths of their own",
      { kdim: 10, vdim: 9 },
      {
        "x.q_proj_weight": [12, 12],
        "x.k_proj_weight": [12, 10],
        "x.v_proj_weight": [12, 9],
        "x.in_proj_bias": [36],
        "x.out_proj.weight": [12, 12],
        "x.out_proj.bias": [12],
      },
    ],
    [
      "a learned key",
      { addBiasKv: true },
      { ...attentionDims("x", 12), "x.bias_k": [1, 1, 12], "x.bias_v": [1, 1, 12] },
    ],
    ["a key of zeros", { addZeroAttn: true }, attentionDims("x", 12)],
    [
      "both of them",
      { addBiasKv: true, addZeroAttn: true },
      { ...attentionDims("x", 12), "x.bias_k": [1, 1, 12], "x.bias_v": [1, 1, 12] },
    ],
  ];

  test.each(variants)("with %s is what PyTorch defines, under every mask", async (_, options, dims) => {
    const module = new MultiheadAttention({ embedDim: 12, numHeads: 3, ...options });
    const state = randomState(dims);
    module.loadStateDict(state, "x.");
    const p = parametersOf(state);
    const [k, v] = "kdim" in options ? [key, value] : [same, same];
    const mask = tensor(
      Array.from({ length: 35 }, (_, i) => (i % 3 ? 0.3 * (i % 7) : -Infinity)),
      [5, 7],
    );
    const cases: [object, (batch: number) => Bias][] = [
      [{}, () => () => 0],
      [{ keyLengths: [3, 0] }, (b) => upTo([3, 0][b])],
      [{ causal: true }, () => causal],
      [{ mask }, () => (_, i, j) => mask.data[i * 7 + j]],
    ];
    for (const [given, biasOf] of cases) {
      const { output, weights } = await module.forward(query, k, v, { ...given, weights: true });
      const wanted = [0, 1].map((b) =>
        multihead(below(p, "x."), [matrix(query, b), matrix(k, b), matrix(v, b)], {
          ...options,
          heads: 3,
          bias: biasOf(b),
        }),
      );
      expect(output.dims).toEqual([2, 5, 12]);
      expectClose(
        output,
        wanted.map((each) => each.output),
      );
      expect(weights?.dims).toEqual([2, 3, 5, wanted[0].weights[0][0].length]);
      expectClose(
        weights as never,
        wanted.flatMap((each) => each.weights),
      );
    }
  });

  test.each(variants)("with %s takes one query for every batch entry", async (_, options) => {
    const module = new MultiheadAttention({ embedDim: 12, numHeads: 3, ...options });
    const [k, v] = "kdim" in options ? [key, value] : [same, same];
    const one = { data: query.data.subarray(0, 60), dims: [1, 5, 12] };
    const twice = tensor([...one.data, ...one.data], [2, 5, 12]);
    const wanted = await module.forward(twice, k, v, { weights: true });
    expect(await module.forward(one, k, v, { weights: true })).toEqual(wanted);
  });

  test.each(variants)("with %s gives what a map asks for of its weights", async (_, options, dims) => {
    const module = new MultiheadAttention({ embedDim: 12, numHeads: 3, ...options });
    module.loadStateDict(randomState(dims), "x.");
    const [k, v] = "kdim" in options ? [key, value] : [same, same];
    const { output, weights } = await module.forward(query, k, v, { keyLengths: [6, 3], weights: true });
    for (const asked of MAPS) {
      const mapped = await module.forward(query, k, v, { keyLengths: [6, 3], weights: asked });
      expect(mapped.output).toEqual(output);
      expectMap(mapped.weights, weights, asked);
    }
    await expect(module.forward(query, k, v, { weights: { heads: [3] } })).rejects.toThrow(
      new RangeError('"weights.heads[0]" expected an integer from 0 to 2, got 3'),
    );
  });

  test("takes a sequence without a batch, and 16-bit types", async () => {
    const module = new MultiheadAttention({ embedDim: 12, numHeads: 3 });
    const [q, k] = [normal(random, [5, 12], "bfloat16"), normal(random, [7, 12], "float16")];
    const { output } = await module.forward(q, k, k);
    expect([output.dims, output.type]).toEqual([[5, 12], "float32"]);
  });
});

describe.each([
  [false, "relu", true],
  [true, "gelu", true],
  [false, "gelu", false],
] as const)("with normFirst %s, %s and bias %s", (normFirst, activation, bias) => {
  const sizes = { dModel: 12, dimFeedforward: 20, bias };
  const options = { ...sizes, nhead: 3, normFirst, activation, layerNormEps: 1e-3 };
  const layer = { heads: 3, normFirst, activation, eps: 1e-3 };
  const src = normal(random, [2, 7, 12]);
  const tgt = normal(random, [2, 5, 12]);

  test("an encoder layer is what PyTorch defines", async () => {
    const module = new TransformerEncoderLayer(options);
    const state = randomState(encoderLayerDims(sizes));
    module.loadStateDict(state);
    const { output, weights } = await module.forward(src, { keyLengths: [7, 4], weights: true });
    expectClose(
      output,
      [0, 1].map((b) => encoderLayer(parametersOf(state), matrix(src, b), layer, upTo([7, 4][b]))),
    );
    expect(weights?.dims).toEqual([2, 3, 7, 7]);
  });

  test("a decoder layer is what PyTorch defines", async () => {
    const module = new TransformerDecoderLayer(options);
    const state = randomState(decoderLayerDims(sizes));
    module.loadStateDict(state);
    const run = { causal: true, memoryKeyLengths: [7, 4], weights: true, selfWeights: true } as const;
    const { output, weights, selfWeights } = await module.forward(tgt, src, run);
    const p = parametersOf(state);
    const wanted = [0, 1].map((b) => decoderLayer(p, matrix(tgt, b), matrix(src, b), layer, [causal, upTo([7, 4][b])]));
    expectClose(output, wanted);
    expect(weights?.dims).toEqual([2, 3, 5, 7]);
    const own = [0, 1].flatMap((b) => {
      const x = normFirst ? layerNorm(p, "norm1", matrix(tgt, b), layer.eps) : matrix(tgt, b);
      return multihead(below(p, "self_attn."), [x, x, x], { heads: 3, bias: causal }).weights;
    });
    expectClose(selfWeights as never, own);
  });
});

describe("stacks", () => {
  const sizes = { dModel: 12, dimFeedforward: 20, bias: true };
  const src = normal(random, [2, 7, 12]);
  const tgt = normal(random, [2, 5, 12]);
  const dims = {
    ...prefixed(stackDims(encoderLayerDims(sizes), 2, 12), "encoder."),
    ...prefixed(stackDims(decoderLayerDims(sizes), 3, 12), "decoder."),
  };
  const options = { ...sizes, nhead: 3, numEncoderLayers: 2, numDecoderLayers: 3 };
  const whole = new Transformer(options);
  whole.loadStateDict(randomState(dims));

  test("a Transformer is its encoder, then its decoder, and says where every layer looked", async () => {
    const run = { memoryKeyLengths: [7, 4], causal: true, weights: true, selfWeights: true } as const;
    const { srcWeights, ...result } = await whole.forward(src, tgt, {
      srcKeyLengths: [7, 4],
      srcWeights: true,
      ...run,
    });
    const { output: memory, weights: own } = await whole.encoder.forward(src, { keyLengths: [7, 4], weights: true });
    expect(srcWeights).toEqual(own);
    expect(result).toEqual(await whole.decoder.forward(tgt, memory, run));
    expect(result.weights?.map((each) => each.dims)).toEqual(Array(3).fill([2, 3, 5, 7]));
    expect(result.selfWeights?.map((each) => each.dims)).toEqual(Array(3).fill([2, 3, 5, 5]));
    expect(srcWeights?.map((each) => each.dims)).toEqual(Array(2).fill([2, 3, 7, 7]));
  });

  test("all modules give the maps that are asked for, per layer", async () => {
    const memory = (await whole.encoder.forward(src)).output;
    const [first, last] = [whole.encoder.layers[0], whole.decoder.layers[2]];
    const calls = {
      transformer: (weights: true | MapOptions) => whole.forward(src, tgt, { causal: true, weights }),
      encoder: (weights: true | MapOptions) => whole.encoder.forward(src, { weights }),
      decoder: (weights: true | MapOptions) => whole.decoder.forward(tgt, memory, { weights }),
      layers: async (weights: true | MapOptions) => {
        const results = [await first.forward(src, { weights }), await last.forward(tgt, memory, { weights })];
        return { output: results[0].output, weights: results.map((each) => each.weights) };
      },
      step: async (weights: true | MapOptions) =>
        whole.decoder.step(tgt, await whole.decoder.start(memory), { weights }),
      own: async (asked: true | MapOptions) => {
        const { output, selfWeights } = await whole.decoder.forward(tgt, memory, { selfWeights: asked });
        return { output, ...(selfWeights && { weights: selfWeights }) };
      },
      ownOfStep: async (asked: true | MapOptions) => {
        const state = await whole.decoder.start(memory);
        const { output, selfWeights } = await whole.decoder.step(tgt, state, { selfWeights: asked });
        return { output, ...(selfWeights && { weights: selfWeights }) };
      },
    };
    for (const call of Object.values(calls)) {
      const all = await call(true);
      for (const asked of MAPS) {
        const { output, weights } = await call(asked);
        expect(output).toEqual(all.output);
        expect(weights).toHaveLength(all.weights?.length ?? -1);
        weights?.forEach((map, i) => {
          expectMap(map, all.weights?.[i] as Tensor<Float32Array>, asked);
        });
      }
    }
  });

  test("the kind of map is in the type of the result", async () => {
    const { weights } = await whole.forward(src, tgt, { weights: { topK: 1 } });
    const indices: Int32Array | undefined = weights?.[0].indices.data;
    expect(indices).toHaveLength(2 * 3 * 5);
    const mean = await whole.encoder.layers[0].forward(src, { weights: { reduce: "mean" } });
    const data: Float32Array | undefined = mean.weights?.data;
    expect(data).toHaveLength(2 * 7 * 7);
  });

  test("each half can be loaded alone, and is its layers, then its norm", async () => {
    const state = randomState(dims);
    const stack = { ...sizes, nhead: 3, norm: true };
    const encoder = new TransformerEncoder({ ...stack, numLayers: 2 });
    encoder.loadStateDict(state, "encoder.");
    const decoder = new TransformerDecoder({ ...stack, numLayers: 3 });
    decoder.loadStateDict(state, "decoder.");
    let x = (await encoder.layers[0].forward(src)).output;
    x = (await encoder.layers[1].forward(x)).output;
    const { output: memory } = await encoder.forward(src);
    expect(memory).toEqual(await encoder.norm?.forward(x));
    const { output } = await decoder.forward(tgt, memory);
    expect(output).toEqual((await whole.forward(src, tgt)).output);
  });

  test("PyTorch's defaults are ours", () => {
    const { encoder, decoder } = new Transformer();
    expect([encoder.layers.length, decoder.layers.length, encoder.layers[0].nhead]).toEqual([6, 6, 8]);
    const { linear1, normFirst, dModel } = decoder.layers[0];
    expect([dModel, linear1.outFeatures, normFirst, linear1.activation]).toEqual([512, 2048, false, "relu"]);
    expect(encoder.norm?.eps).toBe(1e-5);
    expect(new TransformerEncoder({ dModel: 8, nhead: 2, numLayers: 1 }).norm).toBeUndefined();
  });

  test("a module that was not loaded begins with random weights", async () => {
    const { output } = await new Transformer(options).forward(src, tgt, { causal: true });
    expect(output.dims).toEqual([2, 5, 12]);
    expect(output.data.every(Number.isFinite)).toBe(true);
  });
});

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
