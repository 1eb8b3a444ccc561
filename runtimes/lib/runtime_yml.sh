#!/bin/bash
# runtime.yml: what is mounted where, and the environment of jobs.

# Writes runtime.yml, with a mount for every top-level name of the tree.
#
#     runtime_yml [KEY=VALUE…]      runtime_yml LANG=C.UTF-8 PATH_PREPEND=/usr/local/bin
runtime_yml() {
  local path variable value
  log "writing runtime.yml"
  # What fails in a substitution ends the script only as an assignment of its own.
  {
    value=$(yml_string "$RUNTIME_NAME")
    printf 'name: %s\n' "$value"
    value=$(yml_string "$RUNTIME_VERSION")
    printf 'version: %s\n' "$value"
    value=$(manifest_description)
    value=$(yml_string "$value")
    printf 'description: %s\n' "$value"
    echo 'mounts:'
    for path in "$JOBLET_TREE"/*; do
      path=${path##*/}
      value=$(yml_string "$path")
      value=${value#\"}
      printf '  - {source: "isolated/%s, target: "/%s, readonly: true}\n' "$value" "$value"
    done
    (($# == 0)) || echo 'environment:'
    for variable in "$@"; do
      [[ $variable == [A-Za-z_]*=* ]] || die "runtime_yml: \`$variable\` is not KEY=VALUE"
      value=$(yml_string "${variable#*=}")
      printf '  %s: %s\n' "${variable%%=*}" "$value"
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
