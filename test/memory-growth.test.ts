import { describe, expect, test } from "vitest";
import { attention, attentionSync, KeyValueMemory } from "../src/index.js";
import { MEMORY_TYPES } from "./cases.js";
import { expectSameBits } from "./compare.js";
import { Random } from "./random.js";
import { normal, type Tensor, tensor } from "./tensors.js";

const [HEADS, D, DV] = [2, 8, 5];

/** What a memory should hold: rows of keys and values side by side, by batch entry and head, then in their order. */
class Model {
  constructor(readonly entries: number[][][]) {}

  static empty(batch: number): Model {
    return new Model(Array.from({ length: batch * HEADS }, () => []));
  }

  get length(): number {
    return this.entries[0].length;
  }

  get batch(): number {
    return this.entries.length / HEADS;
  }

  with(added: Model): Model {
    return new Model(this.entries.map((rows, entry) => [...rows, ...added.entries[entry]]));
  }

  without(start: number, end: number): Model {
    return new Model(this.entries.map((rows) => rows.filter((_, j) => j < start || j >= end)));
  }

  select(indices: number[]): Model {
    return new Model(indices.flatMap((b) => this.entries.slice(b * HEADS, (b + 1) * HEADS)));
  }

  get key(): Tensor {
    return this.columns(0, D);
  }

  get value(): Tensor {
    return this.columns(D, D + DV);
  }

  private columns(from: number, to: number): Tensor {
    const numbers = this.entries.flatMap((rows) => rows.flatMap((row) => row.slice(from, to)));
    return tensor(numbers, [this.batch, HEADS, this.length, to - from]);
  }
}

function randomRows(random: Random, batch: number, count: number): Model {
  const row = () => Array.from({ length: D + DV }, () => random.normal());
  return new Model(Array.from({ length: batch * HEADS }, () => Array.from({ length: count }, row)));
}

interface Pair {
  memory: KeyValueMemory;
  model: Model;
}

/** One random change of a memory, or another memory of it. */
function change({ memory, model }: Pair, random: Random): Pair {
  const { length, batch } = model;
  const start = random.integer(0, length);
  const end = random.integer(start, length);
  const indices = Array.from({ length: random.integer(1, 3) }, () => random.integer(0, batch - 1));
  const added = randomRows(random, batch, random.pick([0, 1, 1, 1, 2, 7, 30]));
  switch (random.pick(["append", "append", "append", "truncate", "evict", "share", "select"])) {
    case "append":
      memory.append(added.key, added.value);
      return { memory, model: model.with(added) };
    case "truncate":
      memory.truncate(start);
      return { memory, model: model.without(start, length) };
    case "evict":
      memory.evict(start, end);
      return { memory, model: model.without(start, end) };
    case "share":
      return { memory: KeyValueMemory.from(structuredClone(memory.share())), model };
    default:
      return { memory: memory.select(indices), model: model.select(indices) };
  }
}

function expected(query: Tensor, { model }: Pair, type: (typeof MEMORY_TYPES)[number]) {
  return attentionSync(query, new KeyValueMemory(model.key, model.value, { type }));
}

describe.each(MEMORY_TYPES)("a %s memory", (type) => {
  test.each(Array.from({ length: 6 }, (_, seed) => seed))(
    "is at any time what its changes made of it, for itself, for who shares it and for calls in flight: program %i",
    async (seed) => {
      const random = new Random(seed);
      const query = normal(random, [1, 4, 3, D]);
      const first = randomRows(random, 2, random.pick([0, 1, 20]));
      const pairs: Pair[] = [{ memory: new KeyValueMemory(first.key, first.value, { type }), model: first }];
      const pending: Promise<void>[] = [];
      for (let step = 0; step < 60; step++) {
        const at = random.integer(0, pairs.length - 1);
        const { output } = expected(query, pairs[at], type);
        pending.push(attention(query, pairs[at].memory).then((result) => expectSameBits(result.output, output)));
        if (random.chance(0.5)) await Promise.all(pending.splice(0)); // then only memories hold rows
        const changed = change(pairs[at], random);
        if (changed.memory === pairs[at].memory) pairs[at] = changed;
        else pairs.push(changed);
        if (pairs.length > 4) pairs.splice(random.integer(0, 3), 1)[0].memory[Symbol.dispose]();
        for (const pair of pairs) {
          expect(pair.memory.length).toBe(pair.model.length);
          expectSameBits(attentionSync(query, pair.memory).output, expected(query, pair, type).output);
        }
      }
      await Promise.all(pending);
    },
  );
});

describe("append", () => {
  const random = new Random(7);
  const rows = (count: number) => randomRows(random, 1, count);

  test("moves to larger storage a few times only, by the logarithm of the rows", () => {
    const { key, value } = rows(0);
    const memory = new KeyValueMemory(key, value);
    const one = rows(1);
    const sizes = new Set<number>();
    for (let i = 0; i < 3000; i++) {
      memory.append(one.key, one.value);
      sizes.add(memory.byteLength);
    }
    expect(sizes.size).toBeLessThanOrEqual(9); // 16, 32 .. 4096 rows
    expect(memory.byteLength).toBeLessThanOrEqual(2 * new KeyValueMemory(rows(3000).key, rows(3000).value).byteLength);
  });

  test("does not move after rows were taken back or out, where nobody else holds them", () => {
    const { key, value } = rows(40);
    const memory = new KeyValueMemory(key, value);
    const bytes = memory.byteLength;
    for (let i = 0; i < 100; i++) {
      if (i % 2 === 0) memory.truncate(39);
      else memory.evict(i % 40, (i % 40) + 1);
      memory.append(rows(1).key, rows(1).value);
    }
    expect(memory.byteLength).toBe(bytes);
  });

  test("of a batch of 1 goes to all entries", () => {
    const [first, one] = [randomRows(random, 2, 3), rows(2)];
    const query = normal(random, [2, 2, 3, D]);
    const memory = new KeyValueMemory(first.key, first.value);
    memory.append(one.key, one.value);
    const model = first.with(one.select([0, 0]));
    expectSameBits(attentionSync(query, memory).output, attentionSync(query, model.key, model.value).output);
  });

  test("takes its layout and any type", () => {
    const query = tensor([1, 2, 3, 4], [1, 1, 4]);
    const key = (data: number[], type: "float32" | "bfloat16") => tensor(data, [1, 1, 4], type);
    const memory = new KeyValueMemory(key([1, 2, 3, 4], "float32"), key([1, 0, 0, 1], "float32"), { heads: 2 });
    memory.append(key([2, 0, 1, 1], "bfloat16"), key([0, 1, 1, 0], "bfloat16"));
    const both = [tensor([1, 2, 3, 4, 2, 0, 1, 1], [1, 2, 4]), tensor([1, 0, 0, 1, 0, 1, 1, 0], [1, 2, 4])] as const;
    const { output } = attentionSync(query, ...both, { heads: 2 });
    expectSameBits(attentionSync(query, memory, { heads: 2 }).output, output);
    expect(memory.dims).toEqual([1, 2, 4]);
  });

  test("puts rows in place that pool threads do not read, while they read the others", async () => {
    const { key, value } = { key: normal(random, [8, 3000, 64]), value: normal(random, [8, 3000, 64]) };
    const query = normal(random, [8, 64, 64]);
    const memory = new KeyValueMemory(key, value);
    const more = [normal(random, [8, 1, 64]), normal(random, [8, 1, 64])] as const;
    memory.append(...more);
    memory.truncate(3000);
    const bytes = memory.byteLength;
    const wanted = attentionSync(query, key, value).output;
    const pending = Array.from({ length: 20 }, (_, i) => {
      const call = i === 0 ? attention(query, memory) : undefined;
      memory.append(...more);
      return call;
    });
    for (const result of await Promise.all(pending)) if (result) expectSameBits(result.output, wanted);
    expect(memory).toMatchObject({ length: 3020, byteLength: bytes });
  });
});

describe("a call in flight", () => {
  test.each(["evict", "truncate", "dispose", "share"])("sees the memory as it was before %s", async (what) => {
    const random = new Random(2);
    const rows = (count: number) => normal(random, [8, count, 64]);
    const [query, key, value, more] = [rows(64), rows(3000), rows(3000), rows(3000)];
    const wanted = attentionSync(query, key, value).output;
    for (let round = 0; round < 5; round++) {
      const memory = new KeyValueMemory(key, value);
      const pending = attention(query, memory);
      if (what === "evict") memory.evict(0, 2000);
      if (what === "truncate") memory.truncate(0);
      if (what === "dispose") memory[Symbol.dispose]();
      else memory.append(more, more);
      if (what === "share") KeyValueMemory.from(memory.share()).evict(0, 2999);
      expectSameBits((await pending).output, wanted);
    }
  });
});

describe("select", () => {
  test("picks batch entries, in any order and more than once", () => {
    const random = new Random(1);
    const model = randomRows(random, 3, 9);
    const memory = new KeyValueMemory(model.key, model.value, { keyLengths: [9, 2, 5], type: "float32" });
    const query = normal(random, [4, 2, 1, D]);
    const { key, value } = model.select([2, 0, 2, 1]);
    const selected = memory.select([2, 0, 2, 1]);
    const { output } = attentionSync(query, key, value, { keyLengths: [5, 9, 5, 2] });
    expectSameBits(attentionSync(query, selected).output, output);
    expect(selected.dims).toEqual([4, HEADS, 9, D]);
  });
});
