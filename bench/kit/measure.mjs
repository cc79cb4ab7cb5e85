// @ts-check
// Contenders take turns in short rounds, so that drift of the machine's speed and neighbours on it meet all of them.
import { setTimeout } from "node:timers/promises";

/**
 * @typedef {object} Contender
 * @property {string} name
 * @property {() => unknown} run a promise is awaited
 * @property {(() => void) | undefined} [prepare] before each round, not timed
 * @property {(() => number) | undefined} [limit] seconds that the same work takes at the machine's limit right now
 *
 * Seconds of one call. `share`: the limit's seconds over the call's, of the best turn; NaN where there is no limit.
 * @typedef {{ name: string, best: number, median: number, share: number, rounds: number }} Timing
 *
 * A contender stops when it has spent so many seconds, or had so many turns, each of `turn` seconds or one round. Every
 * turn begins after `rest` seconds: threads of the one before may go on spinning for a while, on a core of the next.
 * @typedef {{ seconds: number, turns: number, turn: number, rest?: number }} Enough
 *
 * @typedef {{ contender: Contender, calls: number, spent: number, turns: number, times: number[], shares: number[] }} Tally
 */

/** Seconds of a round: long against the clock's 0.1 us, short against the pauses of a busy machine. */
const ROUND = 200e-6;
const WARM_UP = 50e-3;

/**
 * @param {Contender[]} contenders @param {Enough} enough
 * @returns {Promise<Timing[]>} in the order of the contenders
 */
export async function measure(contenders, enough) {
  const tallies = [];
  for (const contender of contenders) tallies.push(await begin(contender, enough));
  for (let cycle = 0; ; cycle++) {
    const open = tallies.filter(({ spent, turns }) => spent < enough.seconds && turns < enough.turns);
    if (open.length === 0) break;
    if (cycle % 2 === 1) open.reverse();
    for (const tally of open) {
      if (enough.rest) await setTimeout(1000 * enough.rest);
      await takeTurn(tally, enough.turn);
    }
  }
  return tallies.map(summary);
}

/** Warms up and chooses how many calls make a round. @param {Contender} contender @param {Enough} enough */
async function begin(contender, enough) {
  /** @type {Tally} */
  const tally = { contender, calls: 1, spent: 0, turns: 0, times: [], shares: [] };
  for (const start = now(); now() - start < Math.min(WARM_UP, enough.seconds); ) {
    const seconds = await timed(tally);
    if (seconds * tally.calls < ROUND) tally.calls *= 2;
  }
  return tally;
}

/** @param {Tally} tally @param {number} seconds */
async function takeTurn(tally, seconds) {
  const { limit } = tally.contender;
  const start = now();
  const before = limit?.() ?? Number.NaN;
  const first = tally.times.length;
  for (const from = now(); tally.times.length === first || now() - from < seconds; )
    tally.times.push(await timed(tally));
  const after = limit?.() ?? Number.NaN;
  // Of two limits the stricter: a pause of the machine within a probe must not flatter the call.
  tally.shares.push(Math.min(before, after) / Math.min(...tally.times.slice(first)));
  tally.turns++;
  tally.spent += now() - start;
}

/** Seconds of one call, the mean of a round's. @param {Tally} tally */
async function timed({ contender, calls }) {
  contender.prepare?.();
  const { run } = contender;
  const start = now();
  for (let i = 0; i < calls; i++) {
    const result = run();
    if (result instanceof Promise) await result;
  }
  return (now() - start) / calls;
}

/** @param {Tally} tally @returns {Timing} */
function summary({ contender, times, shares }) {
  const sorted = times.toSorted((a, b) => a - b);
  return {
    name: contender.name,
    best: sorted[0],
    median: sorted[Math.floor((sorted.length - 1) / 2)],
    share: Math.max(...shares),
    rounds: times.length,
  };
}

function now() {
  return performance.now() / 1000;
}
