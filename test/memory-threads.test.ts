import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { backends } from "../src/index.js";

const MAIN = fileURLToPath(new URL("memory-main.mjs", import.meta.url));

// Memories outside the JavaScript heap, and those in SharedArrayBuffers.
const KINDS = backends.length > 1 ? [backends[0], "js"] : ["js"];
if (KINDS.length === 1) console.warn("Skipped: what concerns native memories, because the addon is not built.");

/** They keep freed memory. */
const sanitized = /[at]san/.test(process.env.LD_PRELOAD ?? "");

/** What a process of its own prints, and how it ends. */
function runProcess(task: string, backend: string) {
  const child = spawnSync(process.execPath, ["--expose-gc", MAIN, task], {
    env: { ...process.env, XATTN_BACKEND: backend, XATTN_NUM_THREADS: "4" },
    encoding: "utf8",
    timeout: 50_000,
  });
  return { code: child.status, signal: child.signal, output: child.stdout.trim(), errors: child.stderr.trim() };
}

const well = (output: string) => ({ code: 0, signal: null, output, errors: "" });

describe.each(KINDS)("memories of %s", (backend) => {
  test.each(["drop", "dispose", "grow", "share", "terminate"])(
    "leave the process as large as it was after ten thousand rounds of: %s",
    (task) => {
      const { code, output, errors } = runProcess(task, backend);
      expect({ code, errors }).toEqual({ code: 0, errors: "" });
      if (!sanitized) expect(Number(output)).toBeLessThan(48);
    },
  );

  test("are attended to by two threads, each with rows of its own", () => {
    expect(runProcess("both", backend)).toEqual(well("true true 701 true 701"));
  });

  test("are appended to by four threads at once, and each finds its own rows", () => {
    expect(runProcess("race", backend)).toEqual(well("true true true true"));
  });

  test("may be alive, shared and in use when the process exits", () => {
    for (let i = 0; i < 3; i++)
      expect(runProcess("exit", backend)).toMatchObject({ code: 7, signal: null, errors: "" });
  });

  test("keep the process until calls have settled, and no longer", () => {
    expect(runProcess("end", backend)).toEqual(well("settled"));
  });
});
