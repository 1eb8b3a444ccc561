#!/bin/sh
# As root, goes the whole way as an ordinary user, whom it makes, and runs all tests of the host side again as that user;
# as an ordinary user, the checks `try` and `test` did that. `cargo xtask ci ordinary` runs it with the program as its
# first argument.
set -eu
if [ "$(id -u)" != 0 ]; then
  echo "this is an ordinary user"
  exit 0
fi
user=joblet-ci
id "$user" >/dev/null 2>&1 || useradd --create-home "$user"
grep -q "^$user:" /etc/subuid || usermod --add-subuids 2000000-2065535 --add-subgids 2000000-2065535 "$user"
home=$(getent passwd "$user" | cut -d: -f6)
rm -rf "$home/way"
install -d -o "$user" "$home/way" "$home/way/bin" "$home/way/tests" "$home/way/tmp"
install "$1" "$(dirname "$1")/rnx" "$home/way/bin"
git clone --quiet . "$home/way/repo"
chown -R "$user" "$home/way/repo"

# The programs are those of the check `test`: root compiles, and Cargo gives each to the script that changes the user.
export AS_USER="$user" AS_USER_WAY="$home/way"
cargo test --config "target.'cfg(all())'.runner = ['sh', '$PWD/xtask/src/ci/as-user.sh']" \
  --workspace --locked --features xtask/github --tests --no-fail-fast -- --show-output

certificates=${SSL_CERT_FILE:+SSL_CERT_FILE=$SSL_CERT_FILE}
su "$user" -c "cd && env -u CARGO $certificates way/bin/xtask try --repo way/repo python-3.11"
