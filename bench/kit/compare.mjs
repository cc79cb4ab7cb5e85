// @ts-check
// Calls of one shape on several backends: each checked against the oracle, then all timed in turns.
import { progress } from "./format.mjs";
import { measure } from "./measure.mjs";
import { assertClose, largestError } from "./oracle.mjs";

/**
 * @typedef {import("./contender.mjs").Call} Call
 * @typedef {import("./oracle.mjs").Sample} Sample
 */

/**
 * @param {string} shape @param {Call[]} calls one of each backend @param {Sample[]} samples
 * @param {{ seconds: number, flops: number, mostError?: number }} how
 * @returns rows of results.json but for shape and threads
 */
export async function compare(shape, calls, samples, { seconds, flops, mostError }) {
  const errors = calls.map((call) => {
    progress(`${shape}: checks ${call.backend}`);
    call.prepare?.();
    const error = largestError(samples, call.run());
    assertClose(call.name, error, mostError);
    return error;
  });
  progress(`${shape}: ${calls.map(({ backend }) => backend).join(" and ")} in turns`);
  const timings = await measure(calls, { seconds, turns: Infinity, turn: 0 });
  const js = timings[calls.findIndex(({ backend }) => backend === "js")];
  return timings.map(({ best, median, share, rounds }, at) => ({
    backend: calls[at].backend,
    kernel: calls[at].kernel,
    best,
    median,
    gflops: (1e-9 * flops) / best,
    share,
    overJs: js === undefined ? Number.NaN : js.best / best,
    error: errors[at],
    rounds,
  }));
}
