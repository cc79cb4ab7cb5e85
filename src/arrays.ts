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

type Getter = (this: unknown) => unknown;

function getterOf(prototype: object, name: PropertyKey): Getter {
  return Object.getOwnPropertyDescriptor(prototype, name)?.get as Getter;
}

const prototype = Object.getPrototypeOf(Uint8Array.prototype);
const tagGetter = getterOf(prototype, Symbol.toStringTag);
const lengthGetter = getterOf(prototype, "length");
const bufferGetter = getterOf(prototype, "buffer");
const byteOffsetGetter = getterOf(prototype, "byteOffset");
const byteLengthGetter = getterOf(prototype, "byteLength");
const resizableGetter = getterOf(ArrayBuffer.prototype, "resizable");
const growableGetter = getterOf(SharedArrayBuffer.prototype, "growable");

// What follows asks the engine: a subclass, or a property of the array itself, may say something else, and native code
// would believe it.

/** Name of a typed array's class, in any realm and past any disguise; undefined for everything else. */
export function arrayClass(data: unknown): unknown {
  return tagGetter.call(data);
}

/** Elements of a typed array. */
export function lengthOf(array: ArrayBufferView): number {
  return lengthGetter.call(array) as number;
}

function bufferOf(array: ArrayBufferView): ArrayBuffer {
  return bufferGetter.call(array) as ArrayBuffer;
}

function isResizable(buffer: ArrayBuffer): unknown {
  try {
    return resizableGetter.call(buffer);
  } catch {
    return growableGetter.call(buffer); // a SharedArrayBuffer
  }
}

/** The first elements, in memory that backends know: a Float16Array's as uint16. */
export function firstOf(array: FloatArray | Uint8Array, length: number): TypedArray {
  const name = arrayClass(array);
  const Class = name === "Float32Array" ? Float32Array : name === "Uint8Array" ? Uint8Array : Uint16Array;
  return new Class(bufferOf(array), byteOffsetGetter.call(array) as number, length);
}

/** The array that backends see; Node 24.0 to 24.9 do not tell an addon the type of a Float16Array. */
export function kernelArray(array: FloatArray | Uint8Array, className: unknown = arrayClass(array)): TypedArray {
  return className === "Float16Array" ? firstOf(array, lengthOf(array)) : (array as TypedArray);
}

/** A new array of zeros, of a class that holds results. */
export function allocate(name: string, className: string, length: number): FloatArray {
  return orTooLarge(name, length, () => {
    if (className === "Float32Array") return new Float32Array(length);
    if (className === "Uint16Array") return new Uint16Array(length);
    const { Float16Array } = globalThis as unknown as { Float16Array: new (length: number) => Float16ArrayLike };
    return new Float16Array(length);
  });
}

/** The same of integers. */
export function allocateIntegers(name: string, length: number): Int32Array {
  return orTooLarge(name, length, () => new Int32Array(length));
}

function orTooLarge<T>(name: string, length: number, make: () => T): T {
  try {
    return make();
  } catch {
    throw tooLarge(name, length);
  }
}

/** Detached arrays have length 0, so only empty ones need this. Constructing over a detached buffer throws. */
export function checkAttached(name: string, data: ArrayBufferView): void {
  try {
    new Uint8Array(bufferOf(data));
  } catch {
    throw detached(name);
  }
}

/** A buffer must not shrink under a call in flight. */
export function checkFixed(name: string, data: ArrayBufferView): void {
  if (isResizable(bufferOf(data))) throw resizable(name);
}

/** Where an array lies: bytes of a buffer. */
export interface Extent {
  buffer: ArrayBuffer;
  start: number;
  end: number;
}

export function extentOf(array: ArrayBufferView): Extent {
  const start = byteOffsetGetter.call(array) as number;
  return { buffer: bufferOf(array), start, end: start + (byteLengthGetter.call(array) as number) };
}

/** Whether writing there changes the array. */
export function overlaps({ buffer, start, end }: Extent, array: ArrayBufferView): boolean {
  if (bufferOf(array) !== buffer) return false;
  const other = extentOf(array);
  return start < other.end && other.start < end;
}
