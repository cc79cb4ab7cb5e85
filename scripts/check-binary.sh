#!/usr/bin/env bash
# What a build has made, and what is shipped.
#   check-binary.sh BUILD_FOLDER    kernel objects, and the addon among them
#   check-binary.sh ADDON.node ...  prebuilt addons of Linux
set -euo pipefail

# Kernel objects must not share inline functions with the rest (see native/target.h): no weak symbols, no global
# constructors.
check_objects() {
  for isa in avx512 avx2 neon scalar; do
    object=$(find "$1" -name "$isa*.o" | head -n 1)
    weak=$(nm "$object" | grep -E ' [WVuw] ' || true)
    constructors=$(nm "$object" | grep -E '_GLOBAL__sub_I' || true)
    if [ -n "$weak$constructors" ]; then
      printf 'native/%s.cc: weak symbols or constructors in its object:\n%s\n%s\n' "$isa" "$weak" "$constructors" >&2
      exit 1
    fi
  done
  echo "Kernel objects: no weak symbols, no constructors."
}

fail() { echo "$addon: $1" >&2; exit 1; }

# Read-only relocations, no executable stack.
check_addon() {
  addon=$1
  readelf -lW "$addon" | grep -q GNU_RELRO || fail "no RELRO"
  readelf -dW "$addon" | grep -qE 'BIND_NOW|NOW' || fail "symbols are bound late, so that relocations cannot be read-only"
  if readelf -lW "$addon" | grep GNU_STACK | grep -q RWE; then fail "executable stack"; fi
}

# Below 1 MB, stripped, and nothing newer than Node itself needs: glibc 2.28, and the C++ library of gcc 8.
check_prebuilt() {
  addon=$1
  size=$(stat -c %s "$addon")
  ((size < 1000000)) || fail "expected less than 1000000 bytes, got $size"
  if readelf -SW "$addon" | grep -qE ' \.(symtab|debug_info) '; then fail "not stripped"; fi
  for limit in GLIBC_2.28 GLIBCXX_3.4.25 CXXABI_1.3.11; do
    newest=$(readelf -VW "$addon" | grep -oE "Name: ${limit%%_*}_[0-9.]+" | cut -c7- | sort -V | tail -n 1 || true)
    [ "$(printf '%s\n' "$limit" "$newest" | sort -V | tail -n 1)" = "$limit" ] || fail "needs $newest, more than $limit"
  done
}

if [ -d "$1" ]; then
  check_objects "$1"
  check_addon "$1/Release/xattn.node"
else
  for file; do check_addon "$file"; check_prebuilt "$file"; done
fi
echo "$*: read-only relocations, no executable stack."
