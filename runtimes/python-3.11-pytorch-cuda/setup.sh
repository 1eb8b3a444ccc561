#!/bin/bash
# Runs the setup script of this platform.
set -eu
# shellcheck source=runtimes/lib/lib.sh
. "${JOBLET_LIB:-/joblet/lib.sh}"
setup_dispatch
