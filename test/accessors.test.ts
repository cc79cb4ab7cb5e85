import { describe, expect, test } from "vitest";
import { attention, attentionSync } from "../src/index.js";

// Large enough that a kernel reading freed memory would be noticed, were it to start.
const make = () => ({ data: new Float32Array(64 * 1024).fill(0.5), dims: [1, 1024, 64] });
const transfer = (array: Float32Array) => structuredClone(array.buffer, { transfer: [array.buffer as ArrayBuffer] });

describe("accessors among the arguments", () => {
  test.each(["signal", "threads", "scale", "lse"])("cannot take memory away by the option %s", async (name) => {
    for (const form of [attention, async (...args: Parameters<typeof attentionSync>) => attentionSync(...args)]) {
      const query = make();
      const options = Object.defineProperty({}, name, { enumerable: true, get: () => void transfer(query.data) });
      await expect(form(query, make(), make(), options)).rejects.toThrow(/query\.data/);
    }
  });

  test("cannot take memory away while another tensor is read", () => {
    const query = make();
    const value = make();
    const hostile = {
      data: value.data,
      get dims() {
        transfer(query.data);
        return value.dims;
      },
    };
    expect(() => attentionSync(query, make(), hostile)).toThrow('"query.data"');
  });

  test("are asked once, so a number cannot be exchanged after its check", () => {
    const answers = { sinks: [0, Infinity], alibi: [1, -1], keyLengths: [3, -3] };
    for (const [name, [first, ...later]] of Object.entries(answers)) {
      let asked = 0;
      const list = [0];
      Object.defineProperty(list, 0, { get: () => (asked++ === 0 ? first : later[0]) });
      const { output } = attentionSync(make(), make(), make(), { [name]: list });
      expect(output.data.every(Number.isFinite)).toBe(true);
      expect(asked).toBe(1);
    }
  });

  test("are asked once, so strides cannot come or go after their check", () => {
    const firstRow = [0, 0, 1];
    const data = new Float32Array(64 * 1024).fill(1).fill(0, 0, 64);
    for (const [first, later, mean] of [
      [firstRow, undefined, 0] as const,
      [undefined, firstRow, 1023 / 1024] as const,
    ]) {
      let asked = 0;
      const value = {
        data,
        dims: [1, 1024, 64],
        get strides() {
          return asked++ === 0 ? first : later;
        },
      };
      expect(attentionSync(make(), make(), value).output.data[0]).toBeCloseTo(mean, 5);
      expect(asked).toBe(1);
    }
  });

  test("are asked once, so out cannot be exchanged after its check", () => {
    const good = new Float32Array(64 * 1024);
    let asked = 0;
    const options = {
      get out() {
        return asked++ === 0 ? good : new Float32Array(1);
      },
    };
    expect(attentionSync(make(), make(), make(), options).output.data).toBe(good);
    expect(asked).toBe(1);
  });
});
