// Arrays for what modules hold for a moment: large ones that come and go keep the garbage collector busy, and their pages
// have to be got from the system each time.

const MOST = 16;
const free: Float32Array[] = [];

/** Its content is undefined. */
export function borrow(length: number): Float32Array {
  const at = free.findIndex((array) => array.length === length);
  return at < 0 ? new Float32Array(length) : free.splice(at, 1)[0];
}

/** Of borrow(), or new: nobody else has it. After an error it may be left to the garbage collector. */
export function giveBack(array: Float32Array): void {
  if (free.length === MOST) free.shift();
  free.push(array);
}
