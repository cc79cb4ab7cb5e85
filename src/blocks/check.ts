// Checks that the building blocks share.
import { arrayClass, checkAttached, extentOf, overlaps } from "../arrays.js";
import { overlapping, tooLarge, wrongKind, wrongValue } from "../errors.js";

/** A Float32Array whose memory is there. */
export function floats(name: string, given: unknown): Float32Array {
  if (arrayClass(given) !== "Float32Array") throw wrongKind(name, "a Float32Array", given);
  const array = given as Float32Array;
  if (array.length === 0) checkAttached(name, array);
  return array;
}

/** A Float32Array of a known length; `why` says where the length comes from. */
export function floatsOf(name: string, given: unknown, length: number, why: string): Float32Array {
  const array = floats(name, given);
  if (array.length !== length) throw wrongValue(`${name}.length`, `${length} (${why})`, array.length);
  return array;
}

/** How many rows of `width` there are. */
export function rowsOf(name: string, x: Float32Array, width: number, why: string): number {
  if (x.length % width !== 0) throw wrongValue(`${name}.length`, `a multiple of ${width} (${why})`, x.length);
  return x.length / width;
}

/** The caller's array for a result, or a new one. */
export function resultOf(out: unknown, length: number, why: string): Float32Array {
  if (out !== undefined) return floatsOf("out", out, length, why);
  try {
    return new Float32Array(length);
  } catch {
    throw tooLarge("output", length);
  }
}

/** The result is written while the input is still read. */
export function checkApart(out: Float32Array, name: string, input: ArrayBufferView): void {
  if (overlaps(extentOf(out), input)) throw overlapping("out", name);
}

/** The result may be the input itself, but not a part of it. */
export function checkSameOrApart(out: Float32Array, name: string, input: Float32Array): void {
  const same = out.buffer === input.buffer && out.byteOffset === input.byteOffset && out.length === input.length;
  if (!same) checkApart(out, name, input);
}
