#!/bin/bash
# Node.js packages.

# Installs npm into the tree's /usr/local: this version, and the bytes that have this digest (sha512, in hex), or nothing.
# It bundles what it depends on. Debian's own npm is not taken: it brings some 300 packages along, webpack among them.
#
#     node_npm VERSION SHA512
#
# corepack, of the distro's package `node-corepack`, fetches it and compares the digest.
node_npm() {
  local version=$1 sha512=$2 home=$JOBLET_RUNTIME_DIR/corepack modules=$JOBLET_TREE/usr/local/lib/node_modules name
  log "installing npm $version"
  COREPACK_HOME=$home corepack prepare "npm@$version+sha512.$sha512"
  mkdir -p "$modules" "$JOBLET_TREE/usr/local/bin"
  mv -- "$home/npm/$version" "$modules/npm"
  # node-gyp compiles with Python and a C++ compiler.
  rm -rf -- "$home" "$modules/npm/"{.corepack,docs,man,node_modules/node-gyp/gyp}
  for name in npm npx; do
    ln -s "../lib/node_modules/npm/bin/$name-cli.js" "$JOBLET_TREE/usr/local/bin/$name"
  done
}
