//! `xtask completions`, `xtask man`: generated from the command line's own description.

use std::io::{self, Write};

use rnx::failure::{ExitStatus, Failure};

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell to complete in
    shell: clap_complete::Shell,
}

/// Prints a completion script.
pub(crate) fn run(args: &Args, mut command: clap::Command) -> ExitStatus {
    clap_complete::generate(args.shell, &mut command, "xtask", &mut io::stdout());
    ExitStatus::Done
}

/// Prints the manual page in roff.
pub(crate) fn man(command: clap::Command) -> Result<ExitStatus, Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .and_then(|()| io::stdout().write_all(&page))
        .map_err(|error| Failure::new(ExitStatus::Findings, &error))?;
    Ok(ExitStatus::Done)
}
