// @ts-check
// One shape in a process of its own: best time, and how far resident memory rose above what inputs and output take.
import { callOf } from "./contender.mjs";
import { makeInputs } from "./inputs.mjs";
import { measure } from "./measure.mjs";

process.once(
  "message",
  async (/** @type {{ shape: import("./shapes.mjs").Shape, seconds: number }} */ { shape, seconds }) => {
    const inputs = makeInputs(shape);
    inputs.out.fill(1); // memory that nobody has written to is not resident yet
    const call = callOf(shape, inputs, {});
    const before = process.memoryUsage.rss();
    call.run();
    const extra = 1024 * process.resourceUsage().maxRSS - before; // maxRSS is in KiB
    const [{ best }] = await measure([call], { seconds, turns: Infinity, turn: 0 });
    process.send?.({ best, extra });
    process.disconnect();
  },
);
