// What an AbortSignal does to native calls.

/**
 * Starts an asynchronous call of the addon; rejects with the signal's reason.
 * @param sweep makes cancelled calls resolve that have not had their turn
 */
export async function watched(
  signal: AbortSignal | undefined,
  sweep: () => void,
  start: (cancel: Int32Array | undefined) => Promise<void>,
): Promise<void> {
  if (signal === undefined) return start(undefined);
  if (signal.aborted) throw signal.reason;
  const watch = watchSignal(signal, sweep);
  try {
    await start(watch.cancel);
  } finally {
    watch.end();
  }
  if (signal.aborted) throw signal.reason;
}

interface Watch {
  readonly cancel: Int32Array;
  calls: number;
  /** To be called by each of the calls. */
  end(): void;
}

const watches = new WeakMap<AbortSignal, Watch>();

// All calls with one signal share a listener and a cell: with more than ten listeners Node warns of a leak.
function watchSignal(signal: AbortSignal, sweep: () => void): Watch {
  const known = watches.get(signal);
  if (known !== undefined) {
    known.calls++;
    return known;
  }
  const cancel = new Int32Array(1);
  const onAbort = () => {
    cancel[0] = 1;
    sweep();
  };
  const watch: Watch = {
    cancel,
    calls: 1,
    end() {
      if (--watch.calls > 0) return;
      signal.removeEventListener("abort", onAbort);
      watches.delete(signal);
    },
  };
  signal.addEventListener("abort", onAbort);
  watches.set(signal, watch);
  return watch;
}
