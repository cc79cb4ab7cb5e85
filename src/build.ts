// What `xattn build` does: compiles the addon from the packaged sources, with the node-gyp that npm carries.
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Builds into build/ of the package. Says what failed and the remedy; undefined where nothing did. */
export async function buildAddon(): Promise<string | undefined> {
  try {
    accessSync(root, constants.W_OK);
  } catch {
    return `${root} cannot be written to; build where it can be, as its owner or before the file system is read-only`;
  }
  const nodeGyp = findNodeGyp();
  if (nodeGyp === undefined) return 'node-gyp was not found; run this as "npx xattn build", or install node-gyp';
  const { status } = spawnSync(process.execPath, [nodeGyp, "rebuild", "--loglevel=warn", ...headers()], {
    cwd: root,
    stdio: "inherit",
  });
  if (status !== 0)
    return "node-gyp failed, see above; it needs Python 3, make and a C++17 compiler (g++, clang, Visual Studio)";
  const { loadError } = await import("./native.js");
  return loadError()?.message;
}

function findNodeGyp(): string | undefined {
  // npm and npx say where theirs is.
  if (process.env.npm_config_node_gyp !== undefined) return process.env.npm_config_node_gyp;
  try {
    return createRequire(path.join(root, "package.json")).resolve("node-gyp/bin/node-gyp.js");
  } catch {
    return undefined;
  }
}

/** Headers that came with this Node; without them node-gyp downloads them. */
function headers(): string[] {
  const prefix = path.join(path.dirname(process.execPath), "..");
  return existsSync(path.join(prefix, "include/node/node_api.h")) ? [`--nodedir=${prefix}`] : [];
}
