// Prebuilt binaries for every platform, cross-built on Linux by zig: clang, with the headers and libraries of all of them.
// The C++ library is linked in. Wants cmake, make, for Windows the dlltool of binutils-mingw-w64-x86-64, and lld-16 for
// macOS.
//   npm run binaries:all [part of a target's name]
import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { root, run } from "./packaged.mjs";
import { fetchZig } from "./zig.mjs";

// Node itself needs glibc 2.28.
const TARGETS = {
  "linux-x64.glibc": { zig: "x86_64-linux-gnu.2.28", system: "Linux", processor: "x86_64" },
  "linux-x64.musl": { zig: "x86_64-linux-musl", system: "Linux", processor: "x86_64" },
  "linux-arm64.glibc": { zig: "aarch64-linux-gnu.2.28", system: "Linux", processor: "aarch64" },
  "linux-arm64.musl": { zig: "aarch64-linux-musl", system: "Linux", processor: "aarch64" },
  "win32-x64": { zig: "x86_64-windows-gnu", system: "Windows", processor: "AMD64" },
  "darwin-x64": { zig: "x86_64-macos", system: "Darwin", processor: "x86_64" },
  "darwin-arm64": { zig: "aarch64-macos", system: "Darwin", processor: "arm64" },
};

/** The linker's arguments by system. */
const LINK = {
  Linux: "-shared -Wl,--gc-sections",
  Windows: "-shared -Wl,--gc-sections",
  Darwin: "-dynamiclib -undefined dynamic_lookup",
};

// What zig builds for.
const MACOS = "11.7.1";

// Strips, too: in the linker's flags alone, CMake's own first trial would have zig build a second C++ library.
const FLAGS = "-s -g0 -ffunction-sections -fdata-sections -Wno-unused-command-line-argument";

const build = (name) => path.join(root, `build-${name}`);
const modules = path.join(root, "node_modules");

/** CMake's variables for what Windows has besides: an import library of Node-API that is bound late. */
function delayLoading() {
  const library = path.join(build("win32-x64"), "libnode.a");
  mkdirSync(path.dirname(library), { recursive: true });
  const definitions = path.join(modules, "node-api-headers/def/node_api.def");
  run("x86_64-w64-mingw32-dlltool", ["-d", definitions, "-y", library], { cwd: root });
  return [`-DCMAKE_JS_LIB=${library}`, `-DCMAKE_JS_SRC=${sources("demangler", "delay-load")}`];
}

/**
 * Links for macOS once more, by lld: zig's own linker leaves in what nobody calls, and names of local symbols. It makes a
 * library, where CMake would make a bundle; Node loads both.
 */
function relink(name, { zig, processor }, zigFolder) {
  const folder = build(name);
  // zig says which libraries it links, but only where it has not linked the same before.
  const trial = path.join(folder, "trial.cc");
  writeFileSync(trial, `int made = ${process.pid};`);
  const words = ["c++", "-target", zig, "-dynamiclib", trial, "-o", path.join(folder, "trial.dylib")];
  const env = { ...process.env, ZIG_VERBOSE_LINK: "1" };
  const libraries = run(path.join(zigFolder, "zig"), words, { env }).stderr.match(/\S+\.a\b/g);
  const isObject = (file) => /^CMakeFiles.*\.o$/.test(file) && !file.includes("CompilerId");
  const objects = readdirSync(folder, { recursive: true }).filter(isObject);
  const exported = ["napi_register_module_v1", "node_api_module_get_api_version_v1"];
  const flags = [
    `-arch ${processor} -platform_version macos ${MACOS} ${MACOS}`,
    "-dylib -dead_strip -x -S -undefined dynamic_lookup",
    ...exported.map((symbol) => `-exported_symbol _${symbol}`),
  ];
  const system = path.join(zigFolder, "lib/libc/darwin/libSystem.11.tbd");
  const all = [...flags.join(" ").split(" "), ...objects, ...libraries, system, "-o", "xattn.node"];
  run("ld64.lld-16", all, { cwd: folder });
}

function sources(...names) {
  return names.map((name) => path.join(root, `native/cross/${name}.cc`)).join(";");
}

function buildTarget(name, { zig, system, processor }, zigFolder) {
  const env = {
    ...process.env,
    CXX: `zig c++ -target ${zig}`,
    PATH: `${zigFolder}${path.delimiter}${process.env.PATH}`,
  };
  const extra = system === "Windows" ? delayLoading() : [`-DCMAKE_JS_SRC=${sources("demangler")}`];
  const variables = [
    "-DCMAKE_BUILD_TYPE=Release",
    `-DCMAKE_SYSTEM_NAME=${system}`,
    `-DCMAKE_SYSTEM_PROCESSOR=${processor}`,
    `-DCMAKE_JS_INC=${path.join(modules, "node-api-headers/include")}`,
    `-DCMAKE_CXX_FLAGS=${FLAGS}`,
    "-DCMAKE_SHARED_MODULE_CREATE_CXX_FLAGS=", // the linker's flags have them
    `-DCMAKE_MODULE_LINKER_FLAGS=${LINK[system]}`,
    ...extra,
  ];
  const options = { cwd: root, env, timeout: 3_600_000 }; // zig compiles a target's C++ library at its first use
  run("cmake", ["-S", root, "-B", build(name), ...variables], options);
  run("cmake", ["--build", build(name), "--parallel"], options);
  if (system === "Darwin") relink(name, { zig, processor }, zigFolder);
  const [folder, libc] = name.split(".");
  const file = path.join(root, "prebuilds", folder, libc ? `xattn.${libc}.node` : "xattn.node");
  mkdirSync(path.dirname(file), { recursive: true });
  copyFileSync(path.join(build(name), "xattn.node"), file);
  return file;
}

function check(file) {
  const words = [path.join(root, "scripts/check-binary.sh"), path.relative(root, file)];
  process.stdout.write(run("bash", words, { cwd: root }).stdout);
}

const wanted = process.argv[2] ?? "";
const zigFolder = fetchZig();
for (const [name, target] of Object.entries(TARGETS)) {
  if (name.includes(wanted)) check(buildTarget(name, target, zigFolder));
}
