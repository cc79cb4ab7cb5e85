#!/usr/bin/env bash
# The package as a user gets it: packed, installed into an empty folder without scripts, and the README's first example run
# as it stands.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
tarball=$(npm pack --silent --pack-destination "$folder")
awk '/^```js/ { inside = 1; next } /^```/ && inside { exit } inside' README.md >"$folder/example.mjs"
cd "$folder"
npm init -y >/dev/null
npm install --silent --ignore-scripts --no-audit --no-fund "./$tarball"
node example.mjs
node -e 'const { backends } = require("xattn"); console.log("installed:", [...backends].join(" "))'
