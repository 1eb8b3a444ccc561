#!/bin/sh
# The known front door of `cargo xtask release`.
cd "$(dirname "$0")/.." && exec cargo xtask release "$@"
