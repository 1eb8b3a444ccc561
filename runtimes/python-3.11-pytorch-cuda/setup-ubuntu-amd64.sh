#!/bin/bash
# PyTorch with CUDA on the Python of the runtime python-3.11. The CUDA libraries are those that PyPI's wheels bring;
# the driver is the host's.
set -eu
# shellcheck source=runtimes/lib/lib.sh
. "${JOBLET_LIB:-/joblet/lib.sh}"

# What the wheels take for granted of every system.
packages_install libgcc-s1 libstdc++6
packages_export libgcc-s1 libstdc++6
python_debian_begin
python_drop_tests numpy scipy pandas sklearn matplotlib mpl_toolkits joblib networkx sympy torch
# Headers and build files: there is no compiler here, and without one they are of no use.
packages=/usr/local/lib/python3.11/dist-packages
tree_trim "$packages"/torch/{include,share} "$packages/torch/bin/protoc*" "$packages/nvidia/*/include" \
  "$packages"/cusparselt/include "$packages/triton/backends/nvidia/include"
# For FFmpeg and SoX, which this runtime does not have: soundfile reads and writes sound.
tree_trim "$packages"/torio/lib "$packages/torchaudio/lib/*sox*"
# Plots go to files: there is no display.
python_debian_end MPLBACKEND=Agg
