import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));

/** The code blocks of a page, and what they should print: after `//` on the line of a console.log(), or as a text block. */
function readPage(page: string): { code: string; printed: string[] } {
  const code: string[] = [];
  const printed: string[] = [];
  for (const [, language, block] of page.matchAll(/^```(js|text)\n(.*?)^```$/gms)) {
    if (language === "text") printed.push(...block.trimEnd().split("\n"));
    else code.push(block);
    if (language === "js")
      printed.push(...Array.from(block.matchAll(/^console\.log\(.*\); \/\/ (.*)$/gm), ([, said]) => said));
  }
  return { code: code.join("\n"), printed };
}

test("every snippet of From article to code runs, and prints what the page says", () => {
  const { code, printed } = readPage(readFileSync(`${root}docs/from-article-to-code.md`, "utf8"));
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-"], {
    cwd: root,
    input: code,
    encoding: "utf8",
  });
  expect(status, stderr).toBe(0);
  const lines = stdout.trimEnd().split("\n");
  expect(lines.map((line) => line.trimEnd())).toEqual(printed);
  expect(printed.length).toBeGreaterThan(10);
});
