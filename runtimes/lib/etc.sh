#!/bin/bash
# The part of /etc that no package ships: what a system's set-up writes, in the form a job needs.

# Writes the files into the tree's /etc. Those that differ between jobs are plain files, so that the job runner can bind
# its own over them.
tree_system_etc() {
  local etc=$JOBLET_TREE/etc
  mkdir -p "$etc"
  cat >"$etc/passwd" <<'END'
root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
END
  printf '%s\n' 'root:x:0:' 'tty:x:5:' 'nogroup:x:65534:' >"$etc/group"
  printf '%s\n' 'passwd: files' 'group: files' 'shadow: files' 'hosts: files dns' 'networks: files' \
    'protocols: files' 'services: files' 'ethers: files' 'rpc: files' >"$etc/nsswitch.conf"
  printf '%s\n' '127.0.0.1 localhost' '::1 localhost ip6-localhost ip6-loopback' >"$etc/hosts"
  echo localhost >"$etc/hostname"
  : >"$etc/resolv.conf"
  printf '%s\n' /bin/sh /bin/bash >"$etc/shells"
  etc_localtime
  etc_tls_roots
}

# Sets the time zone to UTC, as a file: a link could not be covered by the job runner.
etc_localtime() {
  local zone=$JOBLET_TREE/usr/share/zoneinfo/Etc/UTC
  [[ -e $zone ]] || return 0
  rm -f -- "$JOBLET_TREE/etc/localtime"
  cp --dereference --no-preserve=all -- "$zone" "$JOBLET_TREE/etc/localtime"
  echo Etc/UTC >"$JOBLET_TREE/etc/timezone"
}

# Makes the bundle of TLS roots, and the folder that OpenSSL looks certificates up in, from the certificates in the
# tree. The chroot's own bundle is not copied: the build host may have put its proxy's certificate there.
etc_tls_roots() {
  local from=$JOBLET_TREE/usr/share/ca-certificates certs=$JOBLET_TREE/etc/ssl/certs file name java=0
  [[ -d $from ]] || return 0
  command -v openssl >/dev/null || die "the TLS roots need \`openssl\`; name it in packages_install"
  # The folder is what \`ca-certificates-java\` ships; every Java of the distro reads the trust store there.
  [[ ! -d $certs/java ]] || java=1
  rm -rf -- "$certs"
  mkdir -p "$certs"
  while IFS= read -r -d '' file; do
    name=${file##*/}
    name=${name%.crt}
    ln -s "$(paths_relative "$certs/x" "$file")" "$certs/$name.pem"
  done < <(find "$from" -name '*.crt' -print0 | sort -z)
  # `awk 1` ends the last line of each file, whose author may not have.
  find "$from" -name '*.crt' -print0 | sort -z | xargs -0 awk 1 | sed '/^$/d' >"$certs.bundle"
  openssl rehash "$certs"
  # Added after rehash, which would complain about a file with many certificates.
  mv -- "$certs.bundle" "$certs/ca-certificates.crt"
  ((!java)) || java_trust_store "$from" "$certs/java/cacerts"
}
