// Prebuilt binaries for every platform, cross-built on Linux by zig: clang, with the headers and libraries of all of them.
// The C++ library is linked in. Wants cmake, make, and for Windows the dlltool of binutils-mingw-w64-x86-64.
//   npm run binaries:all [part of a target's name]
import { copyFileSync, mkdirSync, readFileSync, statSync } from "node:fs";
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

/** What differs between systems: the linker's arguments, the first bytes of a binary, and how many it may have. */
const SYSTEMS = {
  Linux: { link: "-shared -Wl,--gc-sections", magic: "7f454c46", most: 1e6 },
  Windows: { link: "-shared -Wl,--gc-sections", magic: "4d5a", most: 1e6 },
  // A library, where CMake would make a bundle, which zig cannot; Node loads both. zig leaves in what
  // nobody calls, and names of local symbols.
  Darwin: { link: "-dynamiclib -undefined dynamic_lookup", magic: "cffaedfe", most: 1.2e6 },
};

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
    `-DCMAKE_MODULE_LINKER_FLAGS=${SYSTEMS[system].link}`,
    ...extra,
  ];
  const options = { cwd: root, env, timeout: 3_600_000 }; // zig compiles a target's C++ library at its first use
  run("cmake", ["-S", root, "-B", build(name), ...variables], options);
  run("cmake", ["--build", build(name), "--parallel"], options);
  const [folder, libc] = name.split(".");
  const file = path.join(root, "prebuilds", folder, libc ? `xattn.${libc}.node` : "xattn.node");
  mkdirSync(path.dirname(file), { recursive: true });
  copyFileSync(path.join(build(name), "xattn.node"), file);
  return file;
}

function check(file, { system }) {
  const { size } = statSync(file);
  const { magic, most } = SYSTEMS[system];
  if (size >= most) throw new Error(`${file}: expected less than ${most} bytes, got ${size}`);
  const start = readFileSync(file)
    .subarray(0, magic.length / 2)
    .toString("hex");
  if (start !== magic) throw new Error(`${file}: expected a binary of ${system}, got one that starts with ${start}`);
  if (system === "Linux") run("bash", [path.join(root, "scripts/check-binary.sh"), file], { cwd: root });
  console.log(`${path.relative(root, file)} ${size}`);
}

const wanted = process.argv[2] ?? "";
const zigFolder = fetchZig();
for (const [name, target] of Object.entries(TARGETS)) {
  if (name.includes(wanted)) check(buildTarget(name, target, zigFolder), target);
}
