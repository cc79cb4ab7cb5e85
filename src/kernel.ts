import { KEYS } from "./block.js";
import { jsBlocks } from "./blocks/js.js";
import type { Backend, Problem } from "./problem.js";
import { Reducer } from "./reduce.js";
import { SharedStore } from "./shared-store.js";
import { atOnce, inSlices } from "./slices.js";
import { maxRows, Tile } from "./tile.js";

/**
 * The backend in plain TypeScript. It runs on the caller's thread; its asynchronous form gives way to the event loop
 * every few milliseconds.
 */
export const js: Backend = {
  name: "js",

  blocks: jsBlocks,

  run(problem) {
    atOnce(blocks(inside(problem)));
  },

  runAsync(problem, signal) {
    return inSlices(blocks(inside(problem)), signal);
  },

  describe(problem) {
    const { size } = plan(problem);
    return { kernel: size === 1 ? "decode" : `tiled ${size}x${KEYS}`, threads: 1, inline: true };
  },

  newStore(sizes) {
    return new SharedStore(sizes);
  },
};

// Memories of native backends are copied, for this call: who has the addon does not need this backend to be fast.
function inside(problem: Problem): Problem {
  return problem.outside === undefined ? problem : { ...problem, ...problem.outside.read() };
}

/** The whole work in small steps: a block of keys for one tile, once for the output and once more for a map. */
function* blocks(p: Problem): Generator<void> {
  const { entries, rows, size } = plan(p);
  const tile = new Tile(p, size);
  const map = p.map && new Reducer(p, p.map);
  for (let batch = 0; batch < p.batch; batch += entries) {
    for (let kvHead = 0; kvHead < p.kvHeads; kvHead++) {
      for (let first = 0; first < rows; first += size) {
        const count = Math.min(size, rows - first);
        tile.begin(batch, kvHead, first, count);
        for (let start = tile.lo; start < tile.hi; start += tile.keys) {
          tile.attend(start, Math.min(tile.keys, tile.hi - start));
          yield;
        }
        for (let r = 0; r < count; r++) tile.finish(r);
        if (map === undefined) continue;
        for (let start = tile.lo; start < tile.hi; start += tile.keys) {
          tile.reduce(map, start, Math.min(tile.keys, tile.hi - start));
          yield;
        }
      }
    }
  }
}

/** How many batch entries share keys and values, how many queries read one key head of theirs, how many make a tile. */
function plan(p: Problem): { entries: number; rows: number; size: number } {
  const entries = p.key.batch === 0 && p.value.batch === 0 ? p.batch : 1;
  const rows = entries * (p.heads / p.kvHeads) * p.tq;
  return { entries, rows, size: Math.min(maxRows(p), rows) };
}
