import { describe, expect, test } from "vitest";
import { useBackend } from "../src/backend.js";
import { attention, attentionSync, backends, explain, KeyValueMemory } from "../src/index.js";
import { type Case, MEMORY_TYPES, makeCase, OPTION_SIZES, OPTIONS } from "./cases.js";
import { expectSameBits } from "./compare.js";
import { filled } from "./filled.js";
import { randomMix } from "./mixes.js";
import { Random } from "./random.js";
import { scattered, type Tensor } from "./tensors.js";

const MAPS = { lse: true, weights: true } as const;

/** A memory of the keys and values of a call, which may be folded. */
function memoryOf({ query, key, value, options: { layout, heads } }: Case, type?: (typeof MEMORY_TYPES)[number]) {
  const d = query.dims.at(-1) as number;
  const folded = heads === undefined ? {} : { heads: (key.dims.at(-1) as number) / (d / heads) };
  return new KeyValueMemory(key, value, { layout, type, ...folded });
}

async function expectSameAsTensors(call: Case, memory = memoryOf(call)): Promise<void> {
  const { query, key, value } = call;
  const options = { ...call.options, ...MAPS };
  const whole = attentionSync(query, key, value, options);
  for (const result of [attentionSync(query, memory, options), await attention(query, memory, options)]) {
    expectSameBits(result.output, whole.output);
    expectSameBits(result.lse, whole.lse);
    expectSameBits(result.weights, whole.weights);
  }
}

describe("a memory", () => {
  test.each(Object.keys(OPTIONS))("gives the same bits as key and value with %s", async (name) => {
    for (const sizes of OPTION_SIZES) await expectSameAsTensors(makeCase(sizes, OPTIONS[name]));
  });

  test.each(Array.from({ length: 200 }, (_, seed) => seed))("gives the same bits in random mix %i", async (seed) => {
    await expectSameAsTensors(randomMix(seed));
  });

  test("may be of another layout and rank than the query", () => {
    const { query, key, value } = makeCase({ heads: 2, tq: 3, tk: 9, d: 8 });
    const whole = attentionSync(query, key, value).output;
    const memory = new KeyValueMemory({ ...key, dims: [2, 9, 8] }, { ...value, dims: [2, 9, 8] });
    expectSameBits(attentionSync(query, memory).output, whole);
    const swapped = { ...query, dims: [1, 3, 2, 8], strides: [48, 8, 24, 1] };
    const turned = attentionSync(swapped, memory, { layout: "bthd" }).output;
    const folded = attentionSync({ data: turned.data, dims: [1, 3, 16] }, memory, { heads: 2 }).output;
    expect(turned.dims).toEqual([1, 3, 2, 8]);
    expect(folded.dims).toEqual([1, 3, 16]);
  });

  test("takes key and value of any type, with strides and gaps", () => {
    const random = new Random(3);
    for (const type of ["float32", "float16", "bfloat16"] as const) {
      const { query, key, value } = makeCase({ heads: 2, tq: 3, tk: 40, d: 24 }, undefined, ["float32", type, type]);
      const whole = attentionSync(query, key, value).output;
      const memory = new KeyValueMemory(scattered(key, random), scattered(value, random));
      expectSameBits(attentionSync(query, memory).output, whole);
    }
  });

  test("says what it is", () => {
    const { query, key, value } = makeCase({ batch: 2, heads: 3, tk: 5, d: 8, dv: 4 });
    const memory = new KeyValueMemory(key, value);
    expect(memory).toMatchObject({ length: 5, type: "float32", dims: [2, 3, 5, 8], byteLength: 2 * 3 * 5 * 12 * 4 });
    expect(explain(query, memory).backend).toBe(process.env.XATTN_BACKEND);
    const data = new Float32Array(60);
    expect(new KeyValueMemory({ data, dims: [5, 12] }, { data, dims: [5, 12] }, { heads: 3 }).dims).toEqual([5, 12]);
    const swapped = new KeyValueMemory({ data, dims: [5, 3, 4] }, { data, dims: [5, 3, 4] }, { layout: "bthd" });
    expect(swapped).toMatchObject({ length: 5, dims: [5, 3, 4] });
  });

  test("of int8 takes at most 0.28 of float32's bytes at d = 64, the half types a half", () => {
    for (const tk of [1, 77, 1500]) {
      const { key, value } = makeCase({ heads: 8, tk, d: 64 });
      const bytes = (type: (typeof MEMORY_TYPES)[number]) => new KeyValueMemory(key, value, { type }).byteLength;
      expect(bytes("int8") / bytes("float32")).toBeLessThanOrEqual(0.28);
      expect(bytes("bfloat16")).toBe(bytes("float32") / 2);
      expect(bytes("float16")).toBe(bytes("float32") / 2);
    }
  });

  test("does not change with the arrays that it was made of", () => {
    const call = makeCase({ tq: 2, tk: 9 });
    const memory = memoryOf(call);
    const before = attentionSync(call.query, memory).output;
    call.key.data.fill(NaN);
    call.value.data.fill(NaN);
    expectSameBits(attentionSync(call.query, memory).output, before);
  });

  test.each(MEMORY_TYPES)(
    "of %s made under one backend gives the bits of the backend that a call is forced to",
    (type) => {
      const call = makeCase({ heads: 4, kvHeads: 2, tq: 3, tk: 130, d: 24 });
      const own = process.env.XATTN_BACKEND as string;
      try {
        const there = memoryOf(call, type);
        const elsewhere = backends.map((backend) => {
          useBackend(backend);
          return { memory: memoryOf(call, type), output: attentionSync(call.query, there).output };
        });
        backends.forEach((backend, n) => {
          useBackend(backend);
          for (const { memory } of elsewhere) {
            expectSameBits(attentionSync(call.query, memory).output, elsewhere[n].output);
          }
        });
      } finally {
        useBackend(own);
      }
    },
  );
});

describe("key lengths", () => {
  test("of the memory and of the call: the smaller wins", async () => {
    const { query, key, value } = makeCase({ batch: 3, tq: 2, tk: 9 });
    const memory = new KeyValueMemory(key, value, { keyLengths: [4, 0, 9] });
    const both: [Case["options"], number[]][] = [
      [{}, [4, 0, 9]],
      [{ keyLengths: [9, 9, 3] }, [4, 0, 3]],
      [{ keyLengths: [2, 1, 9], causal: "bottom-right" }, [2, 0, 9]],
      [{ causal: "bottom-right" }, [4, 0, 9]],
    ];
    for (const [options, keyLengths] of both) {
      const expected = attentionSync(query, key, value, { ...options, keyLengths, ...MAPS });
      const result = await attention(query, memory, { ...options, ...MAPS });
      expectSameBits(result.output, expected.output);
      expectSameBits(result.lse, expected.lse);
    }
  });

  test("of a memory of batch 1 are those of every entry", () => {
    const { query } = makeCase({ batch: 3, tq: 2 });
    const { key, value } = makeCase({ tk: 9 });
    const memory = new KeyValueMemory(key, value, { keyLengths: [4] });
    const expected = attentionSync(query, key, value, { keyLengths: [4, 2, 4] }).output;
    expectSameBits(attentionSync(query, memory, { keyLengths: [9, 2, 5] }).output, expected);
  });

  test("get less with rows that are taken out", () => {
    const { query, key, value } = makeCase({ batch: 3, tq: 2, tk: 9 });
    const memory = new KeyValueMemory(key, value, { keyLengths: [4, 1, 9] });
    memory.evict(3, 6);
    const rest = (x: Tensor) => without(x, 3, 6);
    const options = { keyLengths: [3, 1, 6] };
    const expected = attentionSync(query, rest(key), rest(value), options).output;
    expectSameBits(attentionSync(query, memory).output, expected);
    memory.truncate(1);
    memory.append(makeCase({ tk: 1 }).key, makeCase({ tk: 1 }).value); // now that all entries are whole
    expect(memory.length).toBe(2);
  });
});

function without({ data, dims, type }: Tensor, start: number, end: number): Tensor {
  const [batch, heads, tk, columns] = dims;
  const kept = data.filter((_, at) => {
    const row = Math.floor(at / columns) % tk;
    return row < start || row >= end;
  });
  return { data: kept, dims: [batch, heads, tk - (end - start), columns], type };
}

describe("an empty memory", () => {
  const none = filled([2, 2, 0, 8]);

  test("gives zeros, as no keys do", async () => {
    const query = filled([2, 4, 3, 8]);
    const memory = new KeyValueMemory(none, none, { type: "int8" });
    const expected = attentionSync(query, none, none, MAPS);
    const result = await attention(query, memory, MAPS);
    expect(result).toEqual(expected);
    expect(memory).toMatchObject({ length: 0, dims: [2, 2, 0, 8], byteLength: 0 });
    memory.truncate(0);
    memory.evict(0, 0);
    memory.append(none, none);
    expect(KeyValueMemory.from(memory.share()).select([1, 1, 1]).dims).toEqual([3, 2, 0, 8]);
  });

  test("grows", () => {
    const query = filled([2, 4, 3, 8]);
    const [key, value] = [filled([2, 2, 5, 8], 2), filled([2, 2, 5, 8], 3)];
    const memory = new KeyValueMemory(none, none);
    memory.append(key, value);
    expectSameBits(attentionSync(query, memory).output, attentionSync(query, key, value).output);
  });

  test("without columns in the values has weights all the same", () => {
    const [query, key, empty] = [filled([2, 3, 8]), filled([2, 5, 8], 2), filled([2, 5, 0])];
    for (const type of MEMORY_TYPES) {
      const memory = new KeyValueMemory(key, empty, { type });
      const { output, weights } = attentionSync(query, memory, MAPS);
      expect(output.dims).toEqual([2, 3, 0]);
      expect(weights.data.slice(0, 5).reduce((a, b) => a + b)).toBeCloseTo(1, 6);
    }
  });
});

describe("dispose", () => {
  const query = filled([2, 3, 8]);
  const key = filled([2, 5, 8], 2);

  test("may come twice, and makes any use an error that names the memory", async () => {
    const memory = new KeyValueMemory(key, key);
    memory[Symbol.dispose]();
    memory[Symbol.dispose]();
    const error = new TypeError('"memory" expected a memory that has not been disposed, got a disposed one');
    await expect(attention(query, memory)).rejects.toEqual(error);
    const uses: (() => unknown)[] = [
      () => attentionSync(query, memory),
      () => explain(query, memory),
      () => memory.append(key, key),
      () => memory.truncate(0),
      () => memory.evict(0, 1),
      () => memory.select([0]),
      () => memory.share(),
      () => memory.length,
    ];
    for (const use of uses) expect(use).toThrow(error);
  });

  test("leaves calls in flight, and what was shared, with their rows", async () => {
    const call = makeCase({ heads: 8, tq: 64, tk: 2000, d: 64 });
    const memory = memoryOf(call);
    const other = KeyValueMemory.from(memory.share());
    const pending = [1, 2, 3].map(() => attention(call.query, memory));
    memory[Symbol.dispose]();
    const expected = attentionSync(call.query, call.key, call.value).output;
    for (const { output } of await Promise.all(pending)) expectSameBits(output, expected);
    expectSameBits(attentionSync(call.query, other).output, expected);
  });
});
