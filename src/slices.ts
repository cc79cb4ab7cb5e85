import { setImmediate } from "node:timers/promises";

// The event loop waits for 8 ms at most: this and one step, mostly of 0.2 ms, of 2 ms where rows are very long.
const SLICE_MS = 5;

/** Does work of small steps to its end. */
export function atOnce(work: Generator<void>): void {
  while (!work.next().done) {}
}

/** The same, but gives way to the event loop every few milliseconds; rejects with the signal's reason. */
export async function inSlices(work: Generator<void>, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  let since = performance.now();
  for (const _ of work) {
    if (performance.now() - since < SLICE_MS) continue;
    await setImmediate();
    signal?.throwIfAborted();
    since = performance.now();
  }
}
