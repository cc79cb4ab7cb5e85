import { describe, expect, test } from "vitest";
import { MultiheadAttention } from "../src/nn/index.js";
import { causal, expectClose, expectMap, MAPS, upTo } from "./modules-expect.js";
import { type Bias, below, multihead } from "./modules-oracle.js";
import { attentionDims, type Dims, matrix, parametersOf, randomState } from "./modules-state.js";
import { Random } from "./random.js";
import { normal, tensor } from "./tensors.js";

const random = new Random(1);

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
