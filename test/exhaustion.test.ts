// A process that comes to the end of its address space, as under `ulimit -v`, hears so by an error.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { backends } from "../src/index.js";

const MAIN = fileURLToPath(new URL("exhaustion-main.mjs", import.meta.url));

/** Why a process here cannot be limited so. */
function obstacle(): string | undefined {
  if (backends.length === 1) return "the addon is not built";
  if (/[at]san/.test(process.env.LD_PRELOAD ?? "")) return "sanitizers reserve terabytes";
  if (process.platform !== "linux" || spawnSync("prlimit", ["--version"]).status !== 0) return "prlimit is not there";
  return undefined;
}

const reason = obstacle();
if (reason) console.warn(`Skipped: what comes of an exhausted address space, because ${reason}.`);

const NO_OUTPUT = '"output" expected a size that can be allocated, got 256000000 elements';
const NO_WEIGHTS = '"weights" expected a size that can be allocated, got 3600000000 elements';
const NO_SCRATCH = "xattn has no memory for the working space of a call";
const NO_THREAD = "no thread could be started: Resource temporarily unavailable";

describe.skipIf(reason)("Where there is no memory left for", () => {
  test.each([
    ["output", NO_OUTPUT],
    ["output of an asynchronous call", NO_OUTPUT],
    ["weights", NO_WEIGHTS],
    ["scratch", NO_SCRATCH],
    ["scratch of an asynchronous call", NO_SCRATCH],
    ["partials", NO_SCRATCH],
    ["partials of an asynchronous call", NO_SCRATCH],
    ["threads", NO_THREAD],
  ])("the %s, a call says so, and the next one works", (task, message) => {
    const child = spawnSync(process.execPath, [MAIN, task], { encoding: "utf8", timeout: 30_000 });
    expect([child.status, child.signal, child.stderr]).toEqual([0, null, ""]);
    expect(child.stdout.trim().split("\n")).toEqual([message, "works on"]);
  });
});
