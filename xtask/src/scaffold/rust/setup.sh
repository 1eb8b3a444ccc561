#!/bin/bash
# Builds the runtime in a chroot: `cargo xtask build NAME`. The functions are described in /joblet/lib.sh.
set -eu
# shellcheck source=/dev/null
. "${JOBLET_LIB:-/joblet/lib.sh}"

# What the runtime is made of; what these packages depend on comes with them. A C compiler is the linker of Rust.
packages=(base-files bash ca-certificates cargo coreutils dash findutils gcc grep gzip libc-bin libc6-dev netbase openssl rustc sed tar)

packages_install "${packages[@]}"
packages_export --development "${packages[@]}"
# Scripts of the packagers, for interpreters that are left out.
tree_drop_scripts /usr/bin/perl /usr/bin/python3 /usr/bin/node
tree_finish
# A job has a folder of its own at /tmp; what cargo fetches goes there.
runtime_yml HOME=/tmp LANG=C.UTF-8 CARGO_HOME=/tmp/cargo
