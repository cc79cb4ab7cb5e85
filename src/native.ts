// Loads the addon.
import { createRequire } from "node:module";
import path from "node:path";
import { BLOCK_FIELDS } from "./blocks/native.js";
import { loadFailure, wrongValue } from "./errors.js";
import { type Addon, FIELDS, NativeBackend, type ThreadLimits } from "./native-backend.js";
import type { Memories } from "./native-store.js";
import type { Backend } from "./problem.js";

interface Loaded {
  readonly addon: Addon;
  readonly file: string;
}

/** The addon, or why there is none. */
let loaded: Loaded | Error | undefined;

/** Why there is no addon; undefined where there is one. */
export function loadError(): Error | undefined {
  loaded ??= load();
  return loaded instanceof Error ? loaded : undefined;
}

/** Backends of the addon, best first; none where it cannot be loaded. */
export function nativeBackends(): Backend[] {
  loaded ??= load();
  if (loaded instanceof Error) return [];
  const { addon } = loaded;
  return addon.kernels.map((_, kernel) => new NativeBackend(addon, kernel));
}

/** What was loaded, for `xattn doctor`; undefined where there is no addon. */
export function loadedAddon(): { file: string; threads: number; limits: ThreadLimits } | undefined {
  loaded ??= load();
  if (loaded instanceof Error) return undefined;
  const { threads, limits } = loaded.addon;
  return { file: loaded.file, threads, limits };
}

/** Where native memories are; undefined where there is no addon. */
export function nativeMemories(): Memories | undefined {
  loaded ??= load();
  return loaded instanceof Error ? undefined : loaded.addon.memories;
}

function load(): Loaded | Error {
  try {
    // By name, so that the package is found from a bundle that this module is part of.
    const manifest = createRequire(import.meta.url).resolve("xattn/package.json");
    const require = createRequire(manifest);
    const file = require("node-gyp-build").path(path.dirname(manifest)) as string;
    const addon = require(file) as Addon;
    const fields = [...addon.fields, ...addon.blocks.fields];
    if (String(fields) !== String([...FIELDS, ...BLOCK_FIELDS]))
      throw new Error(`${file} was built from other sources`);
    checkThreads(addon);
    return { addon, file };
  } catch (cause) {
    return loadFailure(cause);
  }
}

function checkThreads({ threads }: Addon): void {
  const wanted = process.env.XATTN_NUM_THREADS;
  if (!wanted || Number(wanted) === threads) return;
  const { message } = wrongValue(
    "XATTN_NUM_THREADS",
    "an integer from 1 to 1024, set before the process starts",
    wanted,
  );
  process.emitWarning(`${message}; it is ignored, and calls use at most ${threads} threads`);
}
