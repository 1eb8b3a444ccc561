#!/bin/bash
# Java's own form of what the system has in another.

# Writes Java's trust store from the certificates (`*.crt`) below a folder: a PKCS #12 file without a password, as
# OpenJDK makes its own since version 18. The one that the package's trigger makes in the chroot is not copied: it has
# the build host's certificates, random salts and the time of day in it. Needs OpenSSL 3.2 or newer.
#
#     java_trust_store FOLDER FILE
java_trust_store() {
  local from=$1 store=$2 file name files=() names=()
  mapfile -t -d '' files < <(find "$from" -name '*.crt' -print0 | sort -z)
  ((${#files[@]})) || die "java_trust_store: \`$from\` has no certificates"
  for file in "${files[@]}"; do
    name=${file##*/}
    names+=(-caname "${name%.crt}")
  done
  mkdir -p "${store%/*}"
  # `-jdktrust`: Java takes a certificate for a trusted one only where the store says so.
  openssl pkcs12 -export -nokeys -jdktrust anyExtendedKeyUsage -certpbe NONE -nomac -passout pass: \
    "${names[@]}" -in <(cat -- "${files[@]}") -out "$store"
}
