#!/bin/bash
# Pure functions on lists of paths: lines in, lines out.

# Moves the paths of standard input to where a merged /usr keeps them.
paths_merge_usr() {
  sed -E 's,^/(bin|sbin|lib|lib32|lib64|libx32)(/|$),/usr/\1\2,'
}

# Keeps the paths of standard input that something running may need; with the argument `development`, what a compiler
# needs as well: headers, static libraries, pkg-config's files.
#
# Copyright notices stay: whoever passes software on has to pass them on too.
paths_wanted() {
  awk -v development="${1-}" '
    /^\/usr\/share\/doc\/[^\/]+\/copyright$/ { print; next }
    /^\/usr\/share\/doc\/[^\/]+$/ { next }
    /^\/usr\/share\/(bug|doc|doc-base|gdb|gnome|info|lintian|linda|man|menu|pixmaps|reportbug)(\/|$)/ { next }
    /^\/usr\/share\/(applications|bash-completion|debhelper|debianutils|fish|icons|initramfs-tools|zsh)(\/|$)/ { next }
    /^\/usr\/share\/(apport|base-files|base-passwd|dpkg|keyrings|metainfo|polkit-1|util-linux)(\/|$)/ { next }
    /^\/usr\/share\/locale\// { next }
    !development && /^\/usr\/include(\/|$)/ { next }
    !development && (/^\/usr\/lib\/([^\/]+\/)?pkgconfig(\/|$)/ || /\.a$/) { next }
    /^\/usr\/(games|src)(\/|$)/ { next }
    /^\/usr\/lib\/(\.build-id|systemd|udev|init|tmpfiles\.d|sysusers\.d|sysctl\.d|valgrind)(\/|$)/ { next }
    /^\/etc\/(alternatives|apt|cron[^\/]*|debconf.conf|default|dpkg|init\.d|kernel|logrotate\.d|pam\.conf|bash_completion\.d|issue|issue\.net|libaudit\.conf|profile\.d|rmt)(\/|$)/ { next }
    /^\/etc\/(pam\.d|perl|security|selinux|skel|sysctl\.[^\/]*|systemd|update-motd\.d|ca-certificates|motd)(\/|$)/ { next }
    # Set up Python packages of the distro, which a tree has no use for.
    /^\/usr\/bin\/py3(clean|compile|versions)$/ || /^\/usr\/share\/python3(\/|$)/ { next }
    /^\/(boot|dev|home|media|mnt|opt|proc|root|run|srv|sys|tmp|var)(\/|$)/ { next }
    /\/__pycache__(\/|$)/ || /\.py[co]$/ || /\.la$/ { next }
    /^\/\.?$/ || $0 == "" { next }
    /^\// { print; next }
    { print "error: cannot read `" $0 "` as a path of a package" > "/dev/stderr"; exit 1 }
  '
}

# Prints the relative target of a link at $1 that shall lead to $2; both absolute.
paths_relative() {
  local from to up="" down
  paths_normal "${1%/*}" from
  paths_normal "$2" to
  from=${from%/}
  while [[ $to/ != "$from"/* ]]; do
    from=${from%/*}
    up+=../
  done
  down=${to#"$from"}
  down=$up${down#/}
  down=${down%/}
  echo "${down:-.}"
}

# Sets the variable named $2 to the absolute path $1 without `.`, `..` and empty parts, wherever links in it lead.
paths_normal() {
  local part parts kept=() IFS=/
  read -r -d '' -a parts <<<"$1/" || true # there is no NUL at the end
  for part in "${parts[@]}"; do
    case $part in
      '' | . | $'\n') ;;
      ..) ((${#kept[@]} == 0)) || unset 'kept[-1]' ;;
      *) kept+=("$part") ;;
    esac
  done
  printf -v "$2" '/%s' "${kept[*]}"
}
