#!/usr/bin/env bash
# Makes a repository of RPM packages: these versions of `circle` and `libshapes`, and two of `notes`. The same version with
# the same note is the same package, byte by byte.
#
#     xtask/tests/rpm/repository.sh FOLDER NOTE VERSION…
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
folder=$1 note=$2
shift 2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

make() {
  SOURCE_DATE_EPOCH=1 rpmbuild -bb --quiet --define "_topdir $scratch" --define "_rpmdir $folder" \
    --define 'use_source_date_epoch_as_buildtime 1' --define 'clamp_mtime_to_source_date_epoch 1' \
    --define '_buildhost localhost' --define "made $2" --define "note $note" "$here/$1.spec"
}
rm -rf "$folder"
mkdir "$folder"
for version in "$@"; do
  make circle "$version"
done
for version in 1.0 2.0; do
  make notes "$version"
done
createrepo_c --quiet "$folder"
