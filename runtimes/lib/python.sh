#!/bin/bash
# Python packages and modules.

# Installs the packages of a requirements file into the tree's /usr/local. Every package has its version and its
# digests there, dependencies too, and only wheels are taken: nothing is run that was not verified.
#
#     python_pip_install PYTHON REQUIREMENTS      python_pip_install python3.11 requirements.txt
#
# pip itself comes from the distro's `python3-pip-whl`, so that the chroot needs no other pip.
python_pip_install() {
  local python=$1 requirements=$2 wheels more=()
  mapfile -t wheels < <(compgen -G '/usr/share/python-wheels/pip-*.whl' || true) # none is the error below
  ((${#wheels[@]} == 1)) || die "python_pip_install needs the package \`python3-pip-whl\`"
  log "installing the Python packages of $requirements"
  # What was downloaded, for the lock; a script may install several times.
  [[ ! -d $JOBLET_RECORDS ]] || more+=(--report "$JOBLET_RECORDS/pip-$(python_next_report).json")
  # `--isolated` leaves out the environment, by which a locked build tells.
  [[ ! -e ${PIP_CONSTRAINT-} ]] || more+=(--constraint "$PIP_CONSTRAINT")
  "$python" "${wheels[0]}/pip" --isolated --disable-pip-version-check --no-input install --progress-bar off \
    --require-hashes --only-binary :all: --no-compile --no-cache-dir --root-user-action ignore --no-warn-script-location \
    "${more[@]}" --ignore-installed --root "$JOBLET_TREE" --requirement "$requirements"
}

# Prints the number of the next report of pip.
python_next_report() {
  local reports
  mapfile -t reports < <(compgen -G "$JOBLET_RECORDS/pip-*.json" || true) # none yet is the ordinary case
  printf '%03d\n' "${#reports[@]}"
}

# Compiles the modules in folders of the tree. The result is not checked against its source when it is loaded (the tree
# is read-only), and holds no time.
#
#     python_compile PYTHON FOLDER…      python_compile python3.11 /usr/lib/python3.11
python_compile() {
  local python=$1 folder
  shift
  log "compiling $*"
  for folder in "$@"; do
    [[ -d $JOBLET_TREE$folder ]] || die "python_compile: the tree has no $folder"
    # One process, a fixed hash seed: the order in which constants are written depends on both.
    PYTHONHASHSEED=0 "$python" -I -m compileall -q -j 1 --invalidation-mode unchecked-hash \
      -s "$JOBLET_TREE" -p / -x '/(lib2to3/tests|test/bad)' "$JOBLET_TREE$folder"
  done
}

# Removes the test suites of packages in the tree: folders named `test` or `tests`, and the `conftest.py` of pytest. What
# packages offer for other people's tests (`numpy.testing`, `pandas.testing`, `pandas._testing`) has other names. Static
# libraries and sources of compiled modules go too: nothing here compiles.
#
#     python_drop_tests PACKAGE…      python_drop_tests numpy scipy
python_drop_tests() {
  local site package path
  site=$(compgen -G "$JOBLET_TREE/usr/local/lib/python3.*/dist-packages") || die "python_drop_tests: the tree has no packages"
  for package in "$@"; do
    [[ -d $site/$package ]] || die "python_drop_tests: there is no package \`$package\`"
    while IFS= read -r -d '' path; do
      tree_leave_out "$path"
    done < <(find "$site/$package" \
      \( -type d \( -name test -o -name tests \) -prune -o -type f \( -name conftest.py -o -name '*.a' -o -name '*.pyx' \) \) \
      -print0)
  done
}
