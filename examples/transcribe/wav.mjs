// @ts-check
// WAV files as samples of one channel at one rate.

/**
 * Samples between -1 and 1, channels averaged.
 * @param {Uint8Array} file 8, 16, 24 or 32 bits of PCM, or 32 bits of float
 * @returns {{ samples: Float32Array, rate: number }}
 */
export function readWav(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.length < 12 || tag(file, 0) !== "RIFF" || tag(file, 8) !== "WAVE") throw new TypeError("not a WAV file");
  /** @type {{ format: number, channels: number, rate: number, bits: number } | undefined} */
  let sound;
  for (let at = 12; at + 8 <= file.length; ) {
    const [name, length] = [tag(file, at), view.getUint32(at + 4, true)];
    at += 8;
    if (name === "fmt " && at + 16 <= file.length) sound = readFormat(view, at, length);
    // What streams over a pipe does not know its length.
    if (name === "data" && sound)
      return { samples: mixed(view, at, Math.min(length, file.length - at), sound), rate: sound.rate };
    at += length + (length % 2);
  }
  throw new TypeError(`a WAV file expected ${sound ? "data" : "a format"}, got none`);
}

/** @param {DataView} view @param {number} at @param {number} length */
function readFormat(view, at, length) {
  const [format, channels, rate, bits] = [at, at + 2, at + 4, at + 14].map((place, i) =>
    i === 2 ? view.getUint32(place, true) : view.getUint16(place, true),
  );
  // Extensible: the format stands further on.
  const actual =
    format === 0xfffe && length >= 26 && at + 26 <= view.byteLength ? view.getUint16(at + 24, true) : format;
  if (channels === 0 || rate === 0 || readerOf(actual, bits) === undefined) {
    throw new RangeError(
      `a WAV file expected PCM or 32-bit float, got format ${actual} with ${bits} bits at ${rate} Hz`,
    );
  }
  return { format: actual, channels, rate, bits };
}

/** @param {number} format @param {number} bits @returns {((view: DataView, at: number) => number) | undefined} */
function readerOf(format, bits) {
  if (format === 3 && bits === 32) return (view, at) => view.getFloat32(at, true);
  if (format !== 1) return undefined;
  if (bits === 8) return (view, at) => (view.getUint8(at) - 128) / 128;
  if (bits === 16) return (view, at) => view.getInt16(at, true) / 2 ** 15;
  if (bits === 24) return (view, at) => (view.getInt16(at + 1, true) * 256 + view.getUint8(at)) / 2 ** 23;
  if (bits === 32) return (view, at) => view.getInt32(at, true) / 2 ** 31;
  return undefined;
}

/** @param {DataView} view @param {number} start @param {number} length @param {NonNullable<ReturnType<typeof readFormat>>} sound */
function mixed(view, start, length, { format, channels, bits }) {
  const read = /** @type {NonNullable<ReturnType<typeof readerOf>>} */ (readerOf(format, bits));
  const bytes = bits / 8;
  const samples = new Float32Array(Math.floor(length / (bytes * channels)));
  for (let i = 0, at = start; i < samples.length; i++) {
    let sum = 0;
    for (let channel = 0; channel < channels; channel++, at += bytes) sum += read(view, at);
    samples[i] = sum / channels;
  }
  return samples;
}

/** @param {Uint8Array} file @param {number} at */
function tag(file, at) {
  return String.fromCharCode(...file.subarray(at, at + 4));
}

// Zero crossings of the sinc on either side, of the lower of the two rates.
const CROSSINGS = 16;

/**
 * The same sound at another rate: a sinc under a Hann window, which lets pass what both rates can hold (Smith, "Digital
 * audio resampling", 2002).
 * @param {Float32Array} samples @param {number} from @param {number} to
 */
export function resample(samples, from, to) {
  if (from === to) return samples;
  const cutoff = Math.min(1, to / from);
  const reach = CROSSINGS / cutoff;
  return Float32Array.from({ length: Math.floor((samples.length * to) / from) }, (_, i) => {
    const center = (i * from) / to;
    let sum = 0;
    for (let at = Math.max(0, Math.ceil(center - reach)); at <= Math.min(samples.length - 1, center + reach); at++) {
      const x = (at - center) * cutoff;
      const sinc = x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
      sum += samples[at] * sinc * cutoff * (0.5 + 0.5 * Math.cos((Math.PI * x) / CROSSINGS));
    }
    return sum;
  });
}
