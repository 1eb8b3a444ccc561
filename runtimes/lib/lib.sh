#!/bin/bash
# The shell functions that setup scripts share; mounted at /joblet/lib.sh ($JOBLET_LIB) in a build's chroot.
#
# A setup script sources this file first:
#
#     . "${JOBLET_LIB:-/joblet/lib.sh}"
#
# From then on no failure is swallowed: the first command that fails ends the script, with its file and line.
# The functions build the tree in $JOBLET_TREE from what the chroot has installed:
#
#     setup_dispatch                                   run the setup script of this platform
#     packages_install PACKAGE…                        install packages of the distro (apt, dnf)
#     packages_export [OPTION…] PACKAGE…               copy them and what they depend on into the tree
#     tree_copy PATH…                                  copy single paths of the chroot into the tree
#     tree_trim PATTERN…                               remove paths of the tree
#     tree_trim_named FOLDER NAME…                     remove what has a name, wherever in a folder
#     tree_link LINK TARGET                            add a link to the tree
#     tree_drop_scripts INTERPRETER…                   remove programs of an interpreter that is left out
#     tree_finish                                      make /etc, links, modes and ld.so.cache as a runtime needs them
#     python_pip_install PYTHON REQUIREMENTS           install pinned Python packages into the tree
#     python_drop_tests PACKAGE…                       remove the test suites of Python packages
#     python_compile PYTHON FOLDER…                    compile modules into the tree, reproducibly
#     node_npm VERSION SHA512                          install npm into the tree
#     runtime_yml [KEY=VALUE…]                         write runtime.yml
#
# What they write depends on the installed packages alone: no times, no random names, sorted lists.

set -Eeuo pipefail
shopt -s inherit_errexit
umask 022
# Sorting and character classes must not depend on the locale of whoever builds.
export LC_ALL=C.UTF-8

# Says what is being done.
log() {
  printf '==> %s\n' "$*" >&2
}

# Ends the script with a message.
die() {
  trap - ERR
  printf 'error: %s\n' "$*" >&2
  exit 1
}

joblet_failed() {
  local status=$1 pipe=$2 command=$3 file=$4 line=$5
  trap - ERR
  command=${command%%$'\n'*}
  # Of a pipeline, bash names the last command alone, whichever failed.
  [[ $pipe != *" "* ]] || command="… | $command" status="$status (each: $pipe)"
  # shellcheck disable=SC2016 # the backquotes are for the reader
  printf 'error: %s:%s: `%s` exited with %s\n' "$file" "$line" "$command" "$status" >&2
  exit "$1"
}
trap 'joblet_failed "$?" "${PIPESTATUS[*]}" "$BASH_COMMAND" "${BASH_SOURCE[0]:-$0}" "$LINENO"' ERR

# Where the functions read from and write to. Tests point them somewhere else.
: "${JOBLET_RUNTIME_DIR:=/opt/joblet/runtimes/${RUNTIME_NAME:?is not set; setup scripts are run by \`cargo xtask build\`}}"
export JOBLET_TREE=$JOBLET_RUNTIME_DIR/isolated
# The chroot: packages are looked for below it.
: "${JOBLET_ROOT:=}"
# What is worth knowing after the build, and no part of the tree.
: "${JOBLET_RECORDS:=/joblet/records}"

joblet_source_parts() {
  local here part
  here=$(dirname -- "${BASH_SOURCE[0]}")
  [[ ! -d $here/lib ]] || here=$here/lib
  for part in dispatch packages packages_rpm paths tree etc python python_debian java node runtime_yml; do
    # shellcheck source=/dev/null
    . "$here/$part.sh"
  done
}
joblet_source_parts
