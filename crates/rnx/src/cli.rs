//! The command line of `rnx`: arguments in, one call of the library, rendering out.

mod completions;
mod context;
mod doctor;
mod export;
mod failure;
mod gc;
mod info;
mod install;
mod installs;
mod job;
mod list;
mod names;
mod outdated;
mod path;
mod progress;
mod registry;
mod remove;
mod render;
mod say;
mod search;
mod update;
mod verify;

use std::panic::UnwindSafe;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use rnx::failure::{ExitStatus, Failure};

use crate::cli::context::Context;

/// Find, install, verify and remove Joblet runtimes, and run jobs in them
#[derive(Debug, Parser)]
#[command(name = "rnx", version, max_term_width = 100, after_help = exit_statuses())]
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

/// Each is described in full only when it is called, for a job to start sooner; what the list says stands here too.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
enum Command {
    /// Run jobs in runtimes
    #[command(subcommand)]
    Job(job::Command),
    /// Find, install, verify and remove runtimes
    #[command(subcommand)]
    Runtime(Runtime),
    /// List, add, remove and refresh registries
    #[command(subcommand)]
    Registry(registry::Command),
    /// Say what works on this host, what does not, and what fixes it
    Doctor(doctor::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Print manual pages
    Man(completions::Man),
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
    names::resolve_without_libraries_of_the_host();
    guarded(|| match Cli::try_parse().map_or_else(|error| unparsed(&error), run) {
        Ok(code) => code,
        Err(failure) => {
            say::lines(&render::shown_lines(&failure.to_string()));
            failure.status.into()
        }
    })
}

/// Ends a command line that runs nothing: the help or the version, which are data, or what is wrong with it.
fn unparsed(error: &clap::Error) -> Result<ExitCode, Failure> {
    match error.print() {
        Err(failed) if !error.use_stderr() => render::written(Err(failed))?,
        _ => {}
    }
    Ok(u8::try_from(error.exit_code()).map_or_else(|_| ExitStatus::Usage.into(), ExitCode::from))
}

/// A panic is a bug, and ends with its status rather than with that of a failure.
fn guarded(work: impl FnOnce() -> ExitCode + UnwindSafe) -> ExitCode {
    std::panic::catch_unwind(work).unwrap_or_else(|_told_by_the_hook| {
        say::say!("error: this is a bug of rnx; please tell its maintainers what you typed");
        ExitStatus::Bug.into()
    })
}

/// The end of the help: what statuses mean, and where more is said.
fn exit_statuses() -> String {
    let lines = ExitStatus::ALL
        .map(|status| format!("  {:>2}  {}\n", status as u8, status.meaning()))
        .concat();
    format!(
        "Exit status:\n{lines}\
         `rnx job run` ends with the job's own status instead; its help lists the others.\n\n\
         Configuration: ~/.rnx/config.yaml, then /etc/joblet/config.yaml. Colours: NO_COLOR turns them off."
    )
}

fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let global = &cli.global;
    let status = match cli.command {
        Command::Job(job::Command::Run(args)) => {
            return job::run(&args, |runtime, install| path::of_job(runtime, install, global));
        }
        Command::Registry(command) => registry::run(&command, &Context::new(global, None)?)?,
        Command::Runtime(command) => runtime(&command, global)?,
        Command::Doctor(args) => doctor::run(&args, &Context::new(global, None)?)?,
        Command::Completions(args) => completions::run(&args, Cli::command())?,
        Command::Man(args) => completions::man(&args, Cli::command())?,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_has_the_status_of_a_bug() {
        let code = guarded(|| panic!("on purpose"));
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(70)));
    }

    #[test]
    fn every_list_of_commands_says_what_their_help_says() {
        fn check(listed: &clap::Command, built: &clap::Command) {
            for command in built.get_subcommands().filter(|one| one.get_name() != "help") {
                let name = command.get_name();
                let about = listed.find_subcommand(name).and_then(clap::Command::get_about);
                let about = about.map(ToString::to_string);
                assert!(about.is_some(), "{name}");
                assert_eq!(about, command.get_about().map(ToString::to_string), "{name}");
                check(command, command);
            }
        }
        let mut built = Cli::command();
        built.build();
        check(&Cli::command(), &built);
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
