//! `xtask release` and `xtask tag`: checks, a plan, a question, a tag, a push.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's rendering")]

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use rnx::failure::{ExitStatus, Failure};
use rnx::shown::shown_lines;
use rnx_spec::Version;
use rnx_spec::diagnostic::Diagnostic;
use rnx_spec::manifest::Bump;
use xtask::git::Git;
use xtask::release::facts::ReadFactsError;
use xtask::release::steps::{self, CarryOutError, Step, Versions};
use xtask::release::{self, Decision, ReleaseError, Request};
use xtask::validate::{SyntaxCache, ValidateError};
use xtask::{definitions, host};

/// Release runtimes: check everything, tag `name@version`, push
///
/// Everything that stands in the way is told at once. The pushed tag starts the workflow that builds, tests, publishes
/// and registers. A published version is never tagged again: the answer to a bad release is a higher version, and
/// `cargo xtask yank` for the bad one.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The runtimes to release
    #[arg(required_unless_present = "all", value_name = "NAME")]
    names: Vec<String>,
    /// Release every runtime of the repository at this version, as one tag `vX.Y.Z`
    #[arg(long, value_name = "X.Y.Z", conflicts_with_all = ["names", "bump"])]
    all: Option<Version>,
    /// First raise the version in the manifest, and commit that
    #[arg(long, value_enum)]
    bump: Option<Part>,
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask before pushing
    #[arg(long, short)]
    yes: bool,
    /// The remote to push to
    #[arg(long, value_name = "NAME", default_value = "origin")]
    remote: String,
}

/// Check and tag runtimes in this clone, and push nothing
///
/// `cargo xtask release` does the same and pushes; it takes up a tag that is there already.
#[derive(Debug, clap::Args)]
pub(crate) struct TagArgs {
    /// The runtimes to tag, as `name@version` with the version of the manifest
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// The remote that the tags are compared with
    #[arg(long, value_name = "NAME", default_value = "origin")]
    remote: String,
}

/// Which number of the version goes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Patch,
    Minor,
    Major,
}

/// Releases.
pub(crate) fn run(args: &Args, repo: &Path) -> Result<ExitStatus, Failure> {
    let versions = match (args.all, args.bump) {
        (Some(version), _) => Versions::All(version),
        (None, Some(Part::Patch)) => Versions::Bumped(Bump::Patch),
        (None, Some(Part::Minor)) => Versions::Bumped(Bump::Minor),
        (None, Some(Part::Major)) => Versions::Bumped(Bump::Major),
        (None, None) => Versions::AsWritten,
    };
    let request = Request { names: &args.names, versions, remote: &args.remote, push: true };
    let git = Git::new(repo);
    let Some(steps) = decide(repo, &git, request)? else { return Ok(ExitStatus::Findings) };
    show(&steps);
    if args.dry_run {
        return Ok(ExitStatus::Done);
    }
    if !args.yes && !confirmed(&args.remote)? {
        eprintln!("nothing was done");
        return Ok(ExitStatus::Findings);
    }
    carry_out(&git, &steps)
}

/// Tags.
pub(crate) fn tag(args: &TagArgs, repo: &Path) -> Result<ExitStatus, Failure> {
    let versions = Versions::AsWritten;
    let request = Request { names: &args.names, versions, remote: &args.remote, push: false };
    let git = Git::new(repo);
    let Some(steps) = decide(repo, &git, request)? else { return Ok(ExitStatus::Findings) };
    show(&steps);
    if args.dry_run { Ok(ExitStatus::Done) } else { carry_out(&git, &steps) }
}

/// Returns the steps, or tells what stands in their way.
fn decide(repo: &Path, git: &Git, request: Request<'_>) -> Result<Option<Vec<Step>>, Failure> {
    let (xdg, home) = (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"));
    let cache = std::env::var_os("RNX_CACHE_DIR").map(Into::into);
    let dir = cache.or_else(|| host::cache_dir(xdg.as_deref(), home.as_deref()));
    let decision = release::decide(repo, git, request, &SyntaxCache { dir })
        .map_err(|error| failure(repo, &error))?;
    match decision {
        Decision::Steps(steps) => Ok(Some(steps)),
        Decision::Findings(found) => {
            show_findings(&found);
            let things = if found.len() == 1 { "thing stands" } else { "things stand" };
            eprintln!("{} {things} in the way of the release; nothing was done", found.len());
            Ok(None)
        }
    }
}

/// Prints findings that have no place in a text.
pub(super) fn show_findings(found: &[Diagnostic]) {
    for Diagnostic { code, message, help, .. } in found {
        print!("{}", shown_lines(&format!("error[{code}]: {message}\n")));
        if let Some(help) = help {
            print!("{}", shown_lines(&format!("  help: {help}\n")));
        }
    }
}

fn show(steps: &[Step]) {
    for (number, step) in (1..).zip(steps) {
        print!("{}", shown_lines(&format!("{number}. {step}\n")));
    }
}

fn carry_out(git: &Git, steps: &[Step]) -> Result<ExitStatus, Failure> {
    let mut number = 0;
    steps::carry_out(git, steps, &mut |_| {
        number += 1;
        eprintln!("step {number} of {}", steps.len());
    })
    .map_err(|error| match &error {
        CarryOutError::Push { .. } => Failure::new(ExitStatus::Network, &error).hint(
            "what was made is in this clone: once the push can succeed, run the same command without --bump and --all",
        ),
        _ => Failure::new(ExitStatus::Host, &error),
    })?;
    Ok(ExitStatus::Done)
}

/// Asks on the terminal; where there is none, nobody can say yes.
pub(super) fn confirmed(remote: &str) -> Result<bool, Failure> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::message(
            ExitStatus::Usage,
            "this asks before it pushes, and nobody is there to answer",
        )
        .hint("say yes beforehand: `--yes`; or look first: `--dry-run`"));
    }
    eprint!("Do this, and push to {remote}? [y/N] ");
    let host = |error: io::Error| Failure::new(ExitStatus::Host, &error);
    io::stderr().flush().map_err(host)?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).map_err(host)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn failure(repo: &Path, error: &ReleaseError) -> Failure {
    match error {
        ReleaseError::Validate { source: ValidateError::NoSuchRuntime { name, .. } }
        | ReleaseError::Load { name, .. } => {
            Failure::new(ExitStatus::Usage, error).hint(definitions::advice(repo, name))
        }
        ReleaseError::Facts { source: ReadFactsError::NoDefaultBranch { remote } } => {
            Failure::new(ExitStatus::Findings, error).hint(format!(
                "push a first branch to it, or name another: `--remote`, not `{remote}`"
            ))
        }
        ReleaseError::Facts { .. } => Failure::new(ExitStatus::Network, error)
            .hint("`git remote -v` shows the remotes of this clone; name another with `--remote`"),
        ReleaseError::Validate { .. }
        | ReleaseError::Lock { .. }
        | ReleaseError::List { .. }
        | ReleaseError::Decide { .. } => Failure::new(ExitStatus::Findings, error),
    }
}
