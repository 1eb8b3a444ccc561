//! `xtask shell`: a shell in a build's chroot, as a failed script left it.
#![expect(clippy::print_stderr, reason = "a command's rendering")]

use std::path::Path;

use rnx::failure::{ExitStatus, Failure};
use rnx::run::{Ended, Running};
use rnx_sandbox::spawn::Exit;
use rnx_spec::Platform;
use xtask::build::{self, Event};

use super::base::Settings;
use super::workshop::{self, Process};

/// Open a shell in a build's chroot, as a failed build left it
///
/// Without a failed build, the chroot is as it is before the setup script runs. What the shell changes stays until the
/// next build of the same runtime.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The runtime
    name: String,
    /// The platform of the build [default: that of this machine]
    #[arg(long)]
    platform: Option<Platform>,
    #[command(flatten)]
    settings: Settings,
    /// Run this instead of a shell
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Runs the shell.
pub(crate) fn run(args: &Args, repo: &Path) -> Result<ExitStatus, Failure> {
    let definition = workshop::load(repo, &args.name)?;
    let asked: Vec<Platform> = args.platform.into_iter().collect();
    let platform = *workshop::builds(&definition, &asked)?
        .first()
        .ok_or_else(|| Failure::message(ExitStatus::Findings, "nothing is built here"))?;
    let process = Process::read(repo, &args.settings)?;
    let spec = definition.manifest.spec();
    let fail = |error: build::BuildError| error.into_failure(&spec, platform);
    let argv: Vec<&str> = match &args.command[..] {
        [] => vec!["/bin/sh", "-i"],
        given => given.iter().map(String::as_str).collect(),
    };
    let chroot = build::chroot_to_look_around(
        (&definition, platform),
        &process.workshop(),
        &argv,
        &mut |event| {
            if let Event::Step(text) | Event::Note(text) = event {
                eprintln!("{text}");
            }
        },
    )
    .map_err(fail)?;
    // Passes Ctrl-C on: it is meant for what runs in the shell.
    let ended =
        rnx::run::run(&chroot.plan, Running { timeout: None, terminal: None, counting: false })
            .map_err(|error| Failure::new(ExitStatus::Host, &error))?;
    match ended.ended {
        Ended::By(Exit::Code(0)) => Ok(ExitStatus::Done),
        _ => Ok(ExitStatus::Findings),
    }
}
