#!/bin/bash
# What a definition's `setup.sh` does: choosing the setup script of a platform.

# Runs `setup-<platform>.sh` beside the calling script, for the platform that the build names, or else the one that this
# system is.
setup_dispatch() {
  local platform=${RUNTIME_PLATFORM:-} script arch
  if [[ -z $platform ]]; then
    # Each on a line of its own: in one word with another, its failure would not end this.
    platform=$(system_distro /etc/os-release)
    arch=$(system_arch)
    platform=$platform-$arch
  fi
  script=$(dirname -- "$0")/setup-$platform.sh
  [[ -x $script ]] || die "$RUNTIME_NAME has no setup script for $platform"
  exec "$script"
}

# Prints the distro of an os-release file as platforms name it. Amazon Linux says that it is like Fedora, and a
# derivative of RHEL that it is like RHEL: the more special one is asked for first.
system_distro() {
  local ids
  # shellcheck source=/dev/null
  ids=$(. "$1" && echo "${ID-} ${ID_LIKE-}")
  case " $ids " in
    *" amzn "*) echo amzn ;;
    *" rhel "* | *" centos "* | *" fedora "*) echo rhel ;;
    *" ubuntu "* | *" debian "*) echo ubuntu ;;
    *) die "$RUNTIME_NAME has no setup script for this system, which says that it is \`${ids% }\`" ;;
  esac
}

# Prints this machine's architecture as platforms name it.
system_arch() {
  local machine
  machine=$(uname -m)
  case $machine in
    x86_64) echo amd64 ;;
    aarch64) echo arm64 ;;
    *) die "$RUNTIME_NAME has no setup script for machines of the kind $machine" ;;
  esac
}
