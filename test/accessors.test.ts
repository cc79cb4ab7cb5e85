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
