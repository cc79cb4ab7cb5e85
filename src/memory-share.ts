// Memories on their way from one thread to another.
import { wrongKind } from "./errors.js";
import { LAYOUTS, type Layout, type LayoutName } from "./layout.js";
import { MemoryRows } from "./memory-rows.js";
import { nativeMemories } from "./native.js";
import { NativeStore } from "./native-store.js";
import { type SharedRows, SharedStore } from "./shared-store.js";

import { ARRAYS, type Form, type Store } from "./store.js";

/** A native memory waits under its token; one of the `js` backend comes along. */
export type Shared = { readonly token: string } | SharedRows;

/** The rows that were shared; undefined where they were claimed before, or never there. */
export function fromShared(shared: Shared): MemoryRows | undefined {
  if ("token" in shared) return fromToken(shared.token);
  const form = checkForm(shared.form);
  const buffers = [shared.rows, shared.ticket].every((buffer) => buffer instanceof SharedArrayBuffer);
  const store = form && buffers ? SharedStore.fromShared({ ...shared, form }) : undefined;
  return store && toRows(store, form as Form);
}

function fromToken(token: string): MemoryRows | undefined {
  const memories = nativeMemories();
  if (memories === undefined) throw wrongKind("descriptor", "one of the js backend (there is no addon here)", token);
  const found = NativeStore.fromToken(memories, String(token));
  return found && toRows(found.store, found.form);
}

function toRows(store: Store, { length, keyLengths, layout, rank }: Form): MemoryRows {
  const lengths = keyLengths && Int32Array.from(keyLengths);
  return new MemoryRows(store, length, lengths, LAYOUTS[layout as LayoutName][rank] as Layout);
}

// A copy of a form that anybody may have made up; undefined where a store cannot be so.
function checkForm(given: unknown): Form | undefined {
  if (typeof given !== "object" || given === null) return undefined;
  const { type, batch, heads, capacity, d, dv, layout, rank, length, keyLengths } = given as Form;
  const isSize = (size: unknown, most = 2 ** 31) =>
    Number.isInteger(size) && (size as number) >= 0 && (size as number) <= most;
  const lengths = keyLengths && Array.from(keyLengths);
  const right =
    Object.hasOwn(ARRAYS, type) &&
    [batch, heads, capacity, d, dv].every((size) => isSize(size)) &&
    d > 0 &&
    isSize(length, capacity) &&
    Object.hasOwn(LAYOUTS, layout) &&
    LAYOUTS[layout as LayoutName][rank] !== undefined &&
    (lengths === undefined || (lengths.length === batch && lengths.every((n) => isSize(n, length))));
  return right ? { type, batch, heads, capacity, d, dv, layout, rank, length, keyLengths: lengths } : undefined;
}
