// The package as a dependency, in every way that it is installed and loaded: packed, installed into empty projects, and
// each time the README's first example must be answered by the backend that is the best one here.
//   npm run binaries && node scripts/check-install.mjs [part of a row's name]
import { chmodSync, existsSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { backends } from "xattn";
import {
  answerOf,
  emptyProject,
  environment,
  example,
  expectEqual,
  nodeOf,
  npm,
  project,
  root,
  run,
  runTable,
  tarball,
  tools,
} from "./packaged.mjs";

const [best] = backends;
if (best === "js" || !existsSync(path.join(root, "prebuilds")))
  throw new Error('no binary here: "npm run binaries" first');

const TOOLS = [nodeOf(24), "npm@12", "publint@0.3", "@arethetypeswrong/cli@0.18", "esbuild@0.28"];
let installed;

/** Path of a tool's script. */
function tool(script) {
  installed ??= tools("tools", TOOLS);
  return path.join(installed, script);
}

const node = (args, options) => run(process.execPath, args, { env: environment, ...options });
const typescript = path.join(root, "node_modules/typescript/bin/tsc");

/** The example answers as it should and nothing is warned of. */
function expectAnswer(folder, file = "example.mjs", options = {}) {
  const { stdout, stderr } = node([file], { cwd: folder, ...options });
  expectEqual(stdout.trim(), answerOf(best));
  expectEqual(stderr, "");
}

/** Answers of "js", with one warning that names the remedy. */
function expectFallback(folder, file, remedy) {
  const { stdout, stderr } = node([file], { cwd: folder });
  expectEqual(stdout.trim(), answerOf("js"));
  const warnings = stderr.split("\n").filter((line) => line.includes("Warning"));
  expectEqual(warnings.length, 1);
  if (!warnings[0].includes(remedy)) throw new Error(`"${remedy}" is not in the warning: ${warnings[0]}`);
}

/** The example in TypeScript, compiled strictly but for its untyped function, then run. */
function typed(name, compilerOptions) {
  const folder = project(name);
  const types = [];
  const options = { strict: true, noImplicitAny: false, target: "es2022", types, outDir: "out", ...compilerOptions };
  writeFileSync(path.join(folder, "example.ts"), example);
  writeFileSync(
    path.join(folder, "tsconfig.json"),
    JSON.stringify({ compilerOptions: { ...options, rootDir: "." }, files: ["example.ts"] }),
  );
  node([typescript, "-p", "."], { cwd: folder });
  expectAnswer(folder, "out/example.js");
}

/** The example bundled by esbuild. */
function bundle(folder, format, ...options) {
  const file = format === "esm" ? "dist/bundle.mjs" : "dist/bundle.cjs";
  const wrapped = format === "esm" ? example : asCommonJs(example);
  writeFileSync(path.join(folder, "entry.js"), wrapped);
  writeFileSync(path.join(folder, "package.json"), '{ "private": true }\n');
  const flags = ["--bundle", "--platform=node", "--log-level=error", `--format=${format}`, `--outfile=${file}`];
  node([tool("esbuild/bin/esbuild"), "entry.js", ...flags, ...options], { cwd: folder });
  return file;
}

/** The example with require(), in a function because it awaits. */
function asCommonJs(code) {
  const body = code.replace(/^import (\{.*?\}) from "xattn";/m, 'const $1 = require("xattn");');
  return `(async () => {\n${body}})();\n`;
}

const ROWS = {
  "npm with --ignore-scripts"(name) {
    expectAnswer(project(name));
  },

  "npm 12 as it comes"(name) {
    const folder = emptyProject(name);
    const npm12 = [tool("npm/bin/npm-cli.js"), "install", tarball()];
    const { stdout, stderr } = run(tool("node24/bin/node"), npm12, { cwd: folder, env: environment });
    if (/script/i.test(stdout + stderr)) throw new Error(`npm speaks of scripts: ${stdout}${stderr}`);
    expectAnswer(folder);
  },

  "no prebuilt binary: js with one warning, then npx xattn build"(name) {
    const folder = project(name);
    rmSync(path.join(folder, "node_modules/xattn/prebuilds"), { recursive: true });
    expectFallback(folder, "example.mjs", 'run "npx xattn build"');
    npm(["exec", "--no", "--", "xattn", "build"], { cwd: folder });
    expectAnswer(folder);
  },

  "npx xattn doctor"(name) {
    const { stdout } = npm(["exec", "--no", "--", "xattn", "doctor", "--json"], { cwd: project(name) });
    const { backend, problems } = JSON.parse(stdout);
    expectEqual(`${backend} ${problems}`, `${best} `);
  },

  require(name) {
    const folder = project(name);
    writeFileSync(path.join(folder, "example.cjs"), asCommonJs(example));
    expectAnswer(folder, "example.cjs", { env: { ...environment, NODE_NO_WARNINGS: "1" } }); // of require(esm) in Node 20
  },

  "TypeScript, moduleResolution node16"(name) {
    typed(name, { module: "node16", moduleResolution: "node16" });
  },

  "TypeScript, moduleResolution bundler"(name) {
    typed(name, { module: "esnext", moduleResolution: "bundler" });
  },

  publint() {
    node([tool("publint/src/cli.js"), tarball(), "--strict"]);
  },

  "are the types wrong"() {
    node([tool("@arethetypeswrong/cli/dist/index.js"), tarball(), "--profile", "esm-only"]);
  },

  "esbuild, bundled but for the addon"(name) {
    const folder = project(name);
    expectAnswer(folder, bundle(folder, "esm"));
  },

  "esbuild, CommonJS with the package external"(name) {
    const folder = project(name);
    const file = bundle(folder, "cjs", "--external:xattn");
    expectAnswer(folder, file, { env: { ...environment, NODE_NO_WARNINGS: "1" } });
  },

  "esbuild, CommonJS with nothing external: js, and the warning says why"(name) {
    const folder = project(name);
    expectFallback(folder, bundle(folder, "cjs"), 'mark "xattn" as external');
  },

  "a read-only file system"(name) {
    const folder = project(name);
    run("chmod", ["-R", "a-w,a+rX", folder]);
    chmodSync(path.dirname(folder), 0o755);
    const nobody = process.getuid() === 0 ? { uid: 65534, gid: 65534 } : {}; // root may write anywhere
    try {
      expectAnswer(folder, "example.mjs", nobody);
    } finally {
      run("chmod", ["-R", "u+w", folder]);
    }
  },

  "a worker thread"(name) {
    const folder = project(name);
    const worker =
      'import { Worker } from "node:worker_threads"; new Worker(new URL("example.mjs", import.meta.url));\n';
    writeFileSync(path.join(folder, "worker.mjs"), worker);
    expectAnswer(folder, "worker.mjs");
  },
};

runTable(ROWS);
