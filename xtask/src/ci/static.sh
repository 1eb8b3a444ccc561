#!/bin/sh
# rnx as it is given to people, one file: that it needs nothing of the host, resolves names, and is small. What `try` left
# is what it installs. `cargo xtask ci static` runs it.
set -eu
bytes_max=$((12 * 1024 * 1024))
rnx=$(scripts/build-static.sh)
if readelf --program-headers "$rnx" | grep INTERP; then
  echo "$rnx needs an interpreter of the host" >&2
  exit 1
fi
bytes=$(stat --format %s "$rnx")
echo "$rnx: $bytes bytes"
test "$bytes" -le "$bytes_max"

way=$(mktemp -d)
export HOME="$way"
mkfifo "$way/said"
python3 -u -m http.server --bind 127.0.0.1 --directory dist/try/registry 0 >"$way/said" 2>&1 &
server=$!
trap 'kill "$server"; rm -rf "$way"' EXIT
exec 3<"$way/said"
read -r line <&3
port=${line#*port }
port=${port%% *}
# `localhost` is in /etc/hosts: a name, asked of the C library that is inside.
export no_proxy=localhost,127.0.0.1
"$rnx" --base "$way/base" runtime install --registry "http://localhost:$port/registry.json" python-3.11
"$rnx" --base "$way/base" job run --runtime=python-3.11 -- python3 -c 'print("one file")' | grep -x 'one file'
