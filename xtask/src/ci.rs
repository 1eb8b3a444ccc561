//! The checks of this repository, as data: the same list runs at a desk, in `.ci/run` and on GitHub.

use std::fmt;

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

/// Returns all checks, tests first; `xtask` is this program.
pub fn checks(xtask: &str) -> Vec<Check> {
    let check = |name, argv: &[&str]| Check {
        name,
        argv: argv.iter().map(ToString::to_string).collect(),
        env: Vec::new(),
        absent: Absent::Fail,
    };
    let clippy =
        ["cargo", "clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    let doc = ["cargo", "doc", "--workspace", "--no-deps", "--locked"];
    vec![
        check("test", &["cargo", "test", "--workspace", "--locked"]),
        check("fmt", &["cargo", "fmt", "--all", "--check"]),
        check("clippy", &clippy),
        Check { env: vec![("RUSTDOCFLAGS", "-D warnings")], ..check("doc", &doc) },
        check("tidy", &[xtask, "tidy"]),
        check("validate", &[xtask, "validate", "--strict"]),
        check("schema", &[xtask, "schema", "--check"]),
        check("shellcheck", &["sh", "-c", SHELLCHECK]),
        check("shfmt", &["sh", "-c", SHFMT]),
        Check {
            absent: Absent::Skip("zizmor is not installed (pip install zizmor)"),
            ..check("zizmor", &["zizmor", "--offline", "--persona=pedantic", ".github/workflows"])
        },
        Check {
            absent: Absent::Skip("cargo-deny is not installed; the workflow runs it"),
            ..check("deny", &["cargo-deny", "check", "licenses", "bans", "sources"])
        },
    ]
}

const SHELLCHECK: &str = "git ls-files -z '*.sh' .ci/run 'runtimes/lib/tests/*' | xargs -0 shellcheck --external-sources";
const SHFMT: &str = "git ls-files -z '*.sh' .ci/run | xargs -0 shfmt -d -i 2 -ci";
