#!/bin/bash
# The tree: copying paths of the chroot into it, and making it fit to be mounted read-only.

# Copies paths of the chroot, folders with all that is in them, into the tree.
tree_copy() {
  local path
  for path in "$@"; do
    [[ -e $path || -L $path ]] || die "tree_copy: \`$path\` is not in the chroot"
    find "$path" -print
  done | paths_merge_usr | sort -u | tree_copy_list
}

# Copies the paths on standard input, each alone, into the tree.
tree_copy_list() {
  mkdir -p "$JOBLET_TREE"
  # A folder that packages list keeps its content out of the way: content is listed by itself.
  tar --create --file=- --directory="$JOBLET_ROOT/" --no-recursion --hard-dereference --verbatim-files-from \
    --files-from=<(sed 's,^/,./,') |
    tar --extract --file=- --directory="$JOBLET_TREE" --no-same-owner --keep-directory-symlink
}

# The paths that were removed on purpose: a link to one of them does not bring it back.
declare -gA JOBLET_LEFT_OUT=()

# Removes one file or folder of the tree, given with the tree's own path before it.
tree_leave_out() {
  JOBLET_LEFT_OUT[${1#"$JOBLET_TREE"}]=1
  rm -rf -- "$1"
}

# Removes the paths of the tree that match the patterns of the shell, as '/usr/lib/python3.*/test'. Quote patterns with
# `*`, `?` or `[`, or else the shell replaces them by what the chroot has; `{a,b}` stays outside of the quotes. A
# pattern that matches nothing is an error: it was written for something that is no longer there.
tree_trim() {
  local pattern path matched
  for pattern in "$@"; do
    matched=0
    while IFS= read -r path; do
      tree_leave_out "$path"
      matched=1
    done < <(compgen -G "$JOBLET_TREE$pattern" || true) # compgen's status says only whether anything matched
    ((matched)) || die "tree_trim: nothing matches \`$pattern\`"
  done
}

# Removes what has one of these names, wherever in a folder of the tree. A name that nothing has is an error.
#
#     tree_trim_named FOLDER NAME…      tree_trim_named /usr/share/go-1.24/src testdata '*_test.go'
tree_trim_named() {
  local folder=$1 name path paths
  shift
  for name in "$@"; do
    mapfile -t -d '' paths < <(find "$JOBLET_TREE$folder" -name "$name" -prune -print0)
    ((${#paths[@]})) || die "tree_trim_named: nothing in \`$folder\` is named \`$name\`"
    for path in "${paths[@]}"; do
      JOBLET_LEFT_OUT[${path#"$JOBLET_TREE"}]=1
    done
    printf '%s\0' "${paths[@]}" | xargs -0 rm -rf --
  done
}

# Makes the tree complete and fit for read-only use. Called once, after everything has been put in.
tree_finish() {
  log "finishing the tree"
  tree_usr_links
  tree_system_etc
  tree_links_relative
  tree_links_resolved
  tree_modes
  tree_library_cache
}

# Links /bin, /lib and so on to /usr, as the chroot has them.
tree_usr_links() {
  local name
  for name in bin sbin lib lib32 lib64 libx32; do
    [[ -d $JOBLET_TREE/usr/$name ]] || continue
    [[ -L /$name ]] || continue
    ln -sfn "usr/$name" "$JOBLET_TREE/$name"
  done
}

# Turns absolute links into relative ones, which mean the same wherever the tree is looked at.
tree_links_relative() {
  local link target
  while IFS= read -r -d '' link && IFS= read -r -d '' target; do
    ln -sfn "$(paths_relative "${link#"$JOBLET_TREE"}" "$target")" "$link"
  done < <(find "$JOBLET_TREE" -type l -lname '/*' -printf '%p\0%l\0')
}

# Copies what dangling links of the tree lead to. Removes those whose target the chroot does not have, or that the tree
# leaves out, and the folders that hold nothing: packages list many that only hold documentation.
tree_links_resolved() {
  local link target
  # Each removal may leave another link dangling, or another folder empty.
  while [[ -n $(find "$JOBLET_TREE" -mindepth 2 \( -xtype l -o -type d -empty \) -print -quit) ]]; do
    find "$JOBLET_TREE" -mindepth 2 -type d -empty -delete
    while IFS= read -r -d '' link; do
      # A path that `find` prints has no `//`.
      target=${link#*//}
      link=${link%%//*}
      paths_normal "${link%/*}/$target" target
      [[ $target == "$JOBLET_TREE"/* ]] || die "the link \`$link\` leads out of the tree"
      tree_resolve_link "$link" "$(paths_merge_usr <<<"${target#"$JOBLET_TREE"}")"
    done < <(find "$JOBLET_TREE" -mindepth 2 -xtype l -printf '%p//%l\0' | sort -z)
  done
  # What tree_usr_links linked to a folder that held nothing. RPM's `filesystem` lists /sbin and the like themselves.
  find "$JOBLET_TREE" -maxdepth 1 -xtype l -lname 'usr/*' -delete
}

tree_resolve_link() {
  local link=$1 target=$2
  if [[ -f $target && -z ${JOBLET_LEFT_OUT[$target]-} && -n $(paths_wanted <<<"$target") ]]; then
    mkdir -p "$JOBLET_TREE${target%/*}"
    cp --dereference --no-preserve=all -- "$target" "$JOBLET_TREE$target"
    [[ ! -x $target ]] || chmod 755 "$JOBLET_TREE$target"
  else
    log "left out: ${link#"$JOBLET_TREE"} leads to $target, which the tree does not have"
    rm -- "$link"
  fi
}

# Links a path of the tree to another: `tree_link /usr/local/bin/python /usr/bin/python3.11`.
tree_link() {
  local link=$1 target=$2
  [[ -e $JOBLET_TREE$target ]] || die "tree_link: the tree has no \`$target\`"
  mkdir -p "$JOBLET_TREE${link%/*}"
  ln -sfn "$(paths_relative "$link" "$target")" "$JOBLET_TREE$link"
}

# Removes the programs that one of the named interpreters runs: for an interpreter that is left out on purpose. The
# audit finds those that were forgotten.
#
#     tree_drop_scripts INTERPRETER…      tree_drop_scripts /usr/bin/perl
tree_drop_scripts() {
  local script first
  # The shell's own means: under emulation, a process for each program of the tree takes minutes.
  while IFS= read -r -d '' script; do
    first=""
    IFS= read -r -n 256 first <"$script" || true # a file may have no line's end
    [[ $first =~ ^'#!'' '*([^[:space:]]+) && " $* " == *" ${BASH_REMATCH[1]} "* ]] || continue
    log "left out: ${script#"$JOBLET_TREE"} needs ${BASH_REMATCH[1]}"
    tree_leave_out "$script"
  done < <(find "$JOBLET_TREE/usr" -type f -perm /111 -print0 | sort -z)
}

# Clears setuid, setgid and sticky bits and writing by others; owners may read and write everything.
tree_modes() {
  find "$JOBLET_TREE" ! -type l -exec chmod u=rwX,go=rX,ug-s,-t {} +
}

# Writes etc/ld.so.cache, so that libraries are found without searching.
tree_library_cache() {
  [[ -e $JOBLET_TREE/etc/ld.so.conf ]] || return 0
  # Links are as the packages have them: `-X` changes none.
  ldconfig -X -r "$JOBLET_TREE"
  # What it remembers for its next run is no part of the tree.
  rm -rf -- "${JOBLET_TREE:?}/var/cache/ldconfig"
  [[ ! -d $JOBLET_TREE/var/cache ]] || (cd "$JOBLET_TREE" && rmdir --parents --ignore-fail-on-non-empty var/cache)
}
