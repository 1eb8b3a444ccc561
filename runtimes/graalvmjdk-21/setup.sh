#!/bin/bash
# GraalVM Community 21 from its release, with the C compiler and the headers that native-image needs. One recipe for all
# architectures.
set -eu
# shellcheck source=runtimes/lib/lib.sh
. "${JOBLET_LIB:-/joblet/lib.sh}"

# What Java loads by itself to draw text and for sound files.
libraries=(fonts-dejavu-core libasound2t64 libfontconfig1 libfreetype6 libharfbuzz0b)
tools=(
  base-files bash ca-certificates coreutils curl dash diffutils findutils gawk grep gzip hostname libc-bin netbase
  openssl procps sed tar tzdata unzip xz-utils zip
)
# native-image compiles a C file, and links with these.
native=(gcc libc6-dev zlib1g-dev)

packages_install "${libraries[@]}" "${tools[@]}" "${native[@]}"
packages_export --without util-linux "${libraries[@]}" "${tools[@]}"
packages_export --development "${native[@]}"

home=/usr/lib/jvm/graalvm-21
mkdir -p "$JOBLET_TREE$home"
# The archive has one folder, graalvm-community-openjdk-VERSION.
tar --extract --gzip --no-same-owner --strip-components=1 --directory="$JOBLET_TREE$home" \
  --file "$(compgen -G '/joblet/sources/graalvm-community-jdk-*.tar.gz')"
# The sources of the class library are for an editor.
tree_trim "$home/lib/src.zip"
# Without Perl these could not start.
tree_drop_scripts /usr/bin/perl
tree_link /usr/lib/jvm/default-java "$home"
tree_finish
runtime_yml HOME=/tmp JAVA_HOME="$home" GRAALVM_HOME="$home" LANG=C.UTF-8 PATH_PREPEND="$home/bin" \
  SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
