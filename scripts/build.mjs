// Builds lib/ from the TypeScript, and the addon where a toolchain is at hand. Without one it says in a line what is
// missing and ends well: the library then runs on its `js` backend.
import { spawnSync } from "node:child_process";
import { existsSync, rmSync } from "node:fs";

/** Runs a program of this package's dependencies, or of the system; false where it is absent or fails. */
function run(command, args, options = {}) {
  return spawnSync(command, args, { stdio: "inherit", shell: process.platform === "win32", ...options }).status === 0;
}

const has = (command) => run(command, ["--version"], { stdio: "ignore" });

function missingTools() {
  const compilers = process.platform === "win32" ? ["cl"] : [process.env.CXX ?? "c++", "g++", "clang++"];
  const missing = [];
  if (!has("cmake")) missing.push("CMake");
  // CMake finds Visual Studio by itself; the compiler is not on the path there.
  if (process.platform !== "win32" && !compilers.some(has)) missing.push("a C++ compiler");
  if (process.platform !== "win32" && !has("make") && !has("ninja")) missing.push("make");
  return missing;
}

function buildAddon() {
  const missing = missingTools();
  if (missing.length > 0) {
    console.log(`The native addon is not built: ${missing.join(" and ")} not found. xattn runs on its "js" backend.`);
    return;
  }
  const log = run("npx", ["--no-install", "cmake-js", "compile", "--log-level", "error"], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  if (!log) {
    console.log('The native addon did not build (see above). xattn runs on its "js" backend.');
    if (existsSync("build")) rmSync("build", { recursive: true, force: true });
  }
}

if (!run("npx", ["--no-install", "tsc", "-p", "tsconfig.json"])) process.exit(1);
buildAddon();
