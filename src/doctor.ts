// What `xattn doctor` finds: what would run here, why, and what is wrong.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import os from "node:os";
import { fileURLToPath } from "node:url";
import { backends, useBackend } from "./backend.js";
import { loadError, loadedAddon } from "./native.js";
import type { ThreadLimits } from "./native-backend.js";

/** As `xattn doctor --json` prints it. */
export interface Report {
  version: string;
  /** The package's own directory. */
  directory: string;
  /** Such as "linux-x64 (glibc 2.36)". */
  platform: string;
  /** Such as "Node 20.20.2". */
  runtime: string;
  cpu: { model: string; online: number; instructionSets: string[] };
  /** The file that was loaded, null where none was. */
  addon: string | null;
  threads: { count: number; because: string };
  /** Best first; `failure` says what is wrong with the answers, and is null where nothing is. */
  backends: { name: string; failure: string | null }[];
  /** The backend of calls, null where XATTN_BACKEND names none. */
  backend: string | null;
  /** What is wrong and what to do about it, a sentence each. */
  problems: string[];
}

/** Whether the machine is well is for the reader of `problems` to say: this does not throw. */
export function examine(): Report {
  const directory = fileURLToPath(new URL("..", import.meta.url));
  const { version, engines } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  const addon = loadedAddon();
  const report: Report = {
    version,
    directory,
    platform: `${process.platform}-${process.arch}${libc()}`,
    runtime: runtime(),
    cpu: {
      model: os.cpus()[0]?.model.trim() ?? "unknown",
      online: os.cpus().length,
      instructionSets: backends.filter((name) => name !== "js" && name !== "scalar"),
    },
    addon: addon?.file ?? null,
    threads: threads(addon),
    backends: backends.map((name) => ({ name, failure: checkBackend(name) })),
    backend: null,
    problems: [],
  };
  const failure = loadError();
  if (failure !== undefined) report.problems.push(failure.message);
  if (isOlder(process.versions.node, engines.node.replace(">=", "")))
    report.problems.push(`this is Node ${process.versions.node}; install ${engines.node}`);
  chooseBackend(report);
  checkThreadsWanted(report, addon?.limits);
  checkAnswers(report);
  return report;
}

function libc(): string {
  if (process.platform !== "linux") return "";
  const { header } = (process.report?.getReport() ?? {}) as { header?: { glibcVersionRuntime?: string } };
  return header?.glibcVersionRuntime === undefined ? " (no glibc)" : ` (glibc ${header.glibcVersionRuntime})`;
}

function runtime(): string {
  const { bun, deno, electron, node } = process.versions;
  if (bun !== undefined) return `Bun ${bun}`;
  if (deno !== undefined) return `Deno ${deno}`;
  return electron === undefined ? `Node ${node}` : `Electron ${electron}`;
}

/** Compares "20.19" and "20.20.2" by their numbers. */
function isOlder(version: string, least: string): boolean {
  return version.localeCompare(least, "en", { numeric: true }) < 0;
}

function threads(addon: { threads: number; limits: ThreadLimits } | undefined): Report["threads"] {
  if (addon === undefined) return { count: 1, because: 'the "js" backend runs on the caller\'s thread' };
  const { threads: count, limits } = addon;
  if (limits.wanted > 0) return { count, because: "XATTN_NUM_THREADS" };
  const online = os.cpus().length;
  if (limits.quota < limits.allowed) return { count, because: `a container's quota of ${limits.quota} CPUs (cpu.max)` };
  if (limits.allowed < online) return { count, because: `CPUs that the process may run on, of ${online}` };
  return { count, because: "one for every CPU" };
}

/** What is wrong with a backend's answers. */
function checkBackend(name: string): string | null {
  const script = fileURLToPath(new URL("./self-check.js", import.meta.url));
  const { status, signal, stdout, error } = spawnSync(process.execPath, [script], {
    env: { ...process.env, XATTN_BACKEND: name },
    encoding: "utf8",
    timeout: 60_000,
    stdio: ["ignore", "pipe", "ignore"],
  });
  if (status === 0) return null;
  return stdout?.trim() || (error?.message ?? `the process ended with ${signal ?? `exit code ${status}`}`);
}

function chooseBackend(report: Report): void {
  const name = process.env.XATTN_BACKEND || backends[0];
  try {
    useBackend(name);
    report.backend = name;
  } catch (error) {
    report.problems.push(`${(error as Error).message}; every call throws: unset it, or set it to one of these`);
  }
}

function checkThreadsWanted(report: Report, limits: ThreadLimits | undefined): void {
  const wanted = process.env.XATTN_NUM_THREADS;
  if (!wanted || limits === undefined || limits.wanted > 0) return;
  report.problems.push(
    `XATTN_NUM_THREADS is "${wanted}" and ignored; unset it, or set it to an integer from 1 to 1024`,
  );
}

function checkAnswers(report: Report): void {
  const right = report.backends.find(({ failure }) => failure === null);
  for (const { name, failure } of report.backends) {
    if (failure === null) continue;
    const remedy = right === undefined ? "" : `set XATTN_BACKEND=${right.name}, and `;
    report.problems.push(`"${name}" fails its self-check (${failure}); ${remedy}report it with all that is above`);
  }
}
