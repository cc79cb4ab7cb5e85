// PyTorch's modules and what they computed: ../shared/conformance/torch-modules.
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type {
  MultiheadAttention,
  Transformer,
  TransformerDecoderLayer,
  TransformerEncoderLayer,
} from "../src/nn/index.js";
import type { Tensor } from "./tensors.js";
import { inverse, lengths, padding, readCase, type TorchCase } from "./torch.js";

const folder = new URL("../../shared/conformance/torch-modules/", import.meta.url);
const isThere = existsSync(folder);
if (!isThere) console.warn("PyTorch's modules are skipped: ../shared/conformance/torch-modules is not there.");

const cases: TorchCase[] = isThere ? JSON.parse(readFileSync(new URL("index.json", folder), "utf8")).cases : [];
const of = (module: string) => cases.filter((each) => each.module === module);
const read = (each: TorchCase) => readCase(new URL(each.file, folder), each);

const CLOSE = 1e-5;

function expectClose(got: { data: ArrayLike<number>; dims: number[] } | undefined, wanted: Tensor): void {
  expect(got?.dims).toEqual(wanted.dims);
  for (let i = 0; i < wanted.data.length; i++) {
    expect(Math.abs((got?.data[i] as number) - wanted.data[i]), `[${i}] of ${wanted.data[i]}`).toBeLessThanOrEqual(
      CLOSE,
    );
  }
}

/** [batch, heads, tq, tk] averaged over the heads, as PyTorch gives weights by default. */
function meanOverHeads({ data, dims }: Tensor): Tensor {
  const [batch, heads, tq, tk] = dims;
  const mean = new Float32Array(batch * tq * tk);
  data.forEach((x, i) => {
    mean[Math.floor(i / (heads * tq * tk)) * tq * tk + (i % (tq * tk))] += x / heads;
  });
  return { data: mean, dims: [batch, tq, tk], type: "float32" };
}

describe.skipIf(!isThere)("PyTorch", () => {
  test("has eight modules", () => {
    expect(cases.map(({ name }) => name)).toHaveLength(8);
  });

  test.each(of("MultiheadAttention"))("$name gives PyTorch's output and weights under every mask", async (each) => {
    const { module, inputs, outputs } = await read(each);
    const { query, key, value, key_padding_mask, float_mask, bool_mask } = inputs;
    const keyLengths = lengths(key_padding_mask);
    const calls = {
      plain: {},
      padded: { keyLengths },
      float: { mask: float_mask, keyLengths },
      bool: { mask: inverse(bool_mask) },
    };
    for (const [name, options] of Object.entries(calls)) {
      const { output, weights } = await (module as MultiheadAttention).forward(query, key, value, {
        ...options,
        weights: true,
      });
      expectClose(output, outputs[name]);
      const wanted = outputs[`weights_${name}`];
      expectClose(wanted.dims.length === 4 ? weights : meanOverHeads(weights as Tensor), wanted);
    }
  });

  test.each(of("TransformerEncoderLayer"))("$name gives PyTorch's output", async (each) => {
    const { module, inputs, outputs } = await read(each);
    const { output } = await (module as TransformerEncoderLayer).forward(inputs.src);
    expectClose(output, outputs.plain);
  });

  test.each(of("TransformerDecoderLayer"))("$name gives PyTorch's output, causal, padded and open", async (each) => {
    const { module, inputs, outputs } = await read(each);
    const layer = module as TransformerDecoderLayer;
    const { tgt, memory, tgt_mask, memory_key_padding_mask } = inputs;
    const memoryMask = padding(memory_key_padding_mask);
    expectClose((await layer.forward(tgt, memory)).output, outputs.open);
    expectClose((await layer.forward(tgt, memory, { causal: true })).output, outputs.causal);
    expectClose((await layer.forward(tgt, memory, { mask: tgt_mask })).output, outputs.causal);
    expectClose((await layer.forward(tgt, memory, { causal: true, memoryMask })).output, outputs.causal_padded);
  });

  test.each(of("Transformer"))("$name gives PyTorch's output, open, causal and padded", async (each) => {
    const { module, inputs, outputs } = await read(each);
    const whole = module as Transformer;
    const { src, tgt, tgt_mask, memory_key_padding_mask } = inputs;
    const memoryMask = padding(memory_key_padding_mask);
    expectClose((await whole.forward(src, tgt)).output, outputs.plain);
    expectClose((await whole.forward(src, tgt, { causal: true })).output, outputs.causal);
    expectClose((await whole.forward(src, tgt, { mask: tgt_mask, memoryMask })).output, outputs.causal_padded);
  });
});
