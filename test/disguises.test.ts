// Typed arrays that say of themselves what is not so. Native code reads memory, so it must not believe them.
import { describe, expect, test } from "vitest";
import { attention, attentionSync } from "../src/index.js";

const ROWS = 300_000; // so many that what lies behind a short array would not be the process' own
const COLUMNS = 64;

const Resizable = ArrayBuffer as unknown as new (bytes: number, options: { maxByteLength: number }) => ArrayBuffer;

const tensor = (rows: number) => ({ data: new Float32Array(rows * COLUMNS), dims: [rows, COLUMNS] });
const few = tensor(9);

/** An array of a subclass. */
class Liar extends Float32Array {
  override get length() {
    return ROWS * COLUMNS;
  }
}

const disguises: [string, () => Float32Array][] = [
  ["a subclass that tells another length", () => new Liar(COLUMNS)],
  [
    "a length of its own",
    () => Object.defineProperty(new Float32Array(COLUMNS), "length", { value: ROWS * COLUMNS }) as Float32Array,
  ],
];

describe("an array with", () => {
  test.each(disguises)("%s is as long as its memory, as an input and as out", (_, make) => {
    const data = make();
    expect(() => attentionSync({ data, dims: [ROWS, COLUMNS] }, few, few)).toThrow('"query.data.length"');
    expect(() => attentionSync(tensor(ROWS), few, few, { out: data })).toThrow('"out.length"');
    expect(attentionSync({ data, dims: [1, COLUMNS] }, few, few).output.data.length).toBe(COLUMNS);
  });

  test("views of another class gives none of them to a kernel", () => {
    class Four extends Float32Array {
      constructor() {
        super(4);
      }
    }
    class Parent extends Float32Array {
      static get [Symbol.species]() {
        return Four as Float32ArrayConstructor;
      }
    }
    const rows = ROWS / 10;
    const data = new Parent(rows * COLUMNS + 5).fill(1);
    const query = { data, dims: [rows, COLUMNS], strides: [COLUMNS, 1] };
    const { output, lse } = attentionSync(query, { ...few, data: few.data.map(() => 1) }, few, { lse: true });
    expect(output.data.length).toBe(rows * COLUMNS);
    expect(lse.data.at(-1)).toBeCloseTo(lse.data[0]);
  });

  test("a buffer of its own cannot hide a resizable one from an asynchronous call", async () => {
    const buffer = new Resizable(ROWS * 4, { maxByteLength: ROWS * 4 });
    for (const hide of [
      (data: Float32Array) => Object.defineProperty(data, "buffer", { value: new ArrayBuffer(4) }),
      (data: Float32Array) => Object.defineProperty(data.buffer, "resizable", { value: false }) && data,
    ]) {
      const data = new Float32Array(buffer);
      hide(data);
      const query = { data, dims: [ROWS, 1] };
      const one = { data: new Float32Array(9), dims: [9, 1] };
      await expect(attention(query, one, one)).rejects.toThrow('"query.data" expected a buffer of fixed length');
    }
  });
});
