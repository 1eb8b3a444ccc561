//! The command line of `rnx`: arguments in, one call of the library, rendering out.
#![expect(clippy::print_stderr, reason = "the command line talks on standard error")]

mod completions;
mod context;
mod export;
mod failure;
mod gc;
mod info;
mod install;
mod installs;
mod job;
mod list;
mod outdated;
mod path;
mod progress;
mod registry;
mod remove;
mod render;
mod search;
mod update;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use rnx::failure::{ExitStatus, Failure};

use crate::cli::context::Context;

/// Find, install, verify and remove Joblet runtimes, and run jobs in them
#[derive(Debug, Parser)]
#[command(name = "rnx", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options that every command takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Global {
    /// The base folder of installs, instead of the configured one (also `RNX_BASE`)
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) base: Option<PathBuf>,
    /// Ask no server: use what is installed, and the copies of registries (also `RNX_OFFLINE`)
    #[arg(long, global = true)]
    pub(crate) offline: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(subcommand)]
    Job(job::Command),
    #[command(subcommand)]
    Runtime(Runtime),
    #[command(subcommand)]
    Registry(registry::Command),
    Completions(completions::Args),
    /// Print the manual page
    Man,
}

/// Find, install, verify and remove runtimes
#[derive(Debug, Subcommand)]
enum Runtime {
    Install(install::Args),
    List(list::Args),
    Search(search::Args),
    Info(info::Args),
    Outdated(outdated::Args),
    Update(update::Args),
    Remove(remove::Args),
    Gc(gc::Args),
    Export(export::ExportArgs),
    Import(export::ImportArgs),
    Verify(verify::Args),
    Path(path::Args),
}

/// Runs the command line of this process.
pub(crate) fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(failure) => {
            eprint!("{}", render::shown_lines(&failure.to_string()));
            failure.status.into()
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let global = &cli.global;
    let status = match cli.command {
        Command::Job(job::Command::Run(args)) => {
            return job::run(&args, |runtime, install| path::folder_of(runtime, install, global));
        }
        Command::Registry(command) => registry::run(&command, &Context::new(global, None)?)?,
        Command::Runtime(command) => runtime(&command, global)?,
        Command::Completions(args) => completions::run(&args, Cli::command())?,
        Command::Man => completions::man(Cli::command())?,
    };
    Ok(status.into())
}

fn runtime(command: &Runtime, global: &Global) -> Result<ExitStatus, Failure> {
    match command {
        Runtime::Install(args) => install::run(args, &Context::new(global, args.platform)?),
        Runtime::List(args) => list::run(args, &Context::new(global, args.platform)?),
        Runtime::Search(args) => search::run(args, &Context::new(global, args.platform)?),
        Runtime::Info(args) => info::run(args, &Context::new(global, args.platform)?),
        Runtime::Outdated(args) => outdated::run(args, &Context::new(global, None)?),
        Runtime::Remove(args) => remove::run(args, &Context::new(global, None)?),
        Runtime::Update(args) => update::run(args, &Context::new(global, None)?),
        Runtime::Gc(args) => gc::run(args, &Context::new(global, None)?),
        Runtime::Export(args) => export::export(args, &Context::new(global, None)?),
        Runtime::Import(args) => export::import(args, &Context::new(global, None)?),
        Runtime::Verify(args) => verify::run(args, &Context::new(global, None)?),
        Runtime::Path(args) => path::run(args, global),
    }
}
