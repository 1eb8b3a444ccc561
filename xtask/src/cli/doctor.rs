//! `xtask doctor`: what works on this machine, what does not, and the exact fix.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's rendering")]

use std::ffi::OsStr;

use rnx::failure::{ExitStatus, Failure};
use xtask::host::tools::{self, InstallError, Installer, MissingTool, Need};
use xtask::{doctor, host};

use crate::cli::base::Settings;

/// Say what this machine can build, and how to fix what it cannot
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    settings: Settings,
    /// Install the missing packages, after saying how
    #[arg(long)]
    install: bool,
}

/// Looks, installs if asked to, and looks again.
pub(crate) fn run(args: &Args) -> Result<ExitStatus, Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let cache_dir = args.settings.cache_dir()?;
    let examine = || {
        let caller = host::caller(&path).map_err(|error| Failure::new(ExitStatus::Host, &error))?;
        Ok(doctor::examine(&caller, &path, &cache_dir))
    };
    let mut report = examine()?;
    if args.install && !report.missing.is_empty() {
        install(&report.missing, &path)?;
        report = examine()?;
    }
    for check in &report.checks {
        println!("{check}");
    }
    Ok(if report.can_build() { ExitStatus::Done } else { ExitStatus::Host })
}

/// Installs what is missing for `needs`; does nothing where nothing is.
pub(crate) fn install_for(needs: &[Need]) -> Result<(), Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    install(&tools::missing_tools(needs, &path), &path)
}

/// Says what will be run, and runs it.
pub(crate) fn install(missing: &[MissingTool], path: &OsStr) -> Result<(), Failure> {
    for tool in missing {
        eprintln!("missing: {tool}");
    }
    let failure = |error: InstallError| Failure::new(ExitStatus::Host, &error);
    let commands = Installer::read(path).commands(missing).map_err(failure)?;
    for command in &commands {
        eprintln!("will run: {command}");
    }
    tools::install(&commands, &mut |line| eprintln!("  {line}")).map_err(failure)
}
