#!/bin/bash
# Builds the runtime in a chroot: `cargo xtask build node-20`. The functions are described in /joblet/lib.sh.
set -eu
# shellcheck source=/dev/null
. "${JOBLET_LIB:-/joblet/lib.sh}"

# What the runtime is made of; what these packages depend on comes with them.
packages=(base-files bash ca-certificates coreutils curl dash findutils grep gzip libc-bin netbase node-corepack nodejs openssl sed tar tzdata)

packages_install "${packages[@]}"
packages_export "${packages[@]}"
# Its digest is what `npm view npm@VERSION dist.integrity` prints, in hex.
node_npm 10.8.2 c7f0088c520a46596b85c6f8f1da943400199748a0f7ea8cb8df75469668dc26f6fb3ba26df87e2884a5ebe91557292d0f3db7d0929cdb4f14910c3032ac81fb
# Perl is left out, so its scripts could not start.
tree_drop_scripts /usr/bin/perl
tree_finish
runtime_yml HOME=/tmp LANG=C.UTF-8 PATH_PREPEND=/usr/local/bin:/usr/bin npm_config_update_notifier=false \
  NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
