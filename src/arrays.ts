// Typed arrays and the buffers behind them.
import { detached, resizable, tooLarge } from "./errors.js";

/** Float16Array, where the runtime has it. */
export type Float16ArrayLike = ArrayBufferView & {
  readonly length: number;
  readonly BYTES_PER_ELEMENT: number;
  [index: number]: number;
};

/** Arrays that hold results. */
export type FloatArray = Float32Array | Uint16Array | Float16ArrayLike;

/** What backends read and write. A Float16Array reaches them as a Uint16Array over the same memory. */
export type TypedArray = Float32Array | Uint16Array | Uint8Array | Int8Array | Int32Array;

const prototype = Object.getPrototypeOf(Uint8Array.prototype);
const tagGetter = Object.getOwnPropertyDescriptor(prototype, Symbol.toStringTag)?.get as (this: unknown) => unknown;

/** Name of a typed array's class, in any realm and past any disguise; undefined for everything else. */
export function arrayClass(data: unknown): unknown {
  return tagGetter.call(data);
}

/** A new array of zeros, of a class that holds results. */
export function allocate(name: string, className: string, length: number): FloatArray {
  try {
    if (className === "Float32Array") return new Float32Array(length);
    if (className === "Uint16Array") return new Uint16Array(length);
    const { Float16Array } = globalThis as unknown as { Float16Array: new (length: number) => Float16ArrayLike };
    return new Float16Array(length);
  } catch {
    throw tooLarge(name, length);
  }
}

/** Detached arrays have length 0, so only empty ones need this. Constructing over a detached buffer throws. */
export function checkAttached(name: string, data: ArrayBufferView): void {
  try {
    new Uint8Array(data.buffer);
  } catch {
    throw detached(name);
  }
}

/** A buffer must not shrink under a call in flight. */
export function checkFixed(name: string, data: ArrayBufferView): void {
  const buffer = data.buffer as { resizable?: boolean; growable?: boolean };
  if (buffer.resizable || buffer.growable) throw resizable(name);
}

/** Whether writing one changes the other. */
export function overlap(a: ArrayBufferView, b: ArrayBufferView): boolean {
  if (a.buffer !== b.buffer) return false;
  return a.byteOffset < b.byteOffset + b.byteLength && b.byteOffset < a.byteOffset + a.byteLength;
}

/** The array that backends see; Node 24.0 to 24.9 do not tell an addon the type of a Float16Array. */
export function kernelArray(data: FloatArray | Uint8Array): TypedArray {
  return arrayClass(data) === "Float16Array"
    ? new Uint16Array(data.buffer, data.byteOffset, data.length)
    : (data as TypedArray);
}
