#!/bin/bash
# Builds the runtime in a chroot: `cargo xtask build NAME`. The functions are described in /joblet/lib.sh.
set -eu
# shellcheck source=/dev/null
. "${JOBLET_LIB:-/joblet/lib.sh}"

# What the runtime is made of; what these packages depend on comes with them. A font, since Java needs one to draw.
packages=(
  base-files bash ca-certificates coreutils curl dash findutils fonts-dejavu-core grep gzip libasound2t64 libc-bin libfontconfig1
  libfreetype6 libharfbuzz0b netbase openjdk-21-jdk-headless openssl sed tar tzdata unzip
)

packages_install "${packages[@]}"
packages_export --without libnss3,util-linux "${packages[@]}"
# Perl is left out, so its scripts could not start.
tree_drop_scripts /usr/bin/perl
# A path without the architecture, where Debian's own `default-jdk` has it.
tree_link /usr/lib/jvm/default-java "/usr/lib/jvm/java-21-openjdk-${RUNTIME_PLATFORM##*-}"
tree_finish
runtime_yml HOME=/tmp JAVA_HOME=/usr/lib/jvm/default-java LANG=C.UTF-8
