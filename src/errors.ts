// The one place where messages are made. Checks say the name, what they expected and what they got.

/** An argument of the wrong kind: `"mask" expected a tensor { data, dims }, got 3`. */
export function wrongKind(name: string, expected: string, got: unknown): TypeError {
  return new TypeError(message(name, expected, shown(got)));
}

/** An argument of the right kind with a value that cannot be: `"scale" expected a finite number, got NaN`. */
export function wrongValue(name: string, expected: string, got: unknown): RangeError {
  return new RangeError(message(name, expected, shown(got)));
}

/** Names the nearest known option, or all of them where none is near. */
export function unknownOption(got: string, known: readonly string[], group = "options"): TypeError {
  const near = nearest(got, known);
  const hint = near === undefined ? `one of ${quoted(known)}` : `did you mean "${near}"?`;
  return wrongKind(`${group}.${got}`, `a known option (${hint})`, got);
}

/** A tensor that is nobody's: names the nearest name that is, or says how many there are. */
export function unknownName(got: string, known: readonly string[]): TypeError {
  const near = nearest(got, known);
  const hint = near === undefined ? `there are ${known.length}` : `did you mean "${near}"?`;
  return wrongKind(got, `a known name (${hint})`, "an unknown one");
}

export function unknownBackend(got: string, usable: readonly string[], failure: Error | undefined): RangeError {
  const why = failure === undefined ? "" : `; ${failure.message}`;
  return new RangeError(message("XATTN_BACKEND", `one of ${quoted(usable)}`, shown(got)) + why);
}

/** A result that no typed array can hold. */
export function tooLarge(name: string, elements: number): RangeError {
  return new RangeError(message(name, "a size that can be allocated", `${elements} elements`));
}

export function detached(name: string): TypeError {
  return new TypeError(message(name, "memory that has not been transferred", "a detached buffer"));
}

export function resizable(name: string): TypeError {
  return new TypeError(message(name, "a buffer of fixed length in an asynchronous call", "a resizable one"));
}

export function disposed(name: "memory" | "state"): TypeError {
  return new TypeError(message(name, `a ${name} that has not been disposed`, "a disposed one"));
}

/** A descriptor whose memory is not there, or no longer. */
export function notShared(name: string): RangeError {
  return new RangeError(message(name, "one of share() that has not been claimed", "a claimed or forged one"));
}

export function overlapping(name: string, other: string): RangeError {
  return new RangeError(message(name, `memory apart from "${other}"`, "an overlap"));
}

/** Why the addon is not there, and what to do about it. */
export function loadFailure(cause: unknown): Error {
  const { code } = cause as NodeJS.ErrnoException;
  // The package's own files are not where this module runs: it has become part of a bundle.
  const bundled = code === "MODULE_NOT_FOUND" || code === "ERR_INVALID_ARG_VALUE";
  const remedy = bundled
    ? 'install "xattn" where the code runs, and in a bundler mark "xattn" as external'
    : 'to build it, with a C++ compiler and Python installed, run "npx xattn build"';
  const reason = (cause instanceof Error ? cause.message : String(cause)).trim().replace(/\s+/g, " ");
  return new Error(`the native addon could not be loaded (${reason}); ${remedy}`, { cause });
}

/** What process.emitWarning() says, once. */
export function fallbackWarning(failure: Error): string {
  return `xattn uses its "js" backend, which is many times slower: ${failure.message}`;
}

/** `"a", "b"`. */
export function quoted(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(", ");
}

function message(name: string, expected: string, got: string): string {
  return `"${name}" expected ${expected}, got ${got}`;
}

// Long arrays are told by their length, for a message is one line, and so are nested ones, which may hold themselves.
const SHOWN_ENTRIES = 8;

function shown(got: unknown): string {
  if (typeof got === "string") return JSON.stringify(got);
  if (typeof got === "bigint") return `${got}n`;
  if (typeof got === "function") return "a function";
  if (typeof got !== "object" || got === null) return String(got);
  if (Array.isArray(got)) {
    const isLong = got.length > SHOWN_ENTRIES || got.some(Array.isArray);
    return isLong ? `an array of ${got.length}` : `[${got.map(shown).join(", ")}]`;
  }
  const name: unknown = got.constructor?.name;
  if (typeof name !== "string" || name === "" || name === "Object") return "an object";
  return `${"AEIOU".includes(name[0]) ? "an" : "a"} ${name}`;
}

// "attnMask" and "is_causal" hold the name that was meant; other slips are one or two letters away.
function nearest(got: string, known: readonly string[]): string | undefined {
  const lower = got.toLowerCase();
  const held = known.find((name) => name.length > 3 && lower.includes(name.toLowerCase()));
  if (held !== undefined) return held;
  const distances = known.map((name) => distance(lower, name.toLowerCase()));
  const least = Math.min(...distances);
  return least <= Math.min(2, got.length / 3) ? known[distances.indexOf(least)] : undefined;
}

/** Levenshtein's edit distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, row[j] + 1, next[j - 1] + 1));
    }
    row = next;
  }
  return row[b.length];
}
