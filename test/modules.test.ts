import { describe, expect, test } from "vitest";
import type { MapOptions, Tensor } from "../src/index.js";
import {
  Transformer,
  TransformerDecoder,
  TransformerDecoderLayer,
  TransformerEncoder,
  TransformerEncoderLayer,
} from "../src/nn/index.js";
import { causal, expectClose, expectMap, MAPS, upTo } from "./modules-expect.js";
import { below, decoderLayer, encoderLayer, layerNorm, multihead } from "./modules-oracle.js";
import {
  decoderLayerDims,
  encoderLayerDims,
  matrix,
  parametersOf,
  prefixed,
  randomState,
  stackDims,
} from "./modules-state.js";
import { Random } from "./random.js";
import { normal } from "./tensors.js";

const random = new Random(1);

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
