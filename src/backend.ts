import { fallbackWarning, unknownBackend } from "./errors.js";
import { js } from "./kernel.js";
import { loadError, nativeBackends } from "./native.js";
import type { Backend } from "./problem.js";

const usable: readonly Backend[] = [...nativeBackends(), js];

/**
 * Names of the backends that are usable here, best first, "js" last. The native ones are named by their instruction set.
 * The environment variable XATTN_BACKEND picks one of them; the first call reads it.
 */
export const backends: readonly string[] = Object.freeze(usable.map((backend) => backend.name));

let chosen: Backend | undefined;

/** The backend of all calls. */
export function currentBackend(): Backend {
  chosen ??= fromEnvironment();
  return chosen;
}

/** For tests and benchmarks: the backend of the calls that follow. */
export function useBackend(name: string): void {
  chosen = named(name);
}

function fromEnvironment(): Backend {
  const name = process.env.XATTN_BACKEND;
  if (name) return named(name);
  const failure = loadError();
  if (failure !== undefined) process.emitWarning(fallbackWarning(failure), { code: "XATTN_NO_ADDON" });
  return usable[0];
}

function named(name: string): Backend {
  const found = usable.find((backend) => backend.name === name);
  if (found === undefined) throw unknownBackend(name, backends, loadError());
  return found;
}

/** Why calls run on no faster backend than this one; empty where there is none. */
export function whyNotFaster({ name }: Backend): string[] {
  const reasons: string[] = [];
  const better = backends.slice(0, backends.indexOf(name));
  if (better.length > 0) reasons.push(`"${name}" was asked for (XATTN_BACKEND); faster here: ${better.join(", ")}`);
  const failure = loadError();
  if (failure !== undefined) reasons.push(failure.message);
  return reasons;
}
