//! `rnx completions`, `rnx man`: generated from the command line's own description.

use rnx::failure::{ExitStatus, Failure};

use crate::cli::render;

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell to complete in
    shell: clap_complete::Shell,
}

/// Prints a completion script.
pub(crate) fn run(args: &Args, mut command: clap::Command) -> Result<ExitStatus, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "rnx", &mut script);
    render::print_bytes(&script).map(|()| ExitStatus::Done)
}

/// Prints the manual page in roff.
pub(crate) fn man(command: clap::Command) -> Result<ExitStatus, Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .map_err(|error| Failure::new(ExitStatus::Bug, &error))?;
    render::print_bytes(&page).map(|()| ExitStatus::Done)
}
