import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { attentionSync } from "../src/index.js";
import { readSafetensors, type StoredTensor, writeSafetensors } from "../src/safetensors.js";
import { bytesOf } from "./compare.js";

fc.configureGlobal({ seed: 1, numRuns: 300 });

const folder = mkdtempSync(join(tmpdir(), "xattn-safetensors-"));
const path = join(folder, "tensors.safetensors");
afterAll(() => rmSync(folder, { recursive: true }));

/** A file as the format's page describes it, from any header, right or wrong. */
function file(header: string | object, data: Uint8Array = new Uint8Array(0), length?: number | bigint): Uint8Array {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(length ?? json.length));
  return Buffer.concat([prefix, json, data]);
}

const entry = (dtype: string, shape: unknown, ...data_offsets: unknown[]) => ({ dtype, shape, data_offsets });

// Every type of the format: bits of an element, and the class and type under which it is read.
const halves = "Float16Array" in globalThis ? "Float16Array" : "Uint16Array";
const TYPES: [dtype: string, bits: number, className: string, type: string][] = [
  ["F64", 64, "Float64Array", "float64"],
  ["I64", 64, "BigInt64Array", "int64"],
  ["U64", 64, "BigUint64Array", "uint64"],
  ["C64", 64, "Uint8Array", "C64"],
  ["F32", 32, "Float32Array", "float32"],
  ["I32", 32, "Int32Array", "int32"],
  ["U32", 32, "Uint32Array", "uint32"],
  ["F16", 16, halves, "float16"],
  ["BF16", 16, "Uint16Array", "bfloat16"],
  ["I16", 16, "Int16Array", "int16"],
  ["U16", 16, "Uint16Array", "uint16"],
  ["I8", 8, "Int8Array", "int8"],
  ["U8", 8, "Uint8Array", "uint8"],
  ["BOOL", 8, "Uint8Array", "bool"],
  ["F8_E4M3", 8, "Uint8Array", "F8_E4M3"],
  ["F8_E5M2", 8, "Uint8Array", "F8_E5M2"],
  ["F8_E8M0", 8, "Uint8Array", "F8_E8M0"],
  ["F8_E4M3FNUZ", 8, "Uint8Array", "F8_E4M3FNUZ"],
  ["F8_E5M2FNUZ", 8, "Uint8Array", "F8_E5M2FNUZ"],
  ["F6_E2M3", 6, "Uint8Array", "F6_E2M3"],
  ["F6_E3M2", 6, "Uint8Array", "F6_E3M2"],
  ["F4", 4, "Uint8Array", "F4"],
];

describe("reading", () => {
  test.each(TYPES)("%s of %i bits comes as a %s of type %s", async (dtype, bits, className, type) => {
    const data = Uint8Array.from({ length: bits }, (_, i) => i + 1); // 8 elements
    const tensors = await readSafetensors(file({ w: entry(dtype, [2, 4], 0, bits) }, data));
    const { data: read, dims, type: got } = tensors.get("w") as StoredTensor;
    expect([read.constructor.name, got, dims]).toEqual([className, type, [2, 4]]);
    expect(bytesOf(read as Uint8Array).equals(data)).toBe(true);
  });

  test.each([
    ["a Buffer", (bytes: Uint8Array) => bytes],
    ["an ArrayBuffer", (bytes: Uint8Array) => new Uint8Array(bytes).buffer],
    ["a SharedArrayBuffer", shared],
  ])("tensors are views into %s", async (_, convert) => {
    const given = convert(file({ w: entry("U8", [3], 0, 3) }, Uint8Array.of(1, 2, 3)));
    const { data } = (await readSafetensors(given)).get("w") as StoredTensor;
    const memory = given instanceof Uint8Array ? given : new Uint8Array(given);
    memory[memory.length - 1] = 77;
    expect([...(data as Uint8Array)]).toEqual([1, 2, 77]);
  });

  test("a tensor that begins at no multiple of its element's size is right all the same", async () => {
    const header = { a: entry("U8", [1], 0, 1), b: entry("F32", [2], 1, 9) };
    const bytes = file(header, Buffer.concat([Buffer.of(9), bytesOf(Float32Array.of(1.5, -2))]));
    writeFileSync(path, bytes);
    for (const source of [bytes, path]) {
      expect((await readSafetensors(source)).get("b")?.data).toEqual(Float32Array.of(1.5, -2));
    }
  });

  test("an empty file of tensors has none, and its metadata", async () => {
    const tensors = await readSafetensors(file({ __metadata__: { format: "pt" } }));
    expect(tensors.size).toBe(0);
    expect(tensors.metadata).toEqual({ format: "pt" });
  });

  test("a tensor passes to attention() as it is", async () => {
    await writeSafetensors(path, { x: { data: Float32Array.of(1, 2, 3, 4), dims: [2, 2] } });
    const x = (await readSafetensors(path)).get("x") as StoredTensor;
    expect(attentionSync(x, x, x).output.dims).toEqual([2, 2]);
  });
});

function shared(bytes: Uint8Array): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(bytes.length);
  new Uint8Array(buffer).set(bytes);
  return buffer;
}

const two = (second: object) => ({ a: entry("U8", [4], 0, 4), "b.c": second });
const MALFORMED: [what: string, bytes: Uint8Array, message: string][] = [
  ["nothing", new Uint8Array(0), '"file.length" expected at least 8 (bytes of the header\'s length), got 0'],
  ["half a length", new Uint8Array(7), '"file.length" expected at least 8 (bytes of the header\'s length), got 7'],
  [
    "a truncated header",
    file("{}", undefined, 3),
    '"header.length" expected at most 2 (the file has 10 bytes), got 3n',
  ],
  [
    "a huge header length",
    file("{}", undefined, 2n ** 64n - 1n),
    '"header.length" expected at most 2 (the file has 10 bytes), got 18446744073709551615n',
  ],
  ["no JSON", file("{"), '"header" expected JSON in UTF-8, got'],
  ["no UTF-8", file('"\xff"'.padEnd(8), undefined, 2), '"header" expected JSON in UTF-8, got'],
  ["an array", file("[]"), '"header" expected a JSON object, got []'],
  ["deep nesting", file(`{"w":${"[".repeat(1000)}`), '"header" expected at most 3 levels, got 4'],
  ["equal names", file('{"a.w":{},"a\\u002ew":{}}'), '"a.w" expected one entry of this name, got "another"'],
  [
    "equal fields",
    file('{"w":{"dtype":"U8","dtype":"I8"}}'),
    '"w.dtype" expected one entry of this name, got "another"',
  ],
  ["metadata that are no strings", file({ __metadata__: { n: 1 } }), '"__metadata__.n" expected a string, got 1'],
  ["an entry that is no object", file({ w: [] }), '"w" expected a JSON object, got []'],
  ["an entry without a dtype", file({ w: {} }), '"w.dtype" expected one of "F64", "I64"'],
  ["an unknown dtype", file({ w: entry("Q4", [0], 0, 0) }), 'got "Q4"'],
  ["a negative size", file({ w: entry("U8", [-1], 0, 0) }), '"w.shape[0]" expected a nonnegative integer, got -1'],
  ["half a size", file({ w: entry("U8", [0.5], 0, 0) }), '"w.shape[0]" expected a nonnegative integer, got 0.5'],
  ["no shape", file({ w: entry("U8", "4", 0, 4) }), '"w.shape" expected an array of integers, got "4"'],
  ["one offset", file({ w: entry("U8", [0], 0) }), '"w.data_offsets" expected [start, end] within the 0 bytes'],
  [
    "offsets in the wrong order",
    file({ w: entry("U8", [1], 1, 0) }, new Uint8Array(1)),
    '"w.data_offsets" expected [s',
  ],
  [
    "offsets outside of the file",
    file(two(entry("U8", [4], 4, 8)), new Uint8Array(7)),
    '"b.c.data_offsets" expected [start, end] within the 7 bytes after the header, got [4, 8]',
  ],
  [
    "a size that is not the shape's",
    file(two(entry("F32", [2], 4, 8)), new Uint8Array(8)),
    '"b.c.data_offsets" expected 8 bytes apart (F32 [2]), got [4, 8]',
  ],
  [
    "a shape beyond all ranks",
    file({ w: entry("U8", Array(100).fill(2 ** 52), 0, 8) }, new Uint8Array(8)),
    '"w.shape.length" expected at most 16, got 100',
  ],
  ["half a byte", file({ w: entry("F4", [3], 0, 1) }, new Uint8Array(1)), '"w.data_offsets" expected 1.5 bytes apart'],
  [
    "an overlap",
    file(two(entry("U8", [4], 3, 7)), new Uint8Array(7)),
    '"b.c.data_offsets[0]" expected 4 (end of "a"), got 3',
  ],
  [
    "a gap",
    file(two(entry("U8", [4], 5, 9)), new Uint8Array(9)),
    '"b.c.data_offsets[0]" expected 4 (end of "a"), got 5',
  ],
  [
    "bytes after the last tensor",
    file(two(entry("U8", [4], 4, 8)), new Uint8Array(9)),
    '"file.length" expected nothing after byte 8 (end of "b.c"), got 9',
  ],
];

describe("a malformed file is an error that says where:", () => {
  test.each(MALFORMED)("%s", async (_, bytes, message) => {
    writeFileSync(path, bytes);
    for (const source of [bytes, path]) {
      const error = await readSafetensors(source).then(
        () => undefined,
        (error: Error) => error,
      );
      expect(error).toSatisfy((e) => e instanceof TypeError || e instanceof RangeError);
      expect(error?.message).toContain(message);
    }
  });

  test("an argument of another kind is an error", async () => {
    await expect(readSafetensors(3 as never)).rejects.toThrow('"pathOrBuffer" expected a path');
    await expect(readSafetensors(new Float32Array(3) as never)).rejects.toThrow("got a Float32Array");
    await expect(readSafetensors(join(folder, "missing"))).rejects.toThrow("ENOENT");
  });
});

const names = fc
  .oneof(fc.string({ unit: "grapheme" }), fc.constantFrom("0", "10", "__proto__", "constructor", "a.b", 'q"\\\n', "名"))
  .filter((name) => name !== "__metadata__");
const tensor = fc.tuple(fc.constantFrom(...TYPES), fc.array(fc.nat(4), { maxLength: 4 }), fc.nat()).map(makeTensor);
const tensorsOf = fc.uniqueArray(fc.tuple(names, tensor), { selector: ([name]) => name, maxLength: 6 });

function makeTensor([[, bits, className, type], sizes, seed]: [
  (typeof TYPES)[number],
  number[],
  number,
]): StoredTensor {
  const dims = bits < 8 ? [...sizes, 4] : sizes; // whole bytes
  const bytes = Uint8Array.from({ length: (dims.reduce((a, b) => a * b, 1) * bits) / 8 }, (_, i) => (i + 1) * seed);
  const Class = (globalThis as never)[className] as typeof Uint8Array;
  return { data: new Class(bytes.buffer), dims, type };
}

describe("any tensors", () => {
  test("are read as they were written, from the file and from memory", async () => {
    const metadata = fc.dictionary(fc.string(), fc.string({ unit: "grapheme" }));
    await fc.assert(
      fc.asyncProperty(tensorsOf, metadata, async (list, metadata) => {
        await writeSafetensors(path, new Map(list), { metadata });
        for (const source of [path, readFileSync(path)]) {
          const read = await readSafetensors(source);
          expect(read.metadata).toEqual(metadata);
          expect([...read.keys()].sort()).toEqual(list.map(([name]) => name).sort());
          for (const [name, { data, dims, type }] of list) {
            const got = read.get(name) as StoredTensor;
            expect([got.type, got.dims, got.data.constructor]).toEqual([type, dims, data.constructor]);
            expect(bytesOf(got.data as Uint8Array).equals(bytesOf(data as Uint8Array))).toBe(true);
          }
        }
      }),
    );
  });

  test("are written so that all of them can be views", async () => {
    await fc.assert(
      fc.asyncProperty(tensorsOf, async (list) => {
        await writeSafetensors(path, Object.fromEntries(list));
        const { buffer } = new Uint8Array(readFileSync(path));
        for (const { data } of (await readSafetensors(buffer)).values()) expect(data.buffer).toBe(buffer);
      }),
    );
  });
});

describe("fuzzed files", () => {
  /** Either refused with a message, or every tensor has the length that its dims say, inside of the bytes. */
  async function expectSound(bytes: Uint8Array): Promise<"read" | "refused"> {
    try {
      for (const { data, dims, type } of (await readSafetensors(bytes)).values()) {
        const bits = TYPES.find((known) => known[3] === type)?.[1] as number;
        expect(data.byteLength * 8).toBe(dims.reduce((a, b) => a * b, 1) * bits);
      }
      return "read";
    } catch (error) {
      expect((error as Error).message).toMatch(/^".*" expected .*, got /s);
      return "refused";
    }
  }

  const change = fc.record({ at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }) });

  test("with bytes changed or cut off are refused or sound", async () => {
    const outcomes = new Set<string>();
    await fc.assert(
      fc.asyncProperty(tensorsOf, fc.array(change, { maxLength: 4 }), fc.nat(3), async (list, changes, cut) => {
        await writeSafetensors(path, new Map(list));
        const bytes = new Uint8Array(readFileSync(path));
        for (const { at, byte } of changes) bytes[at % bytes.length] = byte;
        outcomes.add(await expectSound(bytes.subarray(0, bytes.length - cut)));
      }),
      { numRuns: 2000 },
    );
    expect(outcomes).toEqual(new Set(["read", "refused"]));
  });

  test("with any JSON for a header are refused or sound", async () => {
    const number = fc.oneof(fc.nat(9), fc.integer(), fc.double(), fc.maxSafeInteger());
    const numbers = fc.array(number, { maxLength: 3 });
    const dtype = fc.constantFrom(...TYPES.map(([dtype]) => dtype));
    const entries = fc.dictionary(
      names,
      fc.record({ dtype, shape: numbers, data_offsets: numbers }, { requiredKeys: [] }),
    );
    const headers = fc.oneof(entries, fc.jsonValue());
    await fc.assert(
      fc.asyncProperty(headers, fc.nat(40), async (header, length) => {
        await expectSound(file(JSON.stringify(header), new Uint8Array(length)));
      }),
      { numRuns: 2000 },
    );
  });
});

describe("writing", () => {
  test("takes a type from the array where there is no tag", async () => {
    await writeSafetensors(path, {
      half: { data: new Uint16Array(2), dtype: "bfloat16", shape: [2] },
      plain: { data: new Uint16Array(2), dims: [2] },
      byte: { data: new Uint8Array(2), dims: [2] },
    });
    const types = [...(await readSafetensors(path))].map(([name, { type }]) => [name, type]);
    expect(types).toEqual([
      ["half", "bfloat16"],
      ["plain", "uint16"],
      ["byte", "uint8"],
    ]);
  });

  test("refuses what no file can hold, before it touches the file", async () => {
    writeFileSync(path, "before");
    const wrong: [unknown, string][] = [
      [null, '"tensors" expected a Map or an object of tensors by name, got null'],
      [{ w: 3 }, '"w" expected a tensor { data, dims }, got 3'],
      [{ w: { data: [1], dims: [1] } }, '"w.data" expected a typed array, got [1]'],
      [{ w: { data: new Float32Array(2), dims: [3] } }, '"w.data.length" expected 3 (dims [3]), got 2'],
      [{ w: { data: new Float32Array(2), dims: [-1, -2] } }, '"w.dims[0]" expected a nonnegative integer, got -1'],
      [{ w: { data: new Float32Array(2) } }, '"w.shape" expected an array of integers, got undefined'],
      [{ w: { data: new Float32Array(1), dims: [1], type: "bfloat16" } }, '"w.type" expected "float32"'],
      [{ w: { data: new Float32Array(1), dims: [1], strides: [1] } }, '"w.strides" expected nothing'],
      [{ __metadata__: { data: new Float32Array(1), dims: [1] } }, '"name" expected another name than "__metadata__"'],
    ];
    for (const [tensors, message] of wrong) {
      await expect(writeSafetensors(path, tensors as never)).rejects.toThrow(message);
    }
    const wrongOptions: [unknown, string][] = [
      [{ metadata: { n: 1 } }, '"metadata.n" expected a string, got 1'],
      [{ metadata: null }, '"metadata" expected an object of strings, got null'],
      [{ metdata: {} }, '"options.metdata" expected a known option (did you mean "metadata"?)'],
    ];
    for (const [options, message] of wrongOptions) {
      await expect(writeSafetensors(path, {}, options as never)).rejects.toThrow(message);
    }
    expect(readFileSync(path, "utf8")).toBe("before");
  });
});
