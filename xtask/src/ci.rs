//! The checks of this repository, as data: the same list runs at a desk, in `.ci/run` and on GitHub.

use std::fmt;

use crate::tool::Invocation;

/// One check: a command line that must succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The name on the command line and in reports.
    pub name: &'static str,
    pub argv: Vec<String>,
    /// Extra environment.
    pub env: Vec<(&'static str, &'static str)>,
    /// What to do where the program is absent.
    pub absent: Absent,
}

/// What becomes of a check whose program is not installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// The check fails: the program belongs to every set-up.
    Fail,
    /// The check is skipped by name, with where it does run.
    Skip(&'static str),
}

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Failed(String),
    Skipped(&'static str),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => write!(f, "passed"),
            Self::Failed(why) => write!(f, "FAILED: {why}"),
            Self::Skipped(why) => write!(f, "skipped: {why}"),
        }
    }
}

/// Programs from PyPI, and the folder of the environment that they are installed in.
pub const PYTHON_TOOLS: [&str; 2] = ["check-jsonschema", "zizmor"];
/// Libraries that tests call through Python, and the modules that show whether they are there.
pub const PYTHON_LIBRARIES: [&str; 1] = ["cyclonedx-python-lib[json-validation]"];
pub const PYTHON_MODULES: &str = "import cyclonedx, jsonschema";
pub const PYTHON_DIR: &str = "target/python";

/// Returns the command lines that install [`PYTHON_TOOLS`] and [`PYTHON_LIBRARIES`] into [`PYTHON_DIR`] of the repository.
pub fn python_tools() -> [Invocation; 2] {
    [
        Invocation::new("python3").args(["-m", "venv", PYTHON_DIR]),
        Invocation::new(format!("{PYTHON_DIR}/bin/pip"))
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .args(PYTHON_TOOLS)
            .args(PYTHON_LIBRARIES),
    ]
}

/// Returns all checks, tests first; `xtask` is this program.
pub fn checks(xtask: &str) -> Vec<Check> {
    let check = |name, argv: &[&str]| Check {
        name,
        argv: argv.iter().map(ToString::to_string).collect(),
        env: Vec::new(),
        absent: Absent::Fail,
    };
    let script = |name, text: &'static str| check(name, &["sh", "-euc", text, "sh", xtask]);
    let whole = |command, rest: &[&'static str]| {
        [&["cargo", command, "--workspace", "--locked", "--features", "xtask/github"], rest]
            .concat()
    };
    let clippy = whole("clippy", &["--all-targets", "--", "-D", "warnings"]);
    let doc = whole("doc", &["--no-deps"]);
    vec![
        check("test", &whole("test", &[])),
        check("fmt", &["cargo", "fmt", "--all", "--check"]),
        check("clippy", &clippy),
        Check { env: vec![("RUSTDOCFLAGS", "-D warnings")], ..check("doc", &doc) },
        check("tidy", &[xtask, "tidy"]),
        check("validate", &[xtask, "validate", "--strict"]),
        check("schema", &[xtask, "schema", "--check"]),
        script("workflows", WORKFLOWS),
        script("shellcheck", SHELLCHECK),
        script("shfmt", SHFMT),
        check("lib", &["runtimes/lib/tests/run"]),
        Check {
            absent: Absent::Skip("cargo-deny is not installed; the workflow runs it"),
            ..check("deny", &["cargo-deny", "check", "licenses", "bans", "sources"])
        },
        script("github", GITHUB),
        script("control-groups", CONTROL_GROUPS),
        check("try", &[xtask, "try", "python-3.11"]),
        script("documents", DOCUMENTS),
        script("publish", PUBLISH),
        script("static", STATIC),
        script("reproduce", REPRODUCE),
        script("ordinary", ORDINARY),
        // After `reproduce`, which compares all that is in `dist`.
        check("openjdk", &[xtask, "build", "openjdk-21"]),
        script("graalvm", GRAALVM),
        script("templates", TEMPLATES),
    ]
}

const WORKFLOWS: &str = "target/python/bin/zizmor --quiet --offline --persona=pedantic .github/workflows
target/python/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml";

const SHELLCHECK: &str = "git ls-files -z '*.sh' .ci/run runtimes/lib/tests/run | xargs -0 shellcheck --external-sources";

const SHFMT: &str = "git ls-files -z '*.sh' .ci/run runtimes/lib/tests/run | xargs -0 shfmt -d";

/// Publishes by GitHub's own document and against its recorded answers, where the npm registry can be reached.
const GITHUB: &str = r#"status=0
"$1" peer github || status=$?
case $status in
  0) JOBLET_PEERS=1 cargo test --locked --features xtask/github --workspace --test it peer:: ;;
  3) echo "skipped: github (the npm registry cannot be reached)" ;;
  *) exit "$status" ;;
esac"#;

/// Types what the documents tell people to, with the runtime that `try` built.
const DOCUMENTS: &str = r"archive=$(ls dist/python-3.11-[0-9]*-ubuntu-amd64.tar.gz | head -n 1)
RNX_DOCUMENTS_ARCHIVE=$archive cargo test --locked --features xtask/github --workspace --test it overview";

/// Releases what `try` built: to a GitHub on loopback, from its registry onto a host, and into a job there.
const PUBLISH: &str = include_str!("ci/publish.sh");

/// `rnx` as one file, installing what `try` left.
const STATIC: &str = include_str!("ci/static.sh");

/// The tests of limits on a kernel with control groups of version 2, where the host has others.
const CONTROL_GROUPS: &str = include_str!("ci/control_groups.sh");

/// Builds what `try` built again, from another folder, and compares the digests. Where they differ, says which packages and
/// files do. (`verify` would build what is locked, and `try` builds what there is.)
const REPRODUCE: &str = r#"other=$(mktemp -d)
trap 'rm -rf "$other"' EXIT
git clone --quiet . "$other/a clone"
"$1" build --repo "$other/a clone" python-3.11
cmp dist/SHA256SUMS "$other/a clone/dist/SHA256SUMS" && exit 0
for archive in dist/python-3.11-*-ubuntu-*.tar.gz; do
  "$1" diff "$archive" "$other/a clone/$archive"
done
exit 1"#;

/// With the archive that `openjdk` leaves; `GraalVM`'s own is neither here nor needed.
const GRAALVM: &str = r#"xtask/tests/graalvm/run.sh "$1" dist/openjdk-21-*-ubuntu-amd64.tar.gz"#;

/// Builds templates as `new` writes them. The catalogue has node, go and r (a test compares them), and a JDK.
const TEMPLATES: &str = r#"other=$(mktemp -d)
trap 'rm -rf "$other"' EXIT
git clone --quiet . "$other/repo"
for template in blank python; do
  "$1" new --repo "$other/repo" "new-$template" --template "$template"
done
"$1" build --repo "$other/repo" new-blank new-python"#;

/// Goes the whole way, and through the tests of the host side, as an ordinary user.
const ORDINARY: &str = include_str!("ci/ordinary.sh");
