#!/usr/bin/env bash
# Kernel objects must not share inline functions with the rest (see native/target.h): no weak symbols, no global
# constructors. The addon itself: read-only relocations and no executable stack.
#   check-binary.sh BUILD_FOLDER
set -euo pipefail
for isa in avx512 avx2 neon scalar; do
  object=$(find "$1" -name "$isa*.o" | head -n 1)
  weak=$(nm "$object" | grep -E ' [WVuw] ' || true)
  constructors=$(nm "$object" | grep -E '_GLOBAL__sub_I' || true)
  if [ -n "$weak$constructors" ]; then
    printf 'native/%s.cc: weak symbols or constructors in its object:\n%s\n%s\n' "$isa" "$weak" "$constructors" >&2
    exit 1
  fi
done
addon=$1/Release/xattn.node
readelf -lW "$addon" | grep -q GNU_RELRO || { echo "$addon: no RELRO" >&2; exit 1; }
if readelf -lW "$addon" | grep GNU_STACK | grep -q RWE; then echo "$addon: executable stack" >&2; exit 1; fi
echo "Kernel objects: no weak symbols, no constructors. Addon: RELRO, no executable stack."
