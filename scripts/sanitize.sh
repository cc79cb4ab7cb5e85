#!/usr/bin/env bash
# The suite on an addon that clang-16 builds with sanitizers: `address` is AddressSanitizer with UndefinedBehaviorSanitizer,
# `thread` is ThreadSanitizer. Node itself is not instrumented, so it is told to load their runtime first.
#   sanitize.sh address|thread [ARGUMENTS OF vitest run]
set -euo pipefail
cd "$(dirname "$0")/.."
case $1 in
  address) sanitizers=address,undefined runtime=asan ;;
  thread) sanitizers=thread runtime=tsan ;;
  *) sed -n '4s/^# *//p' "$0" >&2; exit 2 ;;
esac
folder=$PWD/build-$1
CXX=clang++-16 npx cmake-js compile --log-level error --out "$folder/build" --CDXATTN_SANITIZE=$sanitizers >/dev/null
npx tsc --build

export XATTN_PREBUILD=$folder # node-gyp-build looks there
export ASAN_OPTIONS=detect_leaks=0
export UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=ignore_noninstrumented_modules=1:halt_on_error=1
LD_PRELOAD=$(clang++-16 -print-file-name="libclang_rt.$runtime-x86_64.so") \
  exec node node_modules/vitest/vitest.mjs run "${@:2}"
