#!/bin/bash
# Builds the runtime in a chroot: `cargo xtask build NAME`. The functions are described in /joblet/lib.sh.
set -eu
# shellcheck source=/dev/null
. "${JOBLET_LIB:-/joblet/lib.sh}"

# What the runtime is made of; what these packages depend on comes with them. Compilers are not part of it, so that
# packages come from Debian (`r-cran-*`) rather than from source.
packages=(
  base-files bash ca-certificates coreutils curl dash findutils fonts-dejavu-core gawk grep gzip libc-bin libopenblas0-pthread netbase
  openssl r-base-core r-recommended sed tar tzdata unzip zip
)
# Programs for a desktop, and for setting systems up.
without=perl,ucf,x11-common,xdg-utils

packages_install "${packages[@]}"
packages_export --without "$without" "${packages[@]}"
# Perl is left out, so its scripts could not start.
tree_drop_scripts /usr/bin/perl
tree_finish
runtime_yml HOME=/tmp LANG=C.UTF-8 R_LIBS_USER=/tmp/R
