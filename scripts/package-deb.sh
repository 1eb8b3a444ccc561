#!/bin/sh
# Makes target/debian/rnx_*.deb: the program as one static file, its manual pages and its completions. Needs
# `cargo install cargo-deb`.
set -eu
cd "$(dirname "$0")/.."

rnx=$(scripts/build-static.sh)
made=target/package
rm -rf "$made"
mkdir -p "$made/man"
cp "$rnx" "$made/rnx"
"$rnx" man --dir "$made/man"
"$rnx" completions bash >"$made/rnx.bash"
"$rnx" completions zsh >"$made/_rnx"
"$rnx" completions fish >"$made/rnx.fish"
cargo deb --no-build --package rnx "$@"
