#!/bin/bash
# The recipe: the Python of the runtime python-3.11, and wheels from PyPI, which bring their own OpenBLAS and OpenMP.
set -eu
# shellcheck source=runtimes/lib/lib.sh
. "${JOBLET_LIB:-/joblet/lib.sh}"

# What the wheels take for granted of every system.
packages_install libgcc-s1 libstdc++6
packages_export libgcc-s1 libstdc++6
python_debian_begin
python_drop_tests numpy scipy pandas sklearn matplotlib mpl_toolkits joblib
# Plots go to files: there is no display.
python_debian_end MPLBACKEND=Agg
