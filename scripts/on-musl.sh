#!/usr/bin/env bash
# The musl binary, in Bun's build for musl.
set -euo pipefail
cd "$(dirname "$0")/.."
test -f /lib/ld-musl-x86_64.so.1 || apt-get install -y -qq --no-install-recommends musl
test -f prebuilds/linux-x64/xattn.musl.node || npm run binaries:all linux-x64.musl
node scripts/check-runtimes.mjs "Bun on musl"
