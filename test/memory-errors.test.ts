import { describe, expect, test } from "vitest";
import { useBackend } from "../src/backend.js";
import { attention, attentionSync, backends, explain, KeyValueMemory, type MemoryDescriptor } from "../src/index.js";
import { filled } from "./filled.js";
import { tensor, transferred } from "./wrong-calls.js";

// Batch 2, kvHeads 2, tk 5, d 8, dv 6.
const key = tensor([2, 2, 5, 8]);
const value = tensor([2, 2, 5, 6]);
const query = tensor([2, 4, 3, 8]);

type Kind = typeof TypeError | typeof RangeError;
type Wrong = [what: string, kind: Kind, message: string, act: (memory: KeyValueMemory) => unknown];

const make =
  (...given: unknown[]) =>
  () =>
    new KeyValueMemory(...(given as [typeof key, typeof value]));
const ask =
  (query: unknown, options = {}, memory?: KeyValueMemory) =>
  (own: KeyValueMemory) =>
    attentionSync(query as typeof key, memory ?? own, options);
const append =
  (...given: unknown[]) =>
  (memory: KeyValueMemory) =>
    memory.append(...(given as [typeof key, typeof value]));

const constructions: Wrong[] = [
  ["no value", TypeError, '"value" expected a tensor { data, dims }, got undefined', make(key)],
  [
    "another tk in the value",
    RangeError,
    '"value.dims[2]" expected 5 (tk of "key"), got 4',
    make(key, tensor([2, 2, 4, 6])),
  ],
  [
    "other heads in the value",
    RangeError,
    '"value.dims[1]" expected 2 (kvHeads of "key"), got 1',
    make(key, tensor([2, 1, 5, 6])),
  ],
  [
    "another batch in the value",
    RangeError,
    '"value.dims[0]" expected 1 or 2 (batch), got 3',
    make(key, tensor([3, 2, 5, 6])),
  ],
  [
    "another rank of the value",
    RangeError,
    '"value.dims" expected [batch, kvHeads, tk, dv] (rank of "key"), got [5, 6]',
    make(key, tensor([5, 6])),
  ],
  [
    "keys without columns",
    RangeError,
    '"key.dims[1]" expected at least 1 (d), got 0',
    make(tensor([5, 0]), tensor([5, 6])),
  ],
  [
    "an unknown type",
    RangeError,
    '"type" expected "float32", "float16", "bfloat16", "int8", got "int4"',
    make(key, value, { type: "int4" }),
  ],
  [
    "a type that is no name",
    TypeError,
    '"type" expected "float32", "float16", "bfloat16", "int8", got 8',
    make(key, value, { type: 8 }),
  ],
  [
    "an inherited name as a type",
    RangeError,
    '"type" expected "float32", "float16", "bfloat16", "int8", got "toString"',
    make(key, value, { type: "toString" }),
  ],
  [
    "an unknown option",
    TypeError,
    '"options.types" expected a known option (did you mean "type"?), got "types"',
    make(key, value, { types: "int8" }),
  ],
  [
    "options of a call",
    TypeError,
    '"options.scale" expected a known option (one of "type", "layout", "heads", "keyLengths"), got "scale"',
    make(key, value, { scale: 1 }),
  ],
  [
    "a layout and heads",
    RangeError,
    '"layout" expected to be left out together with "heads", got "bthd"',
    make(key, value, { layout: "bthd", heads: 2 }),
  ],
  [
    "heads that do not divide the key",
    RangeError,
    '"key.dims[1]" expected a multiple of 3 (kvHeads of "key"), got 8',
    make(tensor([5, 8]), tensor([5, 6]), { heads: 3 }),
  ],
  [
    "too few key lengths",
    RangeError,
    '"keyLengths.length" expected 2 (one per batch entry), got 1',
    make(key, value, { keyLengths: [5] }),
  ],
  [
    "key lengths beyond the keys",
    RangeError,
    '"keyLengths[1]" expected an integer from 0 to 5 (tk of "key"), got 6',
    make(key, value, { keyLengths: [5, 6] }),
  ],
  [
    "a transferred buffer",
    TypeError,
    '"key.data" expected memory that has not been transferred, got a detached buffer',
    make({ data: transferred(160), dims: [2, 2, 0, 8] }, value),
  ],
];

const calls: Wrong[] = [
  ["another d", RangeError, '"query.dims[3]" expected 8 (d of "memory"), got 4', ask(tensor([2, 4, 3, 4]))],
  [
    "another d with heads",
    RangeError,
    '"query.dims[2]" expected 4 times 8 (d of "memory"), got 16',
    ask(tensor([2, 3, 16]), { heads: 4 }),
  ],
  ["another batch", RangeError, '"query.dims[0]" expected 1 or 2 (batch), got 3', ask(tensor([3, 4, 3, 8]))],
  [
    "heads that key heads do not divide",
    RangeError,
    '"query.dims[1]" expected a multiple of 2 (kvHeads of "memory"), got 3',
    ask(tensor([2, 3, 3, 8])),
  ],
  [
    "folded heads that key heads do not divide",
    RangeError,
    '"heads" expected a multiple of 2 (kvHeads of "memory"), got 3',
    ask(tensor([2, 3, 24]), { heads: 3 }),
  ],
  [
    "a rank without the memory's batch",
    RangeError,
    '"query.dims" expected dims with batch, for 2 (batch of "memory"), got [4, 3, 8]',
    ask(tensor([4, 3, 8])),
  ],
  [
    "a rank without the memory's heads",
    RangeError,
    '"query.dims" expected dims with heads, for 2 (kvHeads of "memory"), got [3, 8]',
    ask(tensor([3, 8]), {}, new KeyValueMemory(tensor([2, 5, 8]), tensor([2, 5, 6]))),
  ],
  [
    "key lengths beyond the memory",
    RangeError,
    '"keyLengths[0]" expected an integer from 0 to 5 (length of "memory"), got 6',
    ask(query, { keyLengths: [6, 5] }),
  ],
  [
    "a mask of another tk",
    RangeError,
    '"mask.dims[0]" expected 1 or 5 (tk of "key"), got 4',
    ask(query, { mask: { data: new Uint8Array(4), dims: [4] } }),
  ],
  ["an unknown option", TypeError, '"options.type" expected a known option', ask(query, { type: "int8" })],
];

const changes: Wrong[] = [
  [
    "append: another d",
    RangeError,
    '"key.dims[3]" expected 8 (d of "memory"), got 9',
    append(tensor([2, 2, 1, 9]), tensor([2, 2, 1, 6])),
  ],
  [
    "append: another dv",
    RangeError,
    '"value.dims[3]" expected 6 (dv of "memory"), got 8',
    append(tensor([2, 2, 1, 8]), tensor([2, 2, 1, 8])),
  ],
  [
    "append: other heads",
    RangeError,
    '"key.dims[1]" expected 2 (kvHeads of "memory"), got 1',
    append(tensor([2, 1, 1, 8]), tensor([2, 1, 1, 6])),
  ],
  [
    "append: another batch",
    RangeError,
    '"key.dims[0]" expected 1 or 2 (batch), got 3',
    append(tensor([3, 2, 1, 8]), tensor([2, 2, 1, 6])),
  ],
  [
    "append: more values than keys",
    RangeError,
    '"value.dims[2]" expected 1 (tk of "key"), got 2',
    append(tensor([2, 2, 1, 8]), tensor([2, 2, 2, 6])),
  ],
  [
    "append: another rank",
    RangeError,
    '"key.dims" expected [batch, kvHeads, tk, d]',
    append(tensor([2, 1, 8]), tensor([2, 1, 6])),
  ],
  ["append: no tensor", TypeError, '"value" expected a tensor { data, dims }, got undefined', append(key)],
  [
    "append: integers",
    TypeError,
    '"key.data" expected a Float32Array',
    append({ data: new Int8Array(32), dims: [2, 2, 1, 8] }, value),
  ],
  [
    "truncate: more than there is",
    RangeError,
    '"length" expected an integer from 0 to 5, got 6',
    (memory) => memory.truncate(6),
  ],
  [
    "truncate: a fraction",
    RangeError,
    '"length" expected an integer from 0 to 5, got 1.5',
    (memory) => memory.truncate(1.5),
  ],
  [
    "truncate: no number",
    TypeError,
    '"length" expected an integer from 0 to 5, got "3"',
    (memory) => memory.truncate("3" as never),
  ],
  [
    "evict: an end behind the last",
    RangeError,
    '"end" expected an integer from 0 to 5, got 6',
    (memory) => memory.evict(1, 6),
  ],
  [
    "evict: a start behind the end",
    RangeError,
    '"start" expected an integer from 0 to 2, got 3',
    (memory) => memory.evict(3, 2),
  ],
  [
    "select: no such entry",
    RangeError,
    '"indices[1]" expected an integer from 0 to 1, got 2',
    (memory) => memory.select([0, 2]),
  ],
  [
    "select: no array",
    TypeError,
    '"indices" expected an array (integers), got 1',
    (memory) => memory.select(1 as never),
  ],
];

describe.each(backends.filter((name, n) => n === 0 || name === "js"))("On %s", (backend) => {
  describe.each([
    ["constructions", constructions],
    ["calls", calls],
    ["changes", changes],
  ])("of wrong %s,", (_, rows) => {
    test.each(rows)("%s is refused and changes nothing", async (_, kind, message, act) => {
      useBackend(backend);
      const memory = new KeyValueMemory(filled([2, 2, 5, 8]), filled([2, 2, 5, 6], 2));
      const before = attentionSync(filled([2, 4, 3, 8]), memory);
      const error = await Promise.resolve(memory)
        .then(act)
        .catch((reason) => reason);
      expect(error).toBeInstanceOf(kind);
      expect((error as Error).message).toContain(message);
      expect(memory.length).toBe(5);
      expect(attentionSync(filled([2, 4, 3, 8]), memory)).toEqual(before);
    });
  });

  test("a memory whose batch the layout cannot show is not selected from twice", () => {
    useBackend(backend);
    const memory = new KeyValueMemory(tensor([5, 8]), tensor([5, 6]));
    expect(memory.select([0]).dims).toEqual([5, 8]);
    expect(() => memory.select([0, 0])).toThrow('"indices.length" expected 1 (no batch), got 2');
  });

  test("rows are not appended behind those that key lengths leave out", () => {
    useBackend(backend);
    const memory = new KeyValueMemory(key, value, { keyLengths: [5, 3] });
    const message = '"keyLengths" expected 5 for every batch entry before rows are appended, got an Int32Array';
    expect(() => memory.append(tensor([2, 2, 1, 8]), tensor([2, 2, 1, 6]))).toThrow(new RangeError(message));
  });

  test("a descriptor is claimed once", () => {
    useBackend(backend);
    const memory = new KeyValueMemory(key, value, { keyLengths: [5, 3], type: "int8" });
    const descriptor = memory.share();
    const message = '"descriptor" expected one of share() that has not been claimed, got a claimed or forged one';
    const claimed = KeyValueMemory.from(descriptor);
    expect(claimed).toMatchObject({ length: 5, type: "int8", dims: [2, 2, 5, 8] });
    for (const again of [descriptor, structuredClone(descriptor)]) {
      expect(() => KeyValueMemory.from(again)).toThrow(new RangeError(message));
    }
    KeyValueMemory.from(memory.share())[Symbol.dispose]();
    expect(memory.length).toBe(5);
  });

  test("forged descriptors are refused, and take nothing away", () => {
    useBackend(backend);
    const memory = new KeyValueMemory(key, value);
    const descriptor = memory.share() as unknown as Record<string, unknown>;
    const claim = (forged: unknown) => () => KeyValueMemory.from(forged as MemoryDescriptor);
    const { kind, form } = descriptor as { kind: string; form?: object };
    for (const wrong of [undefined, null, "token", {}, memory, { ...descriptor, kind: "other" }]) {
      expect(claim(wrong)).toThrow('"descriptor" expected what share() gave');
    }
    const forged: object[] = [
      { kind },
      { kind, token: "1" },
      { kind, token: {} },
      { kind, rows: 1, ticket: 2, form: 3 },
    ];
    if (form !== undefined) {
      for (const change of [
        { length: 6 },
        { d: 9 },
        { d: 0 },
        { batch: -1 },
        { type: "constructor" },
        { keyLengths: [9, 9] },
      ]) {
        forged.push({ ...descriptor, form: { ...form, ...change } });
      }
      for (const change of [{ rank: 9 }, { layout: "toString" }, { capacity: 2 ** 40 }, { keyLengths: 7 }]) {
        forged.push({ ...descriptor, form: { ...form, ...change } });
      }
      const rows = new SharedArrayBuffer((descriptor.rows as SharedArrayBuffer).byteLength);
      forged.push({ ...descriptor, rows }, { ...descriptor, rows: new SharedArrayBuffer(0) });
      forged.push(
        { ...descriptor, ticket: new SharedArrayBuffer(4) },
        { ...descriptor, ticket: new SharedArrayBuffer(1) },
      );
    }
    for (const wrong of forged) expect(claim(wrong)).toThrow("got a claimed or forged one");
    expect(claim(descriptor)().length).toBe(5);
  });

  test("a memory is asked for as one, and is no tensor", async () => {
    useBackend(backend);
    const memory = new KeyValueMemory(key, value);
    const untyped = attention as (...given: unknown[]) => Promise<unknown>;
    await expect(untyped(query, key, memory)).rejects.toThrow(
      '"value" expected a tensor { data, dims }, got a KeyValueMemory',
    );
    await expect(untyped(query, memory, null)).rejects.toThrow('"options" expected an object, got null');
    expect(() => explain(query, memory, { softcap: -1 })).toThrow(
      '"softcap" expected a positive finite number, got -1',
    );
  });

  test("accessors cannot take memory away between the check and the copy", () => {
    useBackend(backend);
    const hostile = {
      data: value.data.slice(),
      get dims() {
        structuredClone(first.data.buffer, { transfer: [first.data.buffer as ArrayBuffer] });
        return value.dims;
      },
    };
    const first = tensor([2, 2, 5, 8]);
    expect(() => new KeyValueMemory(first, hostile)).toThrow(
      '"key.data" expected memory that has not been transferred',
    );
  });
});
