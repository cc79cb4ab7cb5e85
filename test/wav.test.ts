import { describe, expect, test } from "vitest";
import { readWav, resample } from "../examples/transcribe/wav.mjs";

/** A WAV file of samples between -1 and 1, interleaved. */
function wav(samples: number[], channels: number, rate: number, bits: number, format = 1, extra = 0): Buffer {
  const bytes = bits / 8;
  const data = Buffer.alloc(samples.length * bytes);
  samples.forEach((x, i) => {
    if (format === 3) data.writeFloatLE(x, i * 4);
    else if (bits === 8) data.writeUInt8(Math.round(x * 127) + 128, i);
    else data.writeIntLE(Math.round(x * (2 ** (bits - 1) - 1)), i * bytes, bytes);
  });
  const sound = Buffer.alloc(16);
  sound.writeUInt16LE(format, 0);
  sound.writeUInt16LE(channels, 2);
  sound.writeUInt32LE(rate, 4);
  sound.writeUInt16LE(bits, 14);
  const chunk = (name: string, content: Buffer, length = content.length) => {
    const head = Buffer.alloc(8);
    head.write(name);
    head.writeUInt32LE(length, 4);
    return Buffer.concat([head, content]);
  };
  const odd = chunk("LIST", Buffer.from("x\0"), 1); // chunks begin at even bytes
  const chunks = [chunk("fmt ", sound), odd, chunk("data", data, data.length + extra)];
  return Buffer.concat([Buffer.from("RIFF\0\0\0\0WAVE"), ...chunks]);
}

const wave = [0, 0.5, -0.5, 1, -1, 0.25];

describe("a WAV file", () => {
  test.each([
    [8, 1],
    [16, 1],
    [24, 1],
    [32, 1],
    [32, 3],
  ])("of %i bits in format %i is read", (bits, format) => {
    const { samples, rate } = readWav(wav(wave, 1, 44_100, bits, format));
    expect(rate).toBe(44_100);
    expect(samples).toHaveLength(wave.length);
    for (const [i, x] of wave.entries()) expect(Math.abs(samples[i] - x)).toBeLessThan(2 ** (2 - bits) + 1e-7);
  });

  test("of two channels becomes their mean", () => {
    const { samples } = readWav(wav([1, 0, 0.5, -0.5, -1, -0.5], 2, 8000, 32, 3));
    expect([...samples]).toEqual([0.5, 0, -0.75]);
  });

  test("that promises more data than it has is read to its end", () => {
    expect(readWav(wav(wave, 1, 8000, 16, 1, 1000)).samples).toHaveLength(wave.length);
  });

  test("that is none, or of another format, is an error", () => {
    expect(() => readWav(new Uint8Array(100))).toThrow("not a WAV file");
    expect(() => readWav(wav(wave, 1, 8000, 16, 6))).toThrow("expected PCM or 32-bit float, got format 6 with 16 bits");
    expect(() => readWav(wav(wave, 0, 8000, 16))).toThrow("expected PCM or 32-bit float");
    expect(() => readWav(wav([], 1, 8000, 16).subarray(0, 36))).toThrow("expected data, got none");
  });
});

describe("resampling", () => {
  const tone = (rate: number, hertz: number, seconds = 0.2) =>
    Float32Array.from({ length: rate * seconds }, (_, i) => Math.sin((2 * Math.PI * hertz * i) / rate));

  test.each([8000, 22_050, 44_100, 48_000])("from %i Hz keeps a tone", (rate) => {
    const got = resample(tone(rate, 440), rate, 16_000);
    const wanted = tone(16_000, 440);
    expect(got).toHaveLength(wanted.length);
    for (let i = 200; i < wanted.length - 200; i++) expect(Math.abs(got[i] - wanted[i])).toBeLessThan(0.01);
  });

  test("takes away what the lower rate cannot hold", () => {
    const got = resample(tone(48_000, 12_000), 48_000, 16_000);
    expect(Math.max(...got.subarray(200, -200).map(Math.abs))).toBeLessThan(0.01);
  });

  test("to the same rate changes nothing", () => {
    const samples = tone(16_000, 440);
    expect(resample(samples, 16_000, 16_000)).toBe(samples);
  });
});
