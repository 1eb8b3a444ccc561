#!/bin/bash
# The recipe: Debian's CPython 3.11 with its whole standard library, pinned packages from PyPI, and system tools.
set -eu
# shellcheck source=runtimes/lib/lib.sh
. "${JOBLET_LIB:-/joblet/lib.sh}"

python=(
  python3.11 python3.11-venv python3 python-is-python3 python3-distutils python3-gdbm python3-lib2to3 python3-tk
  idle-python3.11 tzdata
)
tools=(
  base-files bash bzip2 ca-certificates coreutils curl dash debianutils diffutils findutils gawk git grep gzip hostname
  less libc-bin ncurses-base ncurses-bin netbase openssl patch procps sed tar unzip util-linux xz-utils zip
)
# git runs Perl only for `instaweb` and `send-email`; idle and Tk are here to be imported, not for a desktop.
without=git-man,perl,liberror-perl,fontconfig-config,libjs-mathjax,libx11-data,x11-common

packages_install "${python[@]}" "${tools[@]}"
packages_export --without "$without" "${python[@]}" "${tools[@]}"
python_pip_install python3.11 requirements.txt
# Without Perl these cannot start; and cgi.py asks for a Python in /usr/local.
tree_drop_scripts /usr/bin/perl
tree_link /usr/local/bin/python /usr/bin/python3.11
# git's servers, and the second copies of its program.
tree_trim /usr/bin/{git-shell,scalar} \
  /usr/lib/git-core/{git-daemon,git-http-backend,git-http-push,git-imap-send,git-shell,scalar} /usr/share/{gitweb,perl5}
tree_link /usr/lib/git-core/git /usr/bin/git
# Programs for disks, logins and package set-up, which no job can use.
tree_trim /usr/sbin/{add-shell,agetty,blkdiscard,blkzone,ctrlaltdel,fsfreeze,fstrim,getty,hwclock,installkernel} \
  /usr/sbin/{ldattach,mkswap,readprofile,remove-shell,rtcwake,runuser,sulogin,swaplabel,wipefs,zramctl} \
  '/usr/sbin/fsck*' '/usr/sbin/mkfs*' '/usr/sbin/update-*'
tree_trim /usr/lib/python3.11/test
# What pip says when it is asked to install into the runtime itself.
cp -- externally-managed "$JOBLET_TREE/usr/lib/python3.11/EXTERNALLY-MANAGED"
tree_finish

python_compile python3.11 /usr/lib/python3.11 /usr/local/lib/python3.11
# Seldom imported, and large.
tree_trim /usr/lib/python3.11/{idlelib,lib2to3,pydoc_data}/__pycache__
# HOME: pip and git want one, and a job's /tmp is its own.
runtime_yml HOME=/tmp LANG=C.UTF-8 PATH_PREPEND=/usr/local/bin:/usr/bin PYTHONUNBUFFERED=1 \
  SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
