#!/usr/bin/env bash
# The musl binary, in Bun's build for musl on musl's libc.
set -euo pipefail
cd "$(dirname "$0")/.."
test -f /lib/ld-musl-x86_64.so.1 || apt-get install -y -qq --no-install-recommends musl
test -f prebuilds/linux-x64/xattn.musl.node || npm run binaries:all linux-x64.musl
# Bun wants a C++ library, and Debian has one for glibc only.
mkdir -p build-musl
"$(node scripts/zig.mjs)/zig" cc -target x86_64-linux-musl -O1 -fPIC -shared -s -Wl,-soname,ld-linux-x86-64.so.2 \
  -o build-musl/ld-linux-x86-64.so.2 scripts/musl-shim.c
ln -sf /usr/lib/x86_64-linux-gnu/libstdc++.so.6 /lib/x86_64-linux-gnu/libgcc_s.so.1 build-musl
node scripts/check-runtimes.mjs "Bun on musl"
