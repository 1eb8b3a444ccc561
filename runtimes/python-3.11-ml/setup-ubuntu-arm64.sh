#!/bin/bash
# CPython 3.11 with libraries for data and machine learning, for arm64. Both architectures have the same recipe.
set -eu
# shellcheck source=runtimes/python-3.11-ml/debian.sh
. "$(dirname "$0")/debian.sh"
