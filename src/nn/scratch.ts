// Arrays for what modules hold for a moment: large ones that come and go keep the garbage collector busy, and their pages
// have to be got from the system each time.

/** Bytes and arrays that are kept: an encoder's of half a minute of speech, beside the small ones of a decoder's steps. */
const MOST_BYTES = 32 << 20;
const MOST = 64;
const free: Float32Array[] = [];
let bytes = 0;

/** Its content is undefined. */
export function borrow(length: number): Float32Array {
  let at = free.length - 1; // the last one is still in the caches
  while (at >= 0 && free[at].length !== length) at--;
  if (at < 0) return new Float32Array(length);
  const found = free[at];
  for (; at + 1 < free.length; at++) free[at] = free[at + 1];
  free.pop();
  bytes -= found.byteLength;
  return found;
}

/** Of borrow(), or new: nobody else has it. After an error it may be left to the garbage collector. */
export function giveBack(array: Float32Array): void {
  free.push(array);
  bytes += array.byteLength;
  while (free.length > MOST || bytes > MOST_BYTES) bytes -= (free.shift() as Float32Array).byteLength;
}
