// @ts-check
// node bench/report.mjs [--check]: writes the README's table, results.md and chart.svg from results.json, or
// checks that they say the same.
import fs from "node:fs";
import { chart } from "./kit/chart.mjs";
import { readResults } from "./kit/results.mjs";
import { summary, tables } from "./kit/tables.mjs";

const START = "<!-- bench:start -->";
const END = "<!-- bench:end -->";

const readme = new URL("../README.md", import.meta.url);

const results = readResults();
const wanted = [
  { file: readme, content: withSummary(fs.readFileSync(readme, "utf8")) },
  { file: new URL("results.md", import.meta.url), content: tables(results) },
  { file: new URL("chart.svg", import.meta.url), content: chart(results.peers) },
];

if (process.argv.includes("--check")) {
  const stale = wanted.filter(({ file, content }) => !fs.existsSync(file) || fs.readFileSync(file, "utf8") !== content);
  for (const { file } of stale)
    console.error(`${file.pathname} is not what bench/results.json says: node bench/report.mjs`);
  process.exitCode = stale.length > 0 ? 1 : 0;
} else {
  for (const { file, content } of wanted) fs.writeFileSync(file, content);
}

/** @param {string} page */
function withSummary(page) {
  const [start, end] = [page.indexOf(START), page.indexOf(END)];
  if (start < 0 || end < start) throw new Error(`README.md has no place for the table: ${START} and ${END}`);
  return `${page.slice(0, start + START.length)}\n${summary(results)}\n${page.slice(end)}`;
}
