import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

/** Sources that are loaded with "xattn": everything that index.ts imports, and what that imports. */
function loadedSources(): Map<string, string> {
  const sources = new Map<string, string>();
  const root = new URL("../src/", import.meta.url);
  const open = [new URL("index.ts", root)];
  for (const file of open) {
    const name = file.href.slice(root.href.length);
    if (sources.has(name)) continue;
    const text = readFileSync(file, "utf8");
    sources.set(name, text);
    for (const [, imported] of text.matchAll(/from "(\..*?)\.js"/g)) open.push(new URL(`${imported}.ts`, file));
  }
  return sources;
}

test("at run time the library has no use of files, processes, the network or dynamic code", () => {
  const sources = loadedSources();
  expect([...sources.keys()]).toContain("native.ts");
  const text = [...sources.values()].join("\n");
  const modules = new Set(Array.from(text.matchAll(/^(?:import|\}) .*?from "([^."].*?)"/gm), ([, module]) => module));
  expect([...modules].sort()).toEqual(["node:crypto", "node:module", "node:path", "node:timers/promises"]);
  expect(text).not.toMatch(/\beval\(|\bFunction\(|\bfetch\(|\bimport\(|getBuiltinModule|WebAssembly/);
  const required = Array.from(text.matchAll(/\brequire\((.*?)\)/g), ([, name]) => name);
  expect(required).toEqual(['"node-gyp-build"', "file"]);
});
