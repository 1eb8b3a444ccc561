#!/bin/bash
# Distro packages: installing them in the chroot, and exporting their files into the tree.

# Installs packages of the distro in the chroot, without the ones they merely recommend.
packages_install() {
  (($#)) || die "packages_install: no package is named"
  log "installing $# packages and what they depend on"
  case $(packages_manager) in
    apt)
      # Downloads run as root: in a user namespace with one uid there is no `_apt` to become.
      local apt=(apt-get -q -y -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 -o Acquire::Retries=3)
      export DEBIAN_FRONTEND=noninteractive
      "${apt[@]}" -o APT::Update::Error-Mode=any update
      "${apt[@]}" --no-install-recommends install "$@"
      ;;
    dnf) rpm_install "$@" ;;
    *) die "packages_install: this base has no package manager that is supported (apt, dnf)" ;;
  esac
}

# Copies packages and all that they depend on into the tree: exactly the files that their package lists name, less
# documentation (copyright notices stay), translations, and other files that nothing running needs.
#
#     packages_export [--development] [--without NAME,NAME…] PACKAGE…
#
# A package of `--without` is left out, and what only it depends on is left out too. `--development` keeps what compilers
# need: headers, static libraries, pkg-config's files.
packages_export() {
  local without="" kind="" packages
  while [[ ${1-} == --* ]]; do
    case $1 in
      --development) kind=development && shift ;;
      --without) without=${2-} && shift 2 ;;
      *) die "packages_export: there is no option \`$1\`" ;;
    esac
  done
  (($#)) || die "packages_export: no package is named"
  packages=$(packages_closure "$(packages_default_without),$without" "$@")
  log "exporting $(wc -l <<<"$packages") packages"
  packages_check_without "$without" "$packages"
  packages_files "$packages" "$kind" | tree_copy_list
  packages_alternatives
}

# Prints the name of the base's package manager. A base of one family may have the other's programs, but no packages.
packages_manager() {
  if [[ -s $JOBLET_ROOT/var/lib/dpkg/status ]]; then
    echo apt
  elif [[ -d $JOBLET_ROOT/var/lib/rpm || -d $JOBLET_ROOT/usr/lib/sysimage/rpm ]]; then
    echo dnf
  else
    echo none
  fi
}

# Prints packages that set systems up and do nothing in a runtime: it has no services, no logins and no dpkg.
packages_default_without() {
  if [[ $(packages_manager) == dnf ]]; then
    rpm_default_without
  else
    echo "adduser,apt,debconf,debianutils-doc,dpkg,init-system-helpers,install-info,login,passwd,sensible-utils"
  fi
}

# Prints the installed packages as `name<TAB>architecture<TAB>provides<TAB>depends, pre-depends`.
packages_database() {
  # shellcheck disable=SC2016 # the format is dpkg-query's, not the shell's
  dpkg-query --show \
    --showformat='${db:Status-Abbrev}\t${Package}\t${Architecture}\t${Provides}\t${Pre-Depends}, ${Depends}\n' |
    sed -n 's/^ii *\t//p'
}

# Prints the closure of packages over the dependencies in dpkg's database, sorted.
packages_closure() {
  local without=$1
  shift
  if [[ $(packages_manager) == dnf ]]; then
    rpm_database | rpm_closure_of "$without" "$@"
  else
    packages_database | packages_closure_of "$without" "$@"
  fi
}

# The same for a database on standard input. Of `a | b` every installed package is taken: which one made the
# dependency true cannot be told. A dependency that nothing installed provides fails, unless it is left out by name.
packages_closure_of() {
  local without=$1
  shift
  awk -F '\t' -v without="$without" -v roots="$*" '
    function bare(name) { sub(/[ (:].*$/, "", name); return name }
    function take(name, i, n, words) {
      n = split(providers[name], words, " ")
      for (i = 1; i <= n; i++)
        if (!(words[i] in skipped) && !(words[i] in taken)) { taken[words[i]] = 1; queue[++last] = words[i] }
      return n
    }
    BEGIN {
      n = split(without, list, ","); for (i = 1; i <= n; i++) if (list[i] != "") skipped[list[i]] = 1
    }
    {
      depends[$1] = $4
      providers[$1] = $1 " " providers[$1]
      n = split($3, list, /, */)
      for (i = 1; i <= n; i++) if (list[i] != "") providers[bare(list[i])] = providers[bare(list[i])] " " $1
    }
    END {
      n = split(roots, list, " ")
      for (i = 1; i <= n; i++) {
        if (!(list[i] in depends)) { print "error: package `" list[i] "` is not installed" > "/dev/stderr"; bad = 1 }
        taken[list[i]] = 1; queue[++last] = list[i]
      }
      for (next_ = 1; next_ <= last && !bad; next_++) {
        n = split(depends[queue[next_]], clauses, /, */)
        for (i = 1; i <= n; i++) {
          if (clauses[i] == "") continue
          m = split(clauses[i], options, / *\| */); found = 0
          for (j = 1; j <= m; j++) {
            name = bare(options[j])
            if (name in skipped || take(name)) found = 1
          }
          if (!found) {
            print "error: `" queue[next_] "` depends on `" clauses[i] "`, which is not installed" > "/dev/stderr"
            bad = 1
          }
        }
      }
      if (bad) exit 1
      for (name in taken) print name
    }
  ' | sort
}

# A name in `--without` that is in no dependency is a typing mistake or out of date; one that is exported anyway, a
# contradiction.
packages_check_without() {
  local without=$1 packages=$2 name
  for name in ${without//,/ }; do
    packages_is_installed "$name" || die "packages_export: \`$name\` of --without is not installed"
    ! grep -qxF -- "$name" <<<"$packages" || die "packages_export: \`$name\` is both named and left out"
  done
}

packages_is_installed() {
  if [[ $(packages_manager) == dnf ]]; then
    rpm -q "$1" >/dev/null
  else
    dpkg-query --show "$1" >/dev/null 2>&1
  fi
}

# Prints the paths of the packages (names, one per line) that belong into a runtime, sorted; the second argument is that
# of paths_wanted.
packages_files() {
  local names kind=${2-}
  mapfile -t names <<<"$1"
  if [[ $(packages_manager) == dnf ]]; then
    rpm_files "${names[@]}"
  else
    # Lines that are no paths tell of diversions; `dash` replacing /bin/sh is the one that matters, and is in its list.
    dpkg-query --listfiles "${names[@]}" | sed -E '/^(package diverts|diverted by|locally diverted)/d'
  fi | paths_merge_usr | paths_wanted "$kind" | sort -u
}

# Gives the tree what `update-alternatives` made in the chroot, such as `awk` and `which`: a link right to the chosen
# program, where the tree has that program.
packages_alternatives() {
  local pairs link target
  local -A wanted=()
  case $(packages_manager) in
    apt) pairs=$(packages_alternative_pairs) ;;
    dnf) pairs=$(rpm_alternative_pairs) ;;
    *) return 0 ;;
  esac
  while read -r link; do
    wanted[$link]=1
  done < <(cut -d ' ' -f 1 <<<"$pairs" | paths_wanted)
  while read -r link target; do
    [[ -n ${wanted[${link:-/}]-} && -e $JOBLET_TREE$target && ! -e $JOBLET_TREE$link ]] || continue
    mkdir -p "$JOBLET_TREE${link%/*}"
    ln -sfn "$(paths_relative "$link" "$target")" "$JOBLET_TREE$link"
  done <<<"$pairs"
}

# Prints `link target` for all alternatives of the chroot, where a merged /usr has them.
packages_alternative_pairs() {
  local name status value
  # The third column is a path; names and states hold no spaces.
  while read -r name status value; do
    [[ $status == auto || $status == manual ]] || die "packages_alternatives: cannot read \`$name $status $value\`"
    update-alternatives --query "$name" | packages_alternative_links "$value"
  done < <(update-alternatives --get-selections | sort) | tr ' ' '\n' | paths_merge_usr | paste -d ' ' - -
}

# Prints `link target` for an alternative and its slaves, from what `update-alternatives --query` says on standard input.
packages_alternative_links() {
  awk -v value="$1" '
    /^Link: / { print $2, value }
    /^Slaves:/ { in_slaves = 1; next }
    /^[A-Z]/ { in_slaves = 0 }
    /^Alternative: / { chosen = ($2 == value) }
    in_slaves && NF == 2 { if (chosen) print link[$1], $2; else if (!($1 in link)) link[$1] = $2 }
  '
}
