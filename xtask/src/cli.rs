//! The command line of `xtask`: arguments in, one call of the library, rendering out.
#![expect(clippy::print_stderr, reason = "the command line talks on standard error")]

mod audit;
mod base;
mod bench;
mod build;
mod ci;
mod completions;
mod diff;
mod doctor;
mod explain;
mod gather;
mod lock;
mod new;
mod peer;
mod plan;
mod progress;
mod publish;
mod reconcile;
mod registry;
mod release;
mod rootfs_helper;
mod schema;
mod shell;
mod test;
mod tidy;
mod try_run;
mod validate;
mod verify;
mod workshop;
mod yank;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use rnx::failure::{ExitStatus, Failure};
use xtask::definitions;
use xtask::git::Git;

/// Validate, build, audit and test Joblet runtimes
#[derive(Debug, Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options that every command takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Global {
    /// Work on this repository of definitions instead of the one around the current directory
    #[arg(long, global = true, value_name = "DIR", env = "RNX_REPO")]
    pub(crate) repo: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Audit(audit::Args),
    Base(base::Args),
    Bench(bench::Args),
    Build(build::Args),
    Ci(ci::Args),
    Completions(completions::Args),
    Diff(diff::Args),
    Doctor(doctor::Args),
    Explain(explain::Args),
    Gather(gather::Args),
    Lock(lock::Args),
    /// Print the manual page
    Man,
    New(new::Args),
    Peer(peer::Args),
    Plan(plan::Args),
    Publish(publish::Args),
    Registry(registry::Args),
    Release(release::Args),
    #[command(name = "__rootfs", hide = true)]
    RootfsHelper(rootfs_helper::Args),
    Schema(schema::Args),
    Shell(shell::Args),
    Tag(release::TagArgs),
    Test(test::Args),
    Tidy(tidy::Args),
    Try(try_run::Args),
    Validate(validate::Args),
    Yank(yank::Args),
    Verify(verify::Args),
}

/// Runs the command line of this process.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(status) => status.into(),
        Err(failure) => {
            eprint!("{}", rnx::shown::shown_lines(&failure.to_string()));
            failure.status.into()
        }
    }
}

fn run(cli: &Cli) -> Result<ExitStatus, Failure> {
    match &cli.command {
        Command::Audit(args) => audit::run(args, &cli.global),
        Command::Base(args) => base::run(args, &cli.global),
        Command::Diff(args) => diff::run(args, &repo(&cli.global)?),
        Command::Doctor(args) => doctor::run(args),
        Command::Bench(args) => bench::run(args, &repo(&cli.global)?),
        Command::Build(args) => build::run(args, &repo(&cli.global)?),
        Command::Ci(args) => ci::run(args, &repo(&cli.global)?),
        Command::Completions(args) => Ok(completions::run(args, Cli::command())),
        Command::Explain(args) => explain::run(args),
        Command::Gather(args) => gather::run(args, &repo(&cli.global)?),
        Command::New(args) => new::run(args, &cli.global),
        Command::Peer(args) => peer::run(args, &repo(&cli.global)?),
        Command::Lock(args) => lock::run(args, &repo(&cli.global)?),
        Command::Plan(args) => plan::run(args, &repo(&cli.global)?),
        Command::Publish(args) => publish::run(args, &repo(&cli.global)?),
        Command::Registry(args) => registry::run(args, &cli.global),
        Command::Release(args) => release::run(args, &repo(&cli.global)?),
        Command::Man => completions::man(Cli::command()),
        Command::RootfsHelper(args) => rootfs_helper::run(args),
        Command::Tidy(args) => tidy::run(args, &cli.global),
        Command::Schema(args) => schema::run(args, &cli.global),
        Command::Shell(args) => shell::run(args, &repo(&cli.global)?),
        Command::Tag(args) => release::tag(args, &repo(&cli.global)?),
        Command::Test(args) => test::run(args, &cli.global),
        Command::Try(args) => try_run::run(args, &repo(&cli.global)?),
        Command::Verify(args) => verify::run(args, &repo(&cli.global)?),
        Command::Validate(args) => validate::run(args, &cli.global),
        Command::Yank(args) => yank::run(args, &repo(&cli.global)?),
    }
}

/// Returns the time as registries write it.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Returns the clone around `repo`; a token in the environment, as workflows have it, opens its `https://` remotes.
pub(crate) fn git_with_token(repo: &Path) -> Git {
    let git = Git::new(repo);
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|token| !token.is_empty());
    match ["GITHUB_TOKEN", "GH_TOKEN"].into_iter().find(|name| is_set(name)) {
        Some(variable) => git.with_token_from(variable),
        None => git,
    }
}

/// Returns the repository of definitions to work on.
pub(crate) fn repo(global: &Global) -> Result<PathBuf, Failure> {
    let dir = std::env::current_dir().map_err(|error| {
        Failure::new(ExitStatus::Host, &error).hint("change to a folder that exists")
    })?;
    definitions::find_repo(global.repo.as_deref(), &dir).map_err(|error| {
        Failure::new(ExitStatus::Usage, &error)
            .hint("run this in a repository of definitions, or name one: `--repo DIR`")
    })
}
