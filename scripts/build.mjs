// Builds lib/ from the TypeScript, and the addon where a toolchain is at hand. Without one it says in a line what is
// missing and ends well: the library then runs on its `js` backend. What is up to date is left alone.
import { spawnSync } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Runs a development dependency's command with this Node, and shows its output where it fails. */
function run(script, ...args) {
  const command = [path.join(root, "node_modules", script), ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { cwd: root, maxBuffer: 2 ** 26 });
  if (status !== 0) process.stdout.write(Buffer.concat([stdout, stderr]));
  return status === 0;
}

/** Whether one of these commands is there. CXX may hold a command with arguments, so a shell reads them. */
function has(...commands) {
  return commands.some((command) => spawnSync(`${command} --version`, { shell: true, stdio: "ignore" }).status === 0);
}

/** Ways to build the addon, best first, with the tools that each misses here. */
function waysToBuild() {
  const missing = [];
  // Visual Studio's compiler is not on the path: CMake finds it.
  const isWindows = process.platform === "win32";
  if (!isWindows && !has(process.env.CXX || "c++", "g++", "clang++")) missing.push("a C++ compiler");
  if (!isWindows && !has("make", "ninja")) missing.push("make");
  // Headers that came with Node: node-gyp would download them.
  const prefix = path.join(path.dirname(process.execPath), "..");
  const headers = existsSync(path.join(prefix, "include/node/node_api.h")) ? [] : ["Node's headers"];
  return [
    {
      command: ["cmake-js/bin/cmake-js", "compile", "--log-level", "error"],
      missing: has("cmake") ? missing : [...missing, "CMake"],
    },
    {
      command: ["node-gyp/bin/node-gyp.js", "configure", "build", "--loglevel", "error", `--nodedir=${prefix}`],
      missing: [...missing, ...headers, ...(has("python3", "python") ? [] : ["Python"])],
    },
  ];
}

/** What keeps the addon from being built; undefined where it is there. */
function buildAddon() {
  const ways = waysToBuild();
  const way = ways.find(({ missing }) => missing.length === 0);
  if (way === undefined) return `${new Intl.ListFormat("en").format(ways[0].missing)} not found`;
  const build = path.join(root, "build");
  if (!existsSync(path.join(build, "Release/xattn.node")))
    console.log("Building the native addon takes a minute or two.");
  if (run(...way.command)) return undefined;
  // No addon rather than one of other sources.
  rmSync(build, { recursive: true, force: true });
  return `${way.command[0].split("/")[0]} failed, see above`;
}

if (!run("typescript/bin/tsc", "--build")) process.exit(1);
const problem = buildAddon();
if (problem) console.log(`The native addon is not built: ${problem}. Without it, xattn runs on its "js" backend.`);
