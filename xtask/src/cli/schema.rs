//! `xtask schema`: generated files, written or checked.
#![expect(clippy::print_stdout, reason = "the names of the files go to standard output")]

use rnx::failure::{ExitStatus, Failure};
use xtask::codegen::{self, CodegenError};

use crate::cli::{Global, repo};

/// Write the JSON Schemas, docs/diagnostics.md, and docs/runtimes.md
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail if a file is not what it should be
    #[arg(long)]
    check: bool,
}

/// Writes what is out of date, or names it.
pub(crate) fn run(args: &Args, global: &Global) -> Result<ExitStatus, Failure> {
    let repo = repo(global)?;
    let failure = |error: CodegenError| Failure::new(ExitStatus::Findings, &error);
    let stale = codegen::stale(&repo).map_err(failure)?;
    if !args.check {
        codegen::write(&repo, &stale).map_err(failure)?;
    }
    for file in &stale {
        let what = if args.check { "out of date" } else { "wrote" };
        println!("{what}: {}", file.path.display());
    }
    if args.check && !stale.is_empty() {
        let message = format!("{} generated file(s) are out of date", stale.len());
        return Err(
            Failure::message(ExitStatus::Findings, message).hint("run `cargo xtask schema`")
        );
    }
    Ok(ExitStatus::Done)
}
