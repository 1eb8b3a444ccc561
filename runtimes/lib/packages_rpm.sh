#!/bin/bash
# Distro packages of RPM-based bases, with dnf and rpm: what packages.sh does with apt and dpkg.

# Installs packages in the chroot, without the ones they merely recommend.
rpm_install() {
  dnf --assumeyes --quiet --setopt=install_weak_deps=False --setopt=keepcache=False --setopt=retries=3 install "$@"
}

# Prints packages that set systems up and do nothing in a runtime.
rpm_default_without() {
  echo "authselect,authselect-libs,chkconfig,dnf,python3-dnf,rpm,shadow-utils,systemd,systemd-libs,util-linux-user"
}

# Prints what rpm's database says: `N name`, `P name capability`, `F name path`, `R name requirement`, tab-separated.
rpm_database() {
  rpm -qa --queryformat 'N\t%{NAME}\n[P\t%{=NAME}\t%{PROVIDENAME}\n][F\t%{=NAME}\t%{FILENAMES}\n][R\t%{=NAME}\t%{REQUIRENAME}\n]'
}

# Prints the closure of packages over the requirements in a database on standard input, sorted.
#
# A requirement is a capability or a path, and every installed package that has it is taken. Of one that is an expression,
# as `(a if b)`, the packages in it that are installed are taken: dnf found it to be true. One that nothing installed
# provides fails, unless a package that is left out by name is called so.
rpm_closure_of() {
  local without=$1
  shift
  awk -F '\t' -v without="$without" -v roots="$*" '
    function merged(path) { sub(/^\/(bin|sbin|lib|lib64)\//, "/usr&", path); return path }
    function take(capability, i, n, names) {
      if (capability in skipped) return 1
      n = split(providers[capability], names, "\t")
      for (i = 2; i <= n; i++)
        if (!(names[i] in skipped) && !(names[i] in taken)) { taken[names[i]] = 1; queue[++last] = names[i] }
      return n
    }
    BEGIN { n = split(without, list, ","); for (i = 1; i <= n; i++) if (list[i] != "") skipped[list[i]] = 1 }
    $1 == "N" { installed[$2] = 1; providers[$2] = providers[$2] "\t" $2 }
    $1 == "P" || $1 == "F" { providers[merged($3)] = providers[merged($3)] "\t" $2 }
    $1 == "R" { requires[$2] = requires[$2] "\t" $3 }
    END {
      n = split(roots, list, " ")
      for (i = 1; i <= n; i++) {
        if (!(list[i] in installed)) { print "error: package `" list[i] "` is not installed" > "/dev/stderr"; bad = 1 }
        taken[list[i]] = 1; queue[++last] = list[i]
      }
      for (next_ = 1; next_ <= last && !bad; next_++) {
        n = split(requires[queue[next_]], needs, "\t")
        for (i = 2; i <= n; i++) {
          if (needs[i] ~ /^rpmlib\(/) continue
          if (needs[i] ~ /^\(/) {
            m = split(needs[i], words, /[() ]+/)
            for (j = 1; j <= m; j++) if (words[j] in installed) take(words[j])
          } else if (!take(merged(needs[i]))) {
            print "error: `" queue[next_] "` depends on `" needs[i] "`, which is not installed" > "/dev/stderr"
            bad = 1
          }
        }
      }
      if (bad) exit 1
      for (name in taken) print name
    }
  ' | sort
}

# Prints the files of packages (names as arguments) that were installed: no documentation but licences, and nothing that
# a package merely owns.
rpm_files() {
  rpm -q --queryformat '[%{FILESTATES:fstate}\t%{FILEFLAGS:fflags}\t%{FILENAMES}\n]' "$@" |
    awk -F '\t' '$1 == "normal" && $2 !~ /g/ && ($2 !~ /d/ || $2 ~ /l/) { print $3 }'
}

# Prints `link target` for what `alternatives` of RPM-based distros made in the chroot, where a merged /usr has them: no
# package's list names such a link, or only as what it merely owns.
rpm_alternative_pairs() {
  local state name link target
  for state in "$JOBLET_ROOT"/var/lib/alternatives/*; do
    [[ ! -f $state ]] || rpm_alternative_names "${state##*/}" <"$state"
  done | while read -r name link; do
    # One that goes along is there only if what was chosen has it.
    [[ -L $JOBLET_ROOT/etc/alternatives/$name ]] || continue
    target=$(readlink -- "$JOBLET_ROOT/etc/alternatives/$name")
    printf '%s\n%s\n' "$link" "$target"
  done | paths_merge_usr | paste -d ' ' - -
}

# Prints `name link` for an alternative and those that go along with it, from its state on standard input: the mode, the
# link, then a name and a link for each, up to an empty line. What is chosen stands in /etc/alternatives.
rpm_alternative_names() {
  awk -v name="$1" '
    NR == 1 && $0 != "auto" && $0 != "manual" { print "error: cannot read the alternative `" name "`" > "/dev/stderr"; exit 1 }
    NR == 2 { print name, $0 }
    NR > 2 && $0 == "" { exit }
    NR > 2 && NR % 2 { along = $0; next }
    NR > 2 { print along, $0 }
  '
}
