// @ts-check
// Where the time of a model goes: in linear layers (convolutions are), attention, other kernels, or between them.
import { currentBackend } from "../../lib/backend.js";

/** @typedef {"linear" | "attention" | "other kernels"} Kind */

/** @type {Record<string, Kind>} */
const KINDS = {
  linear: "linear",
  linearAsync: "linear",
  norm: "other kernels",
  embedding: "other kernels",
  rotary: "other kernels",
};

/** Seconds in each kind of kernel while a function runs, and in all. @param {() => Promise<unknown>} run */
export async function timeKinds(run) {
  const backend = currentBackend();
  const spent = { linear: 0, attention: 0, "other kernels": 0 };
  const restore = [
    ...["run", "runAsync"].map((name) => timed(backend, name, "attention", spent)),
    ...Object.entries(KINDS).map(([name, kind]) => timed(backend.blocks, name, kind, spent)),
  ];
  const start = performance.now();
  await run();
  const all = (performance.now() - start) / 1000;
  for (const each of restore) each();
  return { ...spent, rest: all - spent.linear - spent.attention - spent["other kernels"], all };
}

/** @param {any} owner @param {string} name @param {Kind} kind @param {Record<Kind, number>} spent */
function timed(owner, name, kind, spent) {
  const method = owner[name];
  const isOwn = Object.hasOwn(owner, name);
  owner[name] = (/** @type {unknown[]} */ ...given) => {
    const start = performance.now();
    const end = () => {
      spent[kind] += (performance.now() - start) / 1000;
    };
    const result = method.apply(owner, given);
    if (result instanceof Promise) return result.finally(end);
    end();
    return result;
  };
  return () => {
    if (isOwn) owner[name] = method;
    else delete owner[name];
  };
}
