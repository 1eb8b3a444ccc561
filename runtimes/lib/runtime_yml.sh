#!/bin/bash
# runtime.yml: what is mounted where, and the environment of jobs.

# Writes runtime.yml, with a mount for every top-level name of the tree.
#
#     runtime_yml [KEY=VALUE…]      runtime_yml LANG=C.UTF-8 PATH_PREPEND=/usr/local/bin
runtime_yml() {
  local path variable
  log "writing runtime.yml"
  {
    printf 'name: %s\n' "$(yml_string "$RUNTIME_NAME")"
    printf 'version: %s\n' "$(yml_string "$RUNTIME_VERSION")"
    printf 'description: %s\n' "$(yml_string "$(manifest_description)")"
    echo 'mounts:'
    for path in "$JOBLET_TREE"/*; do
      path=${path##*/}
      printf '  - {source: %s, target: %s, readonly: true}\n' "$(yml_string "isolated/$path")" "$(yml_string "/$path")"
    done
    (($# == 0)) || echo 'environment:'
    for variable in "$@"; do
      [[ $variable == [A-Za-z_]*=* ]] || die "runtime_yml: \`$variable\` is not KEY=VALUE"
      printf '  %s: %s\n' "${variable%%=*}" "$(yml_string "${variable#*=}")"
    done | sort
    printf 'requirements:\n  architectures: [%s]\n' "${RUNTIME_PLATFORM##*-}"
  } >"$JOBLET_RUNTIME_DIR/runtime.yml"
}

# Prints a text as a YAML string in double quotes.
yml_string() {
  local text=$1
  [[ $text != *[[:cntrl:]]* ]] || die "runtime_yml: a value has a control character"
  text=${text//\\/\\\\}
  printf '"%s"' "${text//\"/\\\"}"
}

# Prints the description in the manifest beside the script: one line, as the format asks.
manifest_description() {
  sed -nE 's/^description: *//p' manifest.yaml | sed -E "s/^(['\"])(.*)\1 *$/\2/"
}
