import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { backends } from "../src/index.js";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** The built command, as users run it; elsewhere than here with another `root`. */
function xattn(args: string[], env: NodeJS.ProcessEnv = {}, root = ROOT, user: { uid?: number } = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [path.join(root, "lib/cli.js"), ...args], {
    env: { ...process.env, XATTN_BACKEND: "", XATTN_NUM_THREADS: "", ...env },
    encoding: "utf8",
    timeout: 50_000,
    ...user,
  });
  return { status, stdout, stderr };
}

function doctor(env?: NodeJS.ProcessEnv, root?: string) {
  const { status, stdout } = xattn(["doctor", "--json"], env, root);
  return { status, report: JSON.parse(stdout) };
}

/** The package without an addon, to be changed. */
function copyOfPackage(): string {
  const root = mkdtempSync(path.join(os.tmpdir(), "xattn-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  cpSync(path.join(ROOT, "lib"), path.join(root, "lib"), { recursive: true });
  cpSync(path.join(ROOT, "package.json"), path.join(root, "package.json"));
  cpSync(path.join(ROOT, "node_modules/node-gyp-build"), path.join(root, "node_modules/node-gyp-build"), {
    recursive: true,
  });
  return root;
}

test("doctor finds nothing wrong here, and every backend right", () => {
  const { status, report } = doctor();
  expect(report).toMatchObject({
    version: JSON.parse(readFileSync(path.join(ROOT, "package.json"), "utf8")).version,
    runtime: `Node ${process.versions.node}`,
    backends: backends.map((name) => ({ name, failure: null })),
  });
  if (backends.length === 1) return console.warn("Skipped: what the addon says of itself, because it is not built.");
  expect(report).toMatchObject({ backend: backends[0], problems: [] });
  expect(existsSync(report.addon)).toBe(true);
  expect(status).toBe(0);
});

test("doctor says the same in words", () => {
  const { stdout } = xattn(["doctor"]);
  expect(stdout).toMatch(/^xattn {6}\d+\.\d+\.\d+ in /);
  for (const name of backends) expect(stdout).toMatch(new RegExp(`^ {2}${name} +right`, "m"));
});

test.runIf(backends.length > 1)("doctor says why there are as many threads", () => {
  expect(doctor({ XATTN_NUM_THREADS: "3" }).report.threads).toEqual({ count: 3, because: "XATTN_NUM_THREADS" });
  const { count, because } = doctor().report.threads;
  expect(because).toMatch(count === os.cpus().length ? /^one for every CPU$/ : /quota|may run on/);
});

test.runIf(backends.length > 1)("doctor names environment variables that cannot be, and goes on", () => {
  const { status, report } = doctor({ XATTN_BACKEND: "neno", XATTN_NUM_THREADS: "many" });
  expect(status).toBe(1);
  expect(report.backend).toBe(null);
  expect(report.backends).toHaveLength(backends.length);
  expect(report.problems).toEqual([
    expect.stringContaining('"XATTN_BACKEND" expected one of'),
    expect.stringContaining('XATTN_NUM_THREADS is "many" and ignored'),
  ]);
});

test("doctor says why there is no addon, and the remedy", () => {
  const { status, report } = doctor({}, copyOfPackage());
  expect(status).toBe(1);
  expect(report).toMatchObject({ addon: null, backend: "js", backends: [{ name: "js", failure: null }] });
  expect(report.threads.count).toBe(1);
  expect(report.problems).toEqual([expect.stringMatching(/No native build was found.*run "npx xattn build"$/)]);
});

test("doctor finds wrong answers and a process that crashes", () => {
  const root = copyOfPackage();
  const kernel = path.join(root, "lib/softmax.js");
  const right = readFileSync(kernel, "utf8");
  const wrong = right.replace("exp(s[i] - m)", "exp(0.999 * (s[i] - m))");
  expect(wrong).not.toBe(right);
  writeFileSync(kernel, wrong);
  expect(doctor({}, root).report.backends[0].failure).toMatch(/expected .*, got /);
  writeFileSync(kernel, `if (process.argv[1].includes("self-check")) process.abort();\n${right}`);
  const { report } = doctor({}, root);
  expect(report.backends).toEqual([{ name: "js", failure: "the process ended with SIGABRT" }]);
  expect(report.problems[1]).toContain('"js" fails its self-check');
});

test.skipIf(process.platform === "win32")("build refuses a directory that cannot be written to", () => {
  const root = copyOfPackage();
  chmodSync(root, 0o555);
  const nobody = process.getuid?.() === 0 ? { uid: 65534 } : {}; // root may write anywhere
  const { status, stdout } = xattn(["build"], {}, root, nobody);
  expect(stdout).toContain(`${root}${path.sep} cannot be written to`);
  expect(status).toBe(1);
  chmodSync(root, 0o755);
});

test("build without node-gyp says how to get it", () => {
  const { status, stdout } = xattn(["build"], { npm_config_node_gyp: undefined }, copyOfPackage());
  expect(status).toBe(1);
  expect(stdout).toContain('run this as "npx xattn build"');
});

test.each([[[]], [["doctro"]], [["build", "--json"]], [["doctor", "--jsno"]]])(
  "%j is answered with the usage",
  (args) => {
    const { status, stderr } = xattn(args);
    expect(status).toBe(2);
    expect(stderr).toContain("xattn doctor [--json]");
  },
);
