#!/usr/bin/env bash
# The suite on an addon with sanitizers:
#   sanitize.sh address|thread [ARGUMENTS OF vitest run]
# `address` is AddressSanitizer with UndefinedBehaviorSanitizer, by clang-16: gcc 12 does not see what masked loads of AVX-512
# read too much. `thread` is ThreadSanitizer, by gcc: clang does not see loads and stores of more than 16 bytes. Node itself
# is not instrumented, so it is told to load their runtime first.
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1-} in
  address) sanitizers=address,undefined CXX=clang++-16 runtime=libclang_rt.asan-$(uname -m).so ;;
  thread) sanitizers=thread CXX=g++ runtime=libtsan.so ;;
  *) sed -n 's/^#   //p' "$0" >&2; exit 2 ;;
esac
export CXX
folder=$PWD/build-$1
npx cmake-js compile --log-level error --out "$folder/build" --CDXATTN_SANITIZE=$sanitizers >/dev/null
npx tsc --build

export XATTN_PREBUILD=$folder # node-gyp-build looks there
export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=ignore_noninstrumented_modules=1:halt_on_error=1
LD_PRELOAD=$($CXX -print-file-name="$runtime") exec node node_modules/vitest/vitest.mjs run --testTimeout=600000 "${@:2}"
