#!/usr/bin/env bash
# What a build has made, and what is shipped.
#   check-binary.sh BUILD_FOLDER    kernel objects, and the addon among them
#   check-binary.sh ADDON.node ...  prebuilt addons, prebuilds/PLATFORM/ADDON.node
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

# Of Linux: stripped, and nothing newer than Node itself needs: glibc 2.28, and the C++ library of gcc 8.
check_elf() {
  check_addon "$addon"
  if readelf -SW "$addon" | grep -qE ' \.(symtab|debug_info) '; then fail "not stripped"; fi
  for limit in GLIBC_2.28 GLIBCXX_3.4.25 CXXABI_1.3.11; do
    newest=$(readelf -VW "$addon" | grep -oE "Name: ${limit%%_*}_[0-9.]+" | cut -c7- | sort -V | tail -n 1 || true)
    [ "$(printf '%s\n' "$limit" "$newest" | sort -V | tail -n 1)" = "$limit" ] || fail "needs $newest, more than $limit"
  done
}

# number OFFSET BYTES
number() { od -An -v -t "u$2" -j "$1" -N "$2" "$addon" | tr -d ' '; }

# Of Windows: stripped, data that is not code, at any address.
check_pe() {
  header=$(number 60 4) # of the PE format, where the old one says
  (($(number $((header + 12)) 4) == 0)) || fail "not stripped"
  characteristics=$(number $((header + 94)) 2)
  ((characteristics & 0x100)) || fail "executable stack"
  ((characteristics & 0x40)) || fail "wants a fixed address"
}

# Of macOS.
check_mach() { (($(number 24 4) & 0x20000)) && fail "executable stack" || true; }

# Of every platform: its format, below 1 MB.
check_prebuilt() {
  addon=$1
  size=$(wc -c <"$addon")
  ((size < 1000000)) || fail "expected less than 1000000 bytes, got $size"
  case $(basename "$(dirname "$addon")") in
    linux-*) format=elf magic=7f454c46 ;;
    win32-*) format=pe magic=4d5a ;;
    darwin-*) format=mach magic=cffaedfe ;;
    *) fail "expected a folder named after a platform" ;;
  esac
  found=$(od -An -t x1 -N 4 "$addon" | tr -d ' ')
  [[ $found = "$magic"* ]] || fail "expected to start with $magic, got $found"
  "check_$format"
  echo "$addon: $size bytes, as it should be."
}

if [ -d "$1" ]; then
  check_objects "$1"
  check_addon "$1/Release/xattn.node"
  echo "$addon: read-only relocations, no executable stack."
else
  for file; do check_prebuilt "$file"; done
fi
