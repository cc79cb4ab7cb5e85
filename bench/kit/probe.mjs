// @ts-check
// Compiles the probe when it is first needed. Without a C++ compiler there are no shares, and a line says so.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

/**
 * @typedef {{
 *   peak(backend: string): number,
 *   read(backend: string, keys: Float32Array, values: Float32Array): number,
 * }} Probe GFLOP/s of one core; seconds of one pass over both arrays. NaN for a backend without SIMD.
 */

const require = createRequire(import.meta.url);
const path = (/** @type {string} */ relative) => fileURLToPath(new URL(relative, import.meta.url));

const sources = ["../probe/probe.cc", "../probe/probe-inl.h"].map(path);
const addon = path("../../build/bench/probe.node");

/** @returns {Probe | undefined} */
export function loadProbe() {
  try {
    if (isStale()) compile();
    return require(addon);
  } catch (error) {
    console.error(`No shares of the machine's limits: the probe was not built (${firstLine(error)}).`);
    return undefined;
  }
}

function isStale() {
  const changed = (/** @type {string} */ file) => fs.statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  return changed(addon) < Math.max(...sources.map(changed));
}

function compile() {
  const headers = path("../../node_modules/node-api-headers/include");
  const mac = process.platform === "darwin" ? ["-undefined", "dynamic_lookup"] : [];
  const flags = ["-std=c++17", "-O3", "-shared", "-fPIC", ...mac, "-isystem", headers, "-o", addon];
  fs.mkdirSync(path("../../build/bench"), { recursive: true });
  execFileSync(process.env.CXX ?? "c++", [...flags, sources[0]], { stdio: ["ignore", "ignore", "pipe"] });
}

/** @param {unknown} error */
function firstLine(error) {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0];
}
