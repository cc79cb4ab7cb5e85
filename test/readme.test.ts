import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const sections = readFileSync(new URL("../README.md", import.meta.url), "utf8").split(/^#+ /m);
const examples = sections.flatMap((section) =>
  Array.from(section.matchAll(/^```js\n(.*?)^```/gms), ([, code]) => [section.split("\n")[0], code] as const),
);

test.each(examples)("the README's example in %s runs, and prints what it says", (_, code) => {
  const args = ["--input-type=module", "--eval", code];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: root,
    encoding: "utf8",
    timeout: 30_000,
  });
  expect([status, stderr]).toEqual([0, ""]);
  const said = Array.from(code.matchAll(/^console\.log\(.*\); \/\/ (.*)$/gm), ([, printed]) => printed);
  expect(said.length).toBeGreaterThan(0);
  // Strings are printed without quotes; the first example names the backend of the author's machine.
  const printed = said.join("\n").replace('"avx512"', stdout.split(" ")[0]);
  expect(stdout.trim()).toBe(printed);
});
