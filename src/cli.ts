#!/usr/bin/env node
// The command `xattn`.
import type { Report } from "./doctor.js";

const USAGE = `xattn doctor [--json]   what runs here and why, and what is wrong
xattn build             compiles the native addon where no prebuilt one fits`;

/** Each returns the exit code. Loads its module itself: build must not have loaded an addon. */
const COMMANDS: Record<string, () => Promise<number>> = {
  async doctor() {
    const report = (await import("./doctor.js")).examine();
    console.log(options.has("--json") ? JSON.stringify(report, null, 2) : inWords(report));
    return report.problems.length > 0 ? 1 : 0;
  },
  async build() {
    const failure = await (await import("./build.js")).buildAddon();
    console.log(failure ?? "Built. xattn doctor says what runs now.");
    return failure === undefined ? 0 : 1;
  },
};

function inWords(report: Report): string {
  const { version, directory, platform, runtime, cpu, addon, threads, backends, backend, problems } = report;
  const lines = [
    `xattn      ${version} in ${directory}`,
    `platform   ${platform}, ${runtime}`,
    `CPU        ${cpu.model}, ${cpu.online} online`,
    `uses       ${cpu.instructionSets.join(", ") || "no special instructions"}`,
    `addon      ${addon ?? "none"}`,
    `threads    ${threads.count}: ${threads.because}`,
    "backends",
    ...backends.map(
      ({ name, failure }) => `  ${name.padEnd(9)}${failure ?? "right"}${name === backend ? ", in use" : ""}`,
    ),
    problems.length > 0 ? "Problems:" : "No problems.",
    ...problems.map((problem) => `- ${problem}`),
  ];
  return lines.join("\n");
}

const [command = "", ...rest] = process.argv.slice(2);
const options = new Set(rest);
if (Object.hasOwn(COMMANDS, command) && rest.every((option) => command === "doctor" && option === "--json")) {
  void COMMANDS[command]().then((code) => {
    process.exitCode = code;
  });
} else {
  console.error(USAGE);
  process.exitCode = 2;
}
