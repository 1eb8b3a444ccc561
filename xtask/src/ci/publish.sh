#!/bin/sh
# The way of a release, on one machine: what is in dist/ goes to a GitHub on loopback, from the registry there onto a
# host, and into a job. `cargo xtask ci publish` runs it with the program as its first argument.
set -eu
cargo build --quiet --workspace --locked --features xtask/github
bin=$(dirname "$1")
name=python-3.11
tag="$name@$(sed -n 's/^version: *//p' "runtimes/$name/manifest.yaml")"
platform=ubuntu-$(dpkg --print-architecture)
way=$(mktemp -d)
export HOME="$way" NO_PROXY=127.0.0.1 GITHUB_TOKEN=a-token-of-this-run

# The server ends when nobody holds its standard input open any more.
git clone --quiet --bare . "$way/runtimes.git"
git --git-dir "$way/runtimes.git" update-ref --no-deref HEAD "$(git rev-parse HEAD)"
git --git-dir "$way/runtimes.git" update-ref refs/heads/main "$(git rev-parse HEAD)"
git --git-dir "$way/runtimes.git" symbolic-ref HEAD refs/heads/main
mkfifo "$way/open"
LOCAL_GITHUB_TOKEN=$GITHUB_TOKEN "$bin/local-github" "$way" "$way/runtimes.git" <"$way/open" >"$way/where" &
server=$!
exec 3>"$way/open"
trap 'exec 3>&-; wait "$server"; rm -rf "$way"' EXIT
until [ -s "$way/where" ]; do sleep 0.1; done
where() {
  sed "s|.*\"$1\":\"\([^\"]*\)\".*|\1|" "$way/where"
}

git clone --quiet "$way/runtimes.git" "$way/clone"
as_someone="-c user.name=someone -c user.email=someone@example.org"
# shellcheck disable=SC2086 # two options
git -C "$way/clone" $as_someone tag --annotate --message "$tag" "$tag"
git -C "$way/clone" push --quiet origin "$tag"
export GIT_AUTHOR_NAME=someone GIT_AUTHOR_EMAIL=someone@example.org
export GIT_COMMITTER_NAME=someone GIT_COMMITTER_EMAIL=someone@example.org
set -- publish "$tag" --repo "$way/clone" --dist "$PWD/dist" --platform "$platform" \
  --repository owner/runtimes --api-url "$(where api)" --server-url "$(where web)"
"$bin/xtask" "$@" --dry-run
"$bin/xtask" "$@"
# Everything is there already.
"$bin/xtask" "$@" --resume

"$bin/rnx" --base "$way/base" runtime install --registry "$(where registry)" "$tag"
"$bin/rnx" --base "$way/base" job run --runtime="$tag" -- python3 -c 'print("released")' | grep -x released
