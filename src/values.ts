// What options may be. Each function gives the value that it is told to expect, or throws an error that names it.
import { arrayClass } from "./arrays.js";
import { unknownOption, wrongKind, wrongValue } from "./errors.js";

export function checkNames(options: object, known: ReadonlySet<string>, group = "options"): void {
  if (typeof options !== "object" || options === null) throw wrongKind(group, "an object", options);
  for (const name in options) {
    if (!known.has(name)) throw unknownOption(name, [...known], group);
  }
}

/** Every option of a group read once: an accessor may answer otherwise the next time, after its answer was checked. */
export function readGroup<Options extends object>(
  options: Options,
  known: ReadonlySet<string>,
  group = "options",
): Options {
  checkNames(options, known, group);
  const read: Partial<Options> = {};
  for (const name in options) read[name] = options[name];
  return read as Options;
}

type Complete<Options, Defaults> = {
  [K in keyof Options]-?: K extends keyof Defaults
    ? Defaults[K] extends undefined
      ? Options[K]
      : Exclude<Options[K], undefined>
    : never;
};

/**
 * Options over their defaults, each read once. `undefined` is the same as leaving an option out; unknown names are errors,
 * and anything but a boolean where the default is one.
 */
export function withDefaults<
  Options extends object,
  const Defaults extends { readonly [K in keyof Options]-?: Options[K] | undefined },
>(options: Options | undefined, defaults: Defaults): Complete<Options, Defaults> {
  const read: Record<string, unknown> = { ...defaults };
  if (options === undefined) return read as Complete<Options, Defaults>;
  if (typeof options !== "object" || options === null) throw wrongKind("options", "an object", options);
  for (const name in options) {
    if (!(name in defaults)) throw unknownOption(name, Object.keys(defaults));
    const given: unknown = options[name];
    if (given === undefined) continue;
    if (typeof read[name] === "boolean" && typeof given !== "boolean") throw wrongKind(name, "a boolean", given);
    read[name] = given;
  }
  return read as Complete<Options, Defaults>;
}

export function flag(name: string, value: boolean | undefined, otherwise: boolean): boolean {
  if (value === undefined || typeof value === "boolean") return value ?? otherwise;
  throw wrongKind(name, "a boolean", value);
}

export function oneOf<T extends string>(name: string, given: T, known: readonly T[]): T {
  if (known.includes(given)) return given;
  const wrong = typeof given === "string" ? wrongValue : wrongKind;
  throw wrong(name, known.map((each) => `"${each}"`).join(" or "), given);
}

export function finite(name: string, given: unknown, least: number): number {
  if (typeof given !== "number") throw wrongKind(name, "a number", given);
  if (!(given >= least && Math.fround(given) < Infinity)) {
    throw wrongValue(name, least === -Infinity ? "a finite number" : `a finite number of at least ${least}`, given);
  }
  return given;
}

/** By what it can do, so that signals of other realms pass. */
export function checkSignal(signal: AbortSignal | undefined): void {
  if (signal === undefined || typeof signal?.throwIfAborted === "function") return;
  throw wrongKind("signal", "an AbortSignal", signal);
}

function listOf(name: string, given: unknown, each: string): ArrayLike<unknown> {
  if (Array.isArray(given) || arrayClass(given) !== undefined) return given as ArrayLike<unknown>;
  throw wrongKind(name, `an array (${each})`, given);
}

export function entries(name: string, given: unknown, length: number, each: string): ArrayLike<unknown> {
  const list = listOf(name, given, each);
  if (list.length !== length) throw wrongValue(`${name}.length`, `${length} (${each})`, list.length);
  return list;
}

/** Distinct indices below `count`, in the order given; all of them where none are given. */
export function indicesOf(name: string, given: unknown, count: number): Int32Array {
  if (given === undefined) return Int32Array.from({ length: count }, (_, i) => i);
  const list = listOf(name, given, "distinct indices");
  if (list.length === 0) throw wrongValue(`${name}.length`, "at least 1", 0);
  const known = new Set<number>();
  for (let i = 0; i < list.length; i++) {
    const index = integer(`${name}[${i}]`, list[i], 0, count - 1);
    if (known.has(index)) throw wrongValue(`${name}[${i}]`, "an index that was not named before", index);
    known.add(index);
  }
  return Int32Array.from(known);
}

export function integer(name: string, given: unknown, low: number, high = Number.MAX_SAFE_INTEGER): number {
  if (Number.isSafeInteger(given) && (given as number) >= low && (given as number) <= high) return given as number;
  const range = high === Number.MAX_SAFE_INTEGER ? `of at least ${low}` : `from ${low} to ${high}`;
  throw wrong(name, `an integer ${range}`, given);
}

/** A copy of a list of integers from `low` to `high`. */
export function integersOf(name: string, given: unknown, low: number, high?: number): number[] {
  return Array.from(listOf(name, given, "integers"), (entry, i) => integer(`${name}[${i}]`, entry, low, high));
}

/** RangeError for a value of the right type, TypeError for another. */
export function wrong(name: string, expected: string, got: unknown, type: "number" | "string" = "number"): Error {
  const right = typeof got === type || (type === "number" && typeof got === "bigint");
  return right ? wrongValue(name, expected, got) : wrongKind(name, expected, got);
}
