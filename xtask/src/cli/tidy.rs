//! `xtask tidy`: the rules of the house.
#![expect(clippy::print_stdout, reason = "the findings go to standard output")]

use rnx::failure::{ExitStatus, Failure};
use xtask::tidy;

use crate::cli::{Global, repo};

/// Check the rules of the house that no compiler knows
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Checks, and prints what is untidy.
pub(crate) fn run(_args: &Args, global: &Global) -> Result<ExitStatus, Failure> {
    let untidy =
        tidy::run(&repo(global)?).map_err(|error| Failure::new(ExitStatus::Findings, &error))?;
    for tidy::Untidy { path, line, message } in &untidy {
        match line {
            Some(line) => println!("{path}:{line}: {message}"),
            None => println!("{path}: {message}"),
        }
    }
    Ok(if untidy.is_empty() { ExitStatus::Done } else { ExitStatus::Findings })
}
