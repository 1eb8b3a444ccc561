#!/bin/bash
# The recipe that the runtimes on Debian's CPython share: its whole standard library, system tools, and the pinned
# wheels of the definition's requirements.txt.
#
#     python_debian_begin          all of it in the tree; then the definition adds and trims what is its own
#     python_debian_end [KEY=VALUE…]    the finished tree, compiled, and runtime.yml

# The version of Python in Debian 12.
JOBLET_PYTHON=python3.11

# Fills the tree.
python_debian_begin() {
  local python=(
    "$JOBLET_PYTHON" "$JOBLET_PYTHON-venv" python3 python-is-python3 python3-distutils python3-gdbm python3-lib2to3
    python3-tk "idle-$JOBLET_PYTHON" tzdata
  )
  local tools=(
    base-files bash bzip2 ca-certificates coreutils curl dash debianutils diffutils findutils gawk git grep gzip hostname
    less libc-bin ncurses-base ncurses-bin netbase openssl patch procps sed tar unzip util-linux xz-utils zip
  )
  # git runs Perl only for `instaweb` and `send-email`; idle and Tk are here to be imported, not for a desktop.
  local without=git-man,perl,liberror-perl,fontconfig-config,libjs-mathjax,libx11-data,x11-common
  packages_install "${python[@]}" "${tools[@]}"
  packages_export --without "$without" "${python[@]}" "${tools[@]}"
  python_pip_install "$JOBLET_PYTHON" requirements.txt
  # Without Perl these cannot start; and cgi.py asks for a Python in /usr/local.
  tree_drop_scripts /usr/bin/perl
  tree_link /usr/local/bin/python "/usr/bin/$JOBLET_PYTHON"
  python_debian_trim
  python_debian_externally_managed >"$JOBLET_TREE/usr/lib/$JOBLET_PYTHON/EXTERNALLY-MANAGED"
}

# Removes what no job can use.
python_debian_trim() {
  # git's servers, and the second copies of its program.
  tree_trim /usr/bin/{git-shell,scalar} \
    /usr/lib/git-core/{git-daemon,git-http-backend,git-http-push,git-imap-send,git-shell,scalar} /usr/share/{gitweb,perl5}
  tree_link /usr/lib/git-core/git /usr/bin/git
  # Programs for disks, logins and package set-up.
  tree_trim /usr/sbin/{add-shell,agetty,blkdiscard,blkzone,ctrlaltdel,fsfreeze,fstrim,getty,hwclock,installkernel} \
    /usr/sbin/{ldattach,mkswap,readprofile,remove-shell,rtcwake,runuser,sulogin,swaplabel,wipefs,zramctl} \
    '/usr/sbin/fsck*' '/usr/sbin/mkfs*' '/usr/sbin/update-*'
  tree_trim "/usr/lib/$JOBLET_PYTHON/test"
}

# Prints what pip says when it is asked to install into the runtime itself.
python_debian_externally_managed() {
  cat <<'END'
[externally-managed]
Error=This runtime is read-only. Packages that one job needs can go to a folder of its own:
 
    pip install --target /tmp/packages NAME     and run with PYTHONPATH=/tmp/packages
    python3 -m venv /tmp/venv                   and use /tmp/venv/bin/pip
 
 Packages that every job needs belong into the runtime's definition.
END
}

# Finishes the tree, and adds to the environment of jobs what is given.
python_debian_end() {
  tree_finish
  python_compile "$JOBLET_PYTHON" "/usr/lib/$JOBLET_PYTHON" "/usr/local/lib/$JOBLET_PYTHON"
  # Seldom imported, and large.
  tree_trim "/usr/lib/$JOBLET_PYTHON"/{idlelib,lib2to3,pydoc_data}/__pycache__
  # HOME: pip and git want one, and a job's /tmp is its own.
  runtime_yml HOME=/tmp LANG=C.UTF-8 PATH_PREPEND=/usr/local/bin:/usr/bin PYTHONUNBUFFERED=1 \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt "$@"
}
