#!/bin/bash
# Builds the runtime in a chroot: `cargo xtask build NAME`. The functions are described in /joblet/lib.sh.
set -eu
# shellcheck source=/dev/null
. "${JOBLET_LIB:-/joblet/lib.sh}"

# What the runtime is made of; what these packages depend on comes with them.
packages=(base-files bash coreutils dash libc-bin)

packages_install "${packages[@]}"
packages_export "${packages[@]}"
tree_finish
runtime_yml LANG=C.UTF-8
