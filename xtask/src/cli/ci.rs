//! `xtask ci`: runs the repository's tests and checks, and says how each ended.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's rendering")]

use std::path::Path;
use std::time::Instant;

use rnx::failure::{ExitStatus, Failure};
use xtask::ci::{self, Absent, Check, Outcome};
use xtask::host::tools::Need;
use xtask::tool::{self, Invocation, ToolError};

use super::doctor;

/// Run the tests and checks of this repository, as continuous integration does
///
/// Each is a command that can be run by itself; it is shown before it runs. One failure does not stop the others.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// First install the host's packages that the tests need, with its package manager
    #[arg(long)]
    install_deps: bool,
    /// List the checks and their commands, and run nothing
    #[arg(long)]
    list: bool,
    /// Run these only
    #[arg(value_name = "CHECK")]
    only: Vec<String>,
}

/// Runs the checks in the repository's folder.
pub(crate) fn run(args: &Args, repo: &Path) -> Result<ExitStatus, Failure> {
    if args.install_deps {
        doctor::install_for(&[Need::Debootstrap, Need::Ids, Need::Tests])?;
        install_python_tools(repo)?;
    }
    let own = std::env::current_exe().map_err(|error| Failure::new(ExitStatus::Host, &error))?;
    let checks = ci::checks(&own.to_string_lossy());
    if let Some(unknown) = args.only.iter().find(|name| !checks.iter().any(|c| c.name == **name)) {
        let known: Vec<&str> = checks.iter().map(|check| check.name).collect();
        return Err(Failure::message(
            ExitStatus::Usage,
            format!("there is no check `{unknown}`; there are {}", known.join(", ")),
        ));
    }
    let chosen =
        checks.iter().filter(|c| args.only.is_empty() || args.only.iter().any(|n| n == c.name));
    if args.list {
        for check in chosen {
            println!("{:<12} {}", check.name, invocation(check, repo));
        }
        return Ok(ExitStatus::Done);
    }
    let results: Vec<(&str, Outcome)> =
        chosen.map(|check| (check.name, run_one(check, repo))).collect();
    let mut status = ExitStatus::Done;
    for (name, outcome) in &results {
        println!("{name:<12} {outcome}");
        if matches!(outcome, Outcome::Failed(_)) {
            status = ExitStatus::Findings;
        }
    }
    Ok(status)
}

/// Installs the programs from PyPI into a folder of their own; does nothing where they are.
fn install_python_tools(repo: &Path) -> Result<(), Failure> {
    let bin = repo.join(ci::PYTHON_DIR).join("bin");
    let modules = Invocation::new(bin.join("python")).args(["-c", ci::PYTHON_MODULES]);
    let has_tools = ci::PYTHON_TOOLS.iter().all(|tool| bin.join(tool).is_file());
    if has_tools && tool::run(&modules).is_ok() {
        return Ok(());
    }
    for step in ci::python_tools() {
        eprintln!("will run: {step}");
        tool::stream(&step.dir(repo), &mut |line| eprintln!("  {line}"))
            .map_err(|error| Failure::new(ExitStatus::Host, &error))?;
    }
    Ok(())
}

fn run_one(check: &Check, repo: &Path) -> Outcome {
    let invocation = invocation(check, repo);
    eprintln!("\n== {}: {invocation}", check.name);
    let started = Instant::now();
    let ended = tool::interactive(&invocation);
    eprintln!("== {}: {:.0} s", check.name, started.elapsed().as_secs_f64());
    match (ended, check.absent) {
        (Ok(status), _) if status.success() => Outcome::Passed,
        (Ok(status), _) => Outcome::Failed(status.to_string()),
        (Err(ToolError::NotFound { .. }), Absent::Skip(why)) => Outcome::Skipped(why),
        (Err(error), _) => Outcome::Failed(error.to_string()),
    }
}

fn invocation(check: &Check, repo: &Path) -> Invocation {
    let mut words = check.argv.iter();
    let mut invocation =
        Invocation::new(words.next().map(String::as_str).unwrap_or_default()).args(words).dir(repo);
    invocation.env.extend(check.env.iter().map(|(name, value)| (name.into(), value.into())));
    invocation
}
