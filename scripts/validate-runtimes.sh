#!/bin/sh
# The name that fingers and documents know: the same as `cargo xtask validate`.
exec cargo run --quiet --manifest-path "$(dirname "$0")/../Cargo.toml" --package xtask -- validate "$@"
