#!/bin/bash
# CPython 3.11 from Debian's packages, for amd64. Both architectures have the same recipe.
set -eu
# shellcheck source=runtimes/lib/lib.sh
. "${JOBLET_LIB:-/joblet/lib.sh}"
python_debian_begin
python_debian_end
