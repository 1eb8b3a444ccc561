#!/bin/bash
# Builds the runtime in a chroot: `cargo xtask build NAME`. The functions are described in /joblet/lib.sh.
set -eu
# shellcheck source=/dev/null
. "${JOBLET_LIB:-/joblet/lib.sh}"

# What the runtime is made of; what these packages depend on comes with them.
packages=(base-files bash ca-certificates coreutils dash libc-bin openssl python3 python-is-python3 tzdata)
# Only to build with.
tools=(python3-pip-whl)

packages_install "${packages[@]}" "${tools[@]}"
packages_export "${packages[@]}"
# Packages from PyPI: pin each in requirements.txt, with its digests (`pip-compile --generate-hashes`).
if [ -e requirements.txt ]; then
  python_pip_install python3.11 requirements.txt
fi
# Perl is left out, so its scripts could not start; and cgi.py asks for a Python in /usr/local.
tree_drop_scripts /usr/bin/perl
tree_link /usr/local/bin/python /usr/bin/python3.11
tree_finish

python_compile python3.11 /usr/lib/python3.11
if [ -e requirements.txt ]; then
  python_compile python3.11 /usr/local/lib/python3.11
fi
runtime_yml LANG=C.UTF-8 PYTHONUNBUFFERED=1 PATH_PREPEND=/usr/local/bin:/usr/bin
