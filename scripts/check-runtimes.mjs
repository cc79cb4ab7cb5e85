// One binary in many runtimes of this Linux x64: each fetched from npm, runs the README's first example and
// xattn doctor in a project that has installed the package. "musl" wants prebuilds/linux-x64/xattn.musl.node.
//   npm run binaries && node scripts/check-runtimes.mjs [part of a row's name]
import { existsSync } from "node:fs";
import path from "node:path";
import { backends } from "xattn";
import { answerOf, environment, expectEqual, nodeOf, project, root, run, runTable, tools } from "./packaged.mjs";

const [best] = backends;

/** Packages, the command in node_modules, and what it needs. */
const RUNTIMES = {
  "Node 20": { packages: [nodeOf(20)], command: "node20/bin/node" },
  "Node 22": { packages: [nodeOf(22)], command: "node22/bin/node" },
  "Node 24": { packages: [nodeOf(24)], command: "node24/bin/node" },
  "Node 26": { packages: [nodeOf(26)], command: "node26/bin/node" },
  Bun: { packages: ["@oven/bun-linux-x64@1"], command: "@oven/bun-linux-x64/bin/bun" },
  Deno: { packages: ["@deno/linux-x64-glibc@2"], command: "@deno/linux-x64-glibc/deno", args: ["run", "--allow-all"] },
  "Bun on musl": {
    packages: ["@oven/bun-linux-x64-musl@1"],
    command: "@oven/bun-linux-x64-musl/bin/bun",
    // What node-gyp-build makes of Alpine, and where Bun's C++ library is.
    env: { LIBC: "musl", LD_LIBRARY_PATH: path.join(root, "build-musl") },
    needs: ["prebuilds/linux-x64/xattn.musl.node", "build-musl/libstdc++.so.6"],
  },
};

function check(name, { packages, command, args = [], env = {} }) {
  const runtime = path.join(tools(`${name} itself`, packages), command);
  const folder = project(name);
  const start = (...words) =>
    run(runtime, [...args, ...words], { cwd: folder, env: { ...environment, ...env } }).stdout.trim();
  expectEqual(start("example.mjs").replaceAll(/\s+/g, " "), answerOf(best));
  const { backend, problems } = JSON.parse(start("node_modules/xattn/lib/cli.js", "doctor", "--json"));
  expectEqual(`${backend} ${problems}`, `${best} `);
}

const rows = {};
for (const [name, runtime] of Object.entries(RUNTIMES)) {
  const missing = runtime.needs?.find((file) => !existsSync(path.resolve(root, file)));
  if (missing === undefined) rows[name] = () => check(name, runtime);
  else console.log(`skipped ${name}: scripts/on-musl.sh provides ${missing}`);
}
runTable(rows);
