#!/bin/sh
# Runs a test program as an ordinary user, as `cargo test` would if he called it: in his clone, with a folder of his own for
# what is temporary, and with nothing of root's environment. Cargo calls it for each program of the workspace; the other
# crates' tests are no matter of the user's.
set -eu
case $CARGO_PKG_NAME in
  rnx | rnx-archive | rnx-sandbox | rnx-store) ;;
  *) exit 0 ;;
esac
program=$AS_USER_WAY/tests/$(basename "$1")
install "$1" "$program"
shift
package=$AS_USER_WAY/repo/crates/$CARGO_PKG_NAME
cd "$package"
echo "as $AS_USER: $CARGO_PKG_NAME"
exec setpriv --reuid="$AS_USER" --regid="$AS_USER" --init-groups --inh-caps=-all \
  env --ignore-environment HOME="$(dirname "$AS_USER_WAY")" USER="$AS_USER" PATH="$PATH" LANG=C.UTF-8 ${CI:+CI="$CI"} \
  TMPDIR="$AS_USER_WAY/tmp" CARGO_MANIFEST_DIR="$package" CARGO_BIN_EXE_rnx="$AS_USER_WAY/bin/rnx" \
  INSTA_WORKSPACE_ROOT="$AS_USER_WAY/repo" INSTA_UPDATE=no "$program" "$@"
