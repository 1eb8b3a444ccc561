//! The command line of `rnx`: arguments in, one call of the library, rendering out.
#![expect(clippy::print_stderr, reason = "the command line talks on standard error")]

mod job;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rnx::failure::{ExitStatus, Failure};

/// Find, install, verify and remove Joblet runtimes, and run jobs in them
#[derive(Debug, Parser)]
#[command(name = "rnx", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(subcommand)]
    Job(job::Command),
}

/// Runs the command line of this process.
pub(crate) fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(failure) => {
            eprint!("{failure}");
            failure.status.into()
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode, Failure> {
    match cli.command {
        Command::Job(job::Command::Run(args)) => job::run(args, folder_of),
    }
}

fn folder_of(runtime: &str) -> Result<PathBuf, Failure> {
    Err(Failure::message(ExitStatus::Findings, format!("the runtime `{runtime}` is not installed"))
        .hint("name a folder with a runtime.yml by a path with a `/`"))
}
