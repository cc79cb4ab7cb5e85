// For the scripts that use the package as its users get it: packs it, and makes projects that install the tarball.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));

/** Gone at the end. */
export const workspace = mkdtempSync(path.join(os.tmpdir(), "xattn-"));
process.on("exit", () => rmSync(workspace, { recursive: true, force: true }));

/** The README's first example, as it stands: prints the best backend and two lists of dims. */
export const example = readFileSync(path.join(root, "README.md"), "utf8").match(/^```js\n(.*?)^```/ms)[1];

/** What the command prints. Throws where it fails, with all that it said. */
export function run(command, args, options = {}) {
  const { status, signal, stdout, stderr, error } = spawnSync(command, args, {
    encoding: "utf8",
    maxBuffer: 2 ** 26,
    timeout: 600_000,
    ...options,
  });
  if (status === 0) return { stdout, stderr };
  const end = error?.message ?? signal ?? `exit code ${status}`;
  throw new Error(`${command} ${args.join(" ")}: ${end}\n${stdout}${stderr}`);
}

/** Variables of the npm that runs this script would reach the npm that it runs. */
export const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^npm_(?!config)/.test(name)),
);

export function npm([command, ...args], options) {
  const quiet = ["--no-audit", "--no-fund"];
  return run("npm", [command, ...quiet, ...args], {
    env: environment,
    shell: process.platform === "win32",
    ...options,
  });
}

let packed;

/** Path of the tarball. */
export function tarball() {
  packed ??= path.join(
    workspace,
    npm(["pack", "--silent", "--pack-destination", workspace], { cwd: root }).stdout.trim(),
  );
  return packed;
}

/** Installs packages from the registry into a folder of their own; returns its node_modules. */
export function tools(name, packages) {
  const folder = emptyProject(name);
  npm(["install", "--silent", "--ignore-scripts", "--force", ...packages], { cwd: folder });
  return path.join(folder, "node_modules");
}

export function emptyProject(name) {
  const folder = path.join(workspace, name.replaceAll(/\W+/g, "-"));
  mkdirSync(folder);
  writeFileSync(path.join(folder, "package.json"), '{ "private": true, "type": "module" }\n');
  writeFileSync(path.join(folder, "example.mjs"), example);
  return folder;
}

/** Name of the npm package that is a Node of this major version for this machine, as an alias. */
export function nodeOf(major, platform = process.platform, arch = process.arch) {
  return `node${major}@npm:node-${platform === "win32" ? "win" : platform}-${arch}@${major}`;
}

/** An empty project with the package and the example. */
export function project(name) {
  const folder = emptyProject(name);
  npm(["install", "--ignore-scripts", tarball()], { cwd: folder });
  return folder;
}

/** The example's output when this backend answers. */
export function answerOf(backend) {
  return `${backend} [ 8, 10, 64 ] [ 8, 10, 77 ]`;
}

export function expectEqual(got, expected) {
  if (got !== expected) throw new Error(`expected ${JSON.stringify(expected)}, got ${JSON.stringify(got)}`);
}

/** Runs a table of name and function, those whose names hold the command's argument, and says how each went. */
export function runTable(rows) {
  const wanted = process.argv[2] ?? "";
  const chosen = Object.entries(rows).filter(([name]) => name.includes(wanted));
  for (const [name, row] of chosen) {
    const start = performance.now();
    try {
      row(name);
      console.log(`ok      ${name} (${Math.round((performance.now() - start) / 1000)} s)`);
    } catch (error) {
      console.log(`FAILED  ${name}: ${error.message}`);
      process.exitCode = 1;
    }
  }
  if (chosen.length === 0) throw new Error(`no row is called "${wanted}": ${Object.keys(rows).join(", ")}`);
}
