#!/bin/bash
# CPython 3.11 from Debian's packages, for amd64. Both architectures have the same recipe.
set -eu
# shellcheck source=runtimes/python-3.11/debian.sh
. "$(dirname "$0")/debian.sh"
