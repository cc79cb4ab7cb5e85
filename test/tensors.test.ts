import { describe, expect, it } from "vitest";
import { attentionSync, type TensorLike } from "../src/index.js";
import { expectClose, filled, type Given, reshaped, transposed } from "./filled.js";
import { product } from "./tensors.js";

const BTHD = [0, 2, 1, 3];

describe("Dims", () => {
  // layout options, dims of query, key and value, then of output, lse and weights
  it.each([
    ["rank 2", {}, [3, 8], [5, 8], [5, 6], [3, 6], [3], [3, 5]],
    ["rank 3", {}, [4, 3, 8], [2, 5, 8], [2, 5, 6], [4, 3, 6], [4, 3], [4, 3, 5]],
    ["rank 4", {}, [2, 4, 3, 8], [2, 2, 5, 8], [2, 2, 5, 6], [2, 4, 3, 6], [2, 4, 3], [2, 4, 3, 5]],
    ["bhtd by name", { layout: "bhtd" }, [4, 3, 8], [2, 5, 8], [2, 5, 6], [4, 3, 6], [4, 3], [4, 3, 5]],
    ["bthd, rank 2", { layout: "bthd" }, [3, 8], [5, 8], [5, 6], [3, 6], [1, 1, 3], [1, 1, 3, 5]],
    ["bthd, rank 3", { layout: "bthd" }, [3, 4, 8], [5, 2, 8], [5, 2, 6], [3, 4, 6], [1, 4, 3], [1, 4, 3, 5]],
    [
      "bthd, rank 4",
      { layout: "bthd" },
      [2, 3, 4, 8],
      [2, 5, 2, 8],
      [2, 5, 2, 6],
      [2, 3, 4, 6],
      [2, 4, 3],
      [2, 4, 3, 5],
    ],
    ["heads, rank 2", { heads: 4 }, [3, 32], [5, 16], [5, 12], [3, 24], [1, 4, 3], [1, 4, 3, 5]],
    ["heads, rank 3", { heads: 4 }, [2, 3, 32], [2, 5, 16], [2, 5, 12], [2, 3, 24], [2, 4, 3], [2, 4, 3, 5]],
    ["a shared memory", {}, [2, 4, 3, 8], [1, 4, 5, 8], [1, 4, 5, 6], [2, 4, 3, 6], [2, 4, 3], [2, 4, 3, 5]],
    ["a shared query", {}, [1, 4, 3, 8], [2, 4, 5, 8], [2, 4, 5, 6], [2, 4, 3, 6], [2, 4, 3], [2, 4, 3, 5]],
  ] as const)("of results follow from the query's rank and layout: %s", (_, layout, q, k, v, output, lse, weights) => {
    const options = { ...layout, lse: true, weights: true };
    const result = attentionSync(filled([...q]), filled([...k]), filled([...v]), options);
    expect(result.output).toMatchObject({ dims: output, type: "float32" });
    expect(result.lse).toMatchObject({ dims: lse, type: "float32" });
    expect(result.weights).toMatchObject({ dims: weights, type: "float32" });
    for (const { data, dims } of Object.values(result)) {
      expect(data).toBeInstanceOf(Float32Array);
      expect(data.length).toBe(product(dims));
    }
  });

  it("may be any array of integers, under either name", () => {
    const [query, key] = [filled([3, 8]), filled([5, 8], 2)];
    const { output } = attentionSync({ ...query, dims: Int32Array.of(3, 8) }, { data: key.data, shape: [5, 8] }, key);
    expect(output).toEqual(attentionSync(query, key, key).output);
    expect(output.dims).toEqual([3, 8]);
  });
});

describe("Layouts", () => {
  const query = filled([2, 4, 3, 8]);
  const key = filled([2, 2, 5, 8], 2);
  const value = filled([2, 2, 5, 6], 3);
  const mask = { data: Float32Array.from({ length: 30 }, (_, i) => Math.cos(i)), dims: [2, 1, 3, 5] };
  const whole = attentionSync(query, key, value, { mask, lse: true, weights: true });

  it("with heads after the queries give the same numbers, and masks stay as they are", () => {
    const [q, k, v] = [query, key, value].map((tensor) => transposed(tensor, BTHD));
    const { output, lse, weights } = attentionSync(q, k, v, { layout: "bthd", mask, lse: true, weights: true });
    expectClose(output.data, transposed(whole.output, BTHD).data);
    expectClose(lse.data, whole.lse.data);
    expectClose(weights.data, whole.weights.data);
  });

  it("with heads folded into the last dimension give the same numbers", () => {
    const [q, k, v] = [query, key, value].map((tensor) => transposed(tensor, BTHD));
    const folded = [reshaped(q, [2, 3, 32]), reshaped(k, [2, 5, 16]), reshaped(v, [2, 5, 12])] as const;
    const { output, lse, weights } = attentionSync(...folded, { heads: 4, mask, lse: true, weights: true });
    expectClose(output.data, transposed(whole.output, BTHD).data);
    expectClose(lse.data, whole.lse.data);
    expectClose(weights.data, whole.weights.data);
  });

  it("of lower ranks are those of rank 4 with ones in front", () => {
    const [q, k, v] = [filled([4, 3, 8]), filled([2, 5, 8], 2), filled([2, 5, 6], 3)];
    const four = attentionSync(reshaped(q, [1, 4, 3, 8]), reshaped(k, [1, 2, 5, 8]), reshaped(v, [1, 2, 5, 6]));
    expectClose(attentionSync(q, k, v).output.data, four.output.data);
    const flat = attentionSync(filled([3, 8]), filled([5, 8], 2), filled([5, 6], 3));
    const deep = attentionSync(filled([1, 1, 3, 8]), filled([1, 1, 5, 8], 2), filled([1, 1, 5, 6], 3));
    expectClose(flat.output.data, deep.output.data);
  });

  it("let each key head serve its group of query heads", () => {
    const repeat = ({ data, dims: [batch, heads, t, columns] }: Given): Given => {
      const size = t * columns;
      const twice = Float32Array.from({ length: 2 * data.length }, (_, i) => {
        const head = Math.floor(i / size);
        return data[Math.floor(head / 2) * size + (i % size)];
      });
      return { data: twice, dims: [batch, 2 * heads, t, columns] };
    };
    expectClose(attentionSync(query, repeat(key), repeat(value), { mask }).output.data, whole.output.data);
  });

  it("share a batch of one with every entry of the other side", () => {
    const first = ({ data, dims }: Given): Given => ({
      data: data.slice(0, data.length / 2),
      dims: [1, ...dims.slice(1)],
    });
    const twice = (one: Given): Given => ({
      data: Float32Array.of(...one.data, ...one.data),
      dims: [2, ...one.dims.slice(1)],
    });
    const [q, k, v] = [query, key, value].map(first);
    expectClose(attentionSync(query, k, v).output.data, attentionSync(query, twice(k), twice(v)).output.data);
    expectClose(attentionSync(q, key, value).output.data, attentionSync(twice(q), key, value).output.data);
  });
});

describe("Strides", () => {
  const query = filled([2, 3, 8]);
  const key = filled([2, 5, 8], 2);
  const value = filled([2, 5, 6], 3);
  const { output } = attentionSync(query, key, value);

  it("read a tensor where its dimensions lie, with gaps that are never read", () => {
    const gappy = new Float32Array(200).fill(NaN);
    for (let t = 0; t < 5; t++) {
      for (let h = 0; h < 2; h++) gappy.set(key.data.subarray((h * 5 + t) * 8, (h * 5 + t + 1) * 8), t * 40 + h * 10);
    }
    expectClose(
      attentionSync(query, { data: gappy, dims: key.dims, strides: [10, 40, 1] }, value).output.data,
      output.data,
    );
  });

  it("may be other than 1 in the last dimension of every input", () => {
    const turned = (tensor: Given): TensorLike => {
      const [heads, t] = tensor.dims;
      return { data: transposed(tensor, [2, 0, 1]).data, dims: tensor.dims, strides: [t, 1, heads * t] };
    };
    expectClose(attentionSync(turned(query), turned(key), turned(value)).output.data, output.data);
  });

  it("reach through heads that are folded", () => {
    const [q, k, v] = [query, key, value].map((tensor) => transposed(tensor, [1, 0, 2]));
    const spread = (tensor: Given): TensorLike => {
      const [t, heads, columns] = tensor.dims;
      const data = Float32Array.from({ length: tensor.data.length * 2 }, (_, i) => (i % 2 ? NaN : tensor.data[i / 2]));
      return { data, dims: [t, heads * columns], strides: [heads * columns * 2, 2] };
    };
    const folded = attentionSync(spread(q), spread(k), spread(v), { heads: 2 });
    expectClose(folded.output.data, transposed(output, [1, 0, 2]).data);
  });

  it("of 0 repeat an entry", () => {
    const one = { data: key.data.subarray(0, 40), dims: [2, 5, 8], strides: [0, 8, 1] };
    const both = { data: Float32Array.of(...one.data, ...one.data), dims: [2, 5, 8] };
    expectClose(attentionSync(query, one, value).output.data, attentionSync(query, both, value).output.data);
  });

  it("may leave room in one buffer for out between the inputs", () => {
    const buffer = new Float32Array(48 + 36 + 80);
    buffer.set(query.data);
    buffer.set(key.data, 48 + 36);
    const out = buffer.subarray(48, 48 + 36);
    const first = { data: buffer, dims: [2, 3, 8], strides: [24, 8, 1] };
    const last = { data: buffer.subarray(48 + 36), dims: [2, 5, 8] };
    expect(attentionSync(first, last, value, { out }).output.data).toBe(out);
    expectClose(out, output.data);
  });
});

describe("Types", () => {
  // One key: the output is its value, whatever the query.
  const one = { data: Float32Array.of(0.5, -2), dims: [1, 2] };
  const half = { float16: [0x3800, 0xc000], bfloat16: [0x3f00, 0xc000] };

  it.each(["float16", "bfloat16"] as const)("of %s come from the tag, and the output has the query's", (type) => {
    const tagged = { data: Uint16Array.from(half[type]), dims: [1, 2], type };
    const { output } = attentionSync(tagged, tagged, tagged);
    expect(output).toEqual({ data: Uint16Array.from(half[type]), dims: [1, 2], type });
    const { data, dims } = tagged;
    expect(attentionSync({ data, dims, dtype: type }, one, one).output).toEqual(output);
    expectClose(attentionSync(one, tagged, tagged).output.data, one.data);
  });

  it("of float32 need no tag", () => {
    const { output } = attentionSync(one, { ...one, type: "float32" }, { ...one, dtype: "float32" });
    expect(output).toEqual({ data: one.data, dims: [1, 2], type: "float32" });
  });

  const { Float16Array } = globalThis as unknown as { Float16Array?: Float32ArrayConstructor };
  it.skipIf(Float16Array === undefined)("of Float16Array give a Float16Array", () => {
    const native = { data: (Float16Array as Float32ArrayConstructor).of(0.5, -2), dims: [1, 2] };
    const { output } = attentionSync(native, native, native);
    expect(output).toEqual({ data: native.data, dims: [1, 2], type: "float16" });
    const out = new Uint16Array(2);
    expect(attentionSync(native, native, native, { out }).output.data).toBe(out);
    expect([...out]).toEqual(half.float16);
  });

  it("are read from objects whose properties are getters, as those of onnxruntime and transformers.js are", () => {
    class Foreign {
      get data() {
        return one.data;
      }
      get dims() {
        return one.dims;
      }
      get type() {
        return "float32";
      }
    }
    const wrapped = new Proxy(new Foreign(), {});
    expect(attentionSync(new Foreign(), wrapped, wrapped).output.data).toEqual(one.data);
  });
});
