#!/usr/bin/env bash
# On an emulated CPU: the expected instruction set answers, with the bits that it has on the real one, where the suite ran.
#   on-older-cpu.sh CPU BACKEND FINGERPRINTS
set -euo pipefail
emulate() { qemu-x86_64-static -cpu "$1" "$(command -v node)" "${@:2}" 2> >(grep -v "support requested feature" >&2); }
best=$(emulate "$1" -e 'import("xattn").then(({ backends }) => console.log(backends[0]))')
if [ "$best" != "$2" ]; then echo "best backend on $1: expected $2, got $best" >&2; exit 1; fi
XATTN_BACKEND=$2 emulate "$1" scripts/fingerprint.mjs | grep -Fxf - "$3"
