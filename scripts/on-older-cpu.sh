#!/usr/bin/env bash
# Runs the shared suite on an emulated CPU and checks that the expected instruction set answers. In one process: children
# of the emulator would run on the real CPU.
#   on-older-cpu.sh CPU BACKEND REPORT.json
set -euo pipefail
emulate() { qemu-x86_64-static -cpu "$1" "$(command -v node)" "${@:2}"; }
best=$(emulate "$1" -e 'import("xattn").then(({ backends }) => console.log(backends[0]))' 2>/dev/null)
if [ "$best" != "$2" ]; then echo "best backend on $1: expected $2, got $best" >&2; exit 1; fi
XATTN_BACKEND=$2 emulate "$1" node_modules/vitest/vitest.mjs run --pool=threads --no-file-parallelism --testTimeout=600000 \
  --reporter=dot --reporter=json --outputFile="$3" test/backends.test.ts test/semantics.test.ts 2> >(grep -v "doesn't support requested feature" >&2)
