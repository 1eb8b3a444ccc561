#!/bin/sh
# Makes target/debian/rnx_*.deb: the program, its manual pages and its completions. Needs `cargo install cargo-deb`.
set -eu
cd "$(dirname "$0")/.."

cargo build --release --locked --package rnx
rnx=target/release/rnx
made=target/package
rm -rf "$made"
mkdir -p "$made/man"
"$rnx" man --dir "$made/man"
"$rnx" completions bash >"$made/rnx.bash"
"$rnx" completions zsh >"$made/_rnx"
"$rnx" completions fish >"$made/rnx.fish"
cargo deb --no-build --package rnx "$@"
