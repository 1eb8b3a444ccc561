#!/bin/bash
# Runs the setup script of this platform: the one the build names, or else the one this system is.
set -eu

platform=${RUNTIME_PLATFORM:-}
if [ -z "$platform" ]; then
  # shellcheck source=/dev/null
  case " $(. /etc/os-release && echo "$ID ${ID_LIKE:-}") " in
    *" debian "* | *" ubuntu "*) distro=ubuntu ;;
    *) echo "error: python-3.11 is built on Debian; other distros use that build" >&2 && exit 1 ;;
  esac
  case $(uname -m) in
    x86_64) arch=amd64 ;;
    aarch64) arch=arm64 ;;
    *) echo "error: python-3.11 has no build for $(uname -m)" >&2 && exit 1 ;;
  esac
  platform=$distro-$arch
fi

script=$(dirname "$0")/setup-$platform.sh
if [ ! -x "$script" ]; then
  echo "error: python-3.11 has no setup script for $platform" >&2
  exit 1
fi
exec "$script"
