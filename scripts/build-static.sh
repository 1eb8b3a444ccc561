#!/bin/sh
# Builds rnx as one file that needs no library of the host, and so runs on any Linux of this machine's architecture, and
# starts sooner. Prints where it is. Needs the C library's static part (Debian: libc6-dev, Fedora: glibc-static).
set -eu
cd "$(dirname "$0")/.."

target=$(rustc --version --verbose | sed -n 's/^host: //p')
# With a target named, build scripts and macros are built as ever.
RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --package rnx --target "$target" >&2
echo "${CARGO_TARGET_DIR:-target}/$target/release/rnx"
