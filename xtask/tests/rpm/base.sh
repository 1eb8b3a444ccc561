#!/usr/bin/env bash
# Makes an RPM-based base: the programs of this Debian machine as RPM packages, installed by rpm into an empty root. They
# have their own lists of files, and require of each other what rpmbuild finds in them; its os-release says RHEL 9.
#
#     xtask/tests/rpm/base.sh FOLDER      leaves FOLDER/base.tar
#
# The repository's own test base: no distro's packages can be had where the tests run. What Debian's dpkg knows of
# versions and files is taken over; what its packages would do when they are installed is not.
set -euo pipefail
shopt -s inherit_errexit
umask 022
export LC_ALL=C.UTF-8

here=$(cd "$(dirname "$0")" && pwd)
work=$(cd "$1" && pwd)
programs=(bash coreutils findutils sed grep tar gzip rpm dnf python3 libc-bin)
# What these programs' packages name and do not need here.
without=adduser,debconf,debianutils,debugedit,dpkg,gnupg,init-system-helpers,libgdbm6,libgdbm-compat4,media-types,passwd
without+=,perl,perl-base,python3-dbus,python3-distutils,python3-lib2to3,sysvinit-utils

# Runs functions of the library, which knows how Debian's packages depend on each other, and what a runtime needs of them.
library() {
  RUNTIME_NAME=base JOBLET_RUNTIME_DIR=$work/runtime bash -c ". '$here/../../../runtimes/lib/lib.sh' && $1" sh "${@:2}"
}

# Prints a package's files and links, where a merged /usr has them.
files_of() {
  # shellcheck disable=SC2016 # the path is the inner shell's
  dpkg-query --listfiles "$1" | sed -E '/^(package diverts|diverted by|locally diverted)/d' |
    library 'paths_merge_usr | paths_wanted | sed "/^.usr.share.doc/d"' |
    xargs -d '\n' -r sh -c 'for path do [ ! -L "$path" ] && [ ! -f "$path" ] || printf "%s\n" "$path"; done' sh
}

# Prints the description of a package whose files are in a list: Debian's `epoch:version-revision` is RPM's.
describe() {
  local package=$1 list=$2 version epoch=0 revision=1
  version=$(dpkg-query --show --showformat='${Version}' "$package")
  [[ $version != *:* ]] || epoch=${version%%:*} version=${version#*:}
  [[ $version != *-* ]] || revision=${version##*-} version=${version%-*}
  printf '%%package -n %s\nEpoch: %s\nVersion: %s\nRelease: %s\nSummary: Debian'"'"'s %s\nLicense: as Debian says\n' \
    "$package" "$epoch" "${version//-/.}" "$revision" "$package"
  case $package in
    bash) echo 'Provides: /bin/sh, /bin/bash' ;;
    # As glibc's own package says: its loader knows this kind of table.
    libc6) echo 'Provides: rtld(GNU_HASH)' ;;
  esac
  printf '%%description -n %s\nFor tests.\n%%files -n %s -f %s\n' "$package" "$package" "$list"
}

mkdir -p "$work/lists" "$work/tree" "$work/rpms"
awk=$(readlink -f "$(command -v awk)")
awk_package=$(dpkg-query --search "$awk" | cut -d : -f 1)
packages=$(library 'packages_database | packages_closure_of "$@"' "$without" "${programs[@]}" "$awk_package")
{
  cat "$here/base.spec"
  for package in $packages; do
    list=$work/lists/$package
    files_of "$package" >"$list"
    # Some have nothing but documentation.
    [[ ! -s $list ]] || describe "$package" "$list"
  done
} >"$work/base.spec"
cat "$work"/lists/* | sort -u >"$work/files"

# `rpmbuild` finds out what each file requires; nothing is stripped, compressed or byte-compiled again.
rpmbuild -bb --quiet "$work/base.spec" --define "_topdir $work/rpmbuild" --define "_rpmdir $work/rpms" \
  --define "listed $work/files" --define "awk_program ${awk##*/}"
rpmbuild -bb --quiet "$here/notes.spec" --define "_topdir $work/rpmbuild" --define "_rpmdir $work/rpms" --define 'made 2.0'

as_root=()
((EUID == 0)) || as_root=(unshare --user --map-root-user)
mkdir -p "$work/tree/var/lib/rpm"
"${as_root[@]}" rpm --root "$work/tree" --define '_dbpath /var/lib/rpm' --install --force-debian --nosignature "$work"/rpms/*/*.rpm
tar --create --file="$work/base.tar" --directory="$work/tree" --owner=0 --group=0 --numeric-owner .
