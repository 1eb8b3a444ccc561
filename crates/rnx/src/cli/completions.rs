//! `rnx completions`, `rnx man`: generated from the command line's own description.

use std::path::PathBuf;

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

/// Print manual pages
///
/// `rnx man | man -l -` shows the page of rnx, `rnx man runtime install | man -l -` that of one command.
#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// The command whose page is printed, such as `runtime install`
    #[arg(value_name = "COMMAND")]
    words: Vec<String>,
    /// Write the pages of all commands into this folder instead
    #[arg(long, value_name = "DIR", conflicts_with = "words")]
    dir: Option<PathBuf>,
}

/// Prints a manual page in roff, or writes all of them.
pub(crate) fn man(args: &Man, command: clap::Command) -> Result<ExitStatus, Failure> {
    if let Some(dir) = &args.dir {
        fs_err::create_dir_all(dir)
            .and_then(|()| clap_mangen::generate_to(command, dir))
            .map_err(|error| Failure::new(ExitStatus::Host, &error))?;
        return Ok(ExitStatus::Done);
    }
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut chosen = &command;
    for word in &args.words {
        chosen = chosen.find_subcommand(word).ok_or_else(|| {
            let text = format!("`{}` has no command `{word}`", chosen.get_name());
            Failure::message(ExitStatus::Usage, text).hint("`rnx --help` lists them")
        })?;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(chosen.clone())
        .render(&mut page)
        .map_err(|error| Failure::new(ExitStatus::Bug, &error))?;
    render::print_bytes(&page).map(|()| ExitStatus::Done)
}
