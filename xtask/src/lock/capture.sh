# shellcheck shell=sh
# Says what the chroot's package manager knows. Run in the chroot after the setup script; the sections are read by
# `observed.rs`. A chroot without a package manager has none of them.
set -eu
export LC_ALL=C
section() { printf '@@ %s\n' "$1"; }
has() { command -v "$1" >/dev/null 2>&1; }

if [ -r /etc/os-release ]; then
  section os-release
  cat /etc/os-release
  echo
fi

# A busybox has programs of these names, too, but no database of packages.
if [ -d /var/lib/dpkg/info ] && has dpkg-query; then
  section deb
  dpkg-query --show --showformat='${db:Status-Abbrev}\t${Package}\t${Architecture}\t${Version}\n'
  section deb-files
  # One process, which names each list before it.
  (cd /var/lib/dpkg/info && head -v -n -0 -- *.list)
  if has apt-cache; then
    section deb-index
    # A package that the indexes do not know (any more) is known to dpkg, so that this fails for none.
    dpkg-query --show --showformat='${Package}:${Architecture}\n' | xargs apt-cache show --
  fi
fi

if { [ -d /var/lib/rpm ] || [ -d /usr/lib/sysimage/rpm ]; } && has rpm; then
  section rpm
  rpm -qa --queryformat '%{NAME}\t%{ARCH}\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}\t%{SHA256HEADER}\t%{LICENSE}\n'
  section rpm-files
  rpm -qa --queryformat '[%{=NAME}\t%{=ARCH}\t%{FILENAMES}\n]'
fi

# What pip told about the files that it downloaded (`python_pip_install` keeps it).
if [ -n "$(ls /joblet/records/pip-*.json 2>/dev/null)" ]; then
  section pip
  cat /joblet/records/pip-*.json
fi
