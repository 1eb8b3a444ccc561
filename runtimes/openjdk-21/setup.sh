#!/bin/bash
# OpenJDK 21 from Debian's packages: the whole JDK without a display. One recipe for all architectures.
set -eu
# shellcheck source=runtimes/lib/lib.sh
. "${JOBLET_LIB:-/joblet/lib.sh}"

java=(openjdk-21-jdk-headless)
# What Java loads by itself to draw text (it needs a font, though there is no screen) and for sound files; and what
# `objcopy` needs, which `jlink --strip-debug` calls.
libraries=(fonts-dejavu-core libasound2t64 libbinutils libfontconfig1 libfreetype6 libharfbuzz0b)
tools=(
  base-files bash ca-certificates coreutils curl dash diffutils findutils gawk grep gzip hostname libc-bin netbase
  openssl procps sed tar tzdata unzip xz-utils zip
)
# Mozilla's cryptography, which Java uses only where it is told to; programs for disks and logins.
without=libnss3,util-linux

packages_install binutils "${java[@]}" "${libraries[@]}" "${tools[@]}"
packages_export --without "$without" "${java[@]}" "${libraries[@]}" "${tools[@]}"
tree_copy /usr/bin/objcopy "/usr/bin/$(readlink /usr/bin/objcopy)"

home=/usr/lib/jvm/java-21-openjdk-${RUNTIME_PLATFORM##*-}
# Without Perl these could not start.
tree_drop_scripts /usr/bin/perl
tree_trim "$home/man"
# A path without the architecture, where Debian's own `default-jdk` has it.
tree_link /usr/lib/jvm/default-java "$home"
tree_finish
# HOME: jshell keeps its history there, and a job's /tmp is its own.
runtime_yml HOME=/tmp JAVA_HOME=/usr/lib/jvm/default-java LANG=C.UTF-8 SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
