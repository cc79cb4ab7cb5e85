#!/usr/bin/env bash
# Fuzzes the kernel table with clang-16's libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer. What it learns is kept
# in build-fuzz/corpus, and an input that fails in build-fuzz.
#   fuzz.sh SECONDS
set -euo pipefail
cd "$(dirname "$0")/.."
CXX=clang++-16 npx cmake-js compile --log-level error --out build-fuzz --target fuzz \
  --CDXATTN_SANITIZE=fuzzer-no-link,address,undefined >/dev/null
mkdir -p build-fuzz/corpus
exec build-fuzz/fuzz build-fuzz/corpus -artifact_prefix=build-fuzz/ -max_total_time="$1" -max_len=512 -len_control=0 \
  -verbosity=0 -print_final_stats=1
