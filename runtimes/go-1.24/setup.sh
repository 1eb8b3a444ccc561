#!/bin/bash
# Builds the runtime in a chroot: `cargo xtask build go-1.24`. The functions are described in /joblet/lib.sh.
set -eu
# shellcheck source=/dev/null
. "${JOBLET_LIB:-/joblet/lib.sh}"

# What the runtime is made of; what these packages depend on comes with them. A C compiler is not part of it: programs are
# pure Go (`CGO_ENABLED=0`, which is what Go does without one).
packages=(base-files bash ca-certificates coreutils curl dash findutils git golang-go grep gzip libc-bin netbase openssl sed tar tzdata)
# git runs Perl only for `instaweb` and `send-email`.
without=git-man,perl,liberror-perl

packages_install "${packages[@]}"
packages_export --without "$without" "${packages[@]}"
# Perl is left out, so its scripts could not start.
tree_drop_scripts /usr/bin/perl
# The tests of Go itself, and what its race detector is for a C compiler.
tree_trim /usr/share/go-1.24/{api,test}
tree_trim_named /usr/share/go-1.24/src testdata '*_test.go' '*.syso'
tree_finish
# A job has a folder of its own at /tmp; modules and the build cache go there.
runtime_yml HOME=/tmp LANG=C.UTF-8 GOTOOLCHAIN=local GOPATH=/tmp/go GOFLAGS=-buildvcs=false
