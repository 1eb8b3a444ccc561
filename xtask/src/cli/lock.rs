//! `xtask lock`: writes down what a build got, or compares.
#![expect(clippy::print_stdout, reason = "a command's rendering")]

use std::path::Path;

use rnx::failure::{ExitStatus, Failure};
use rnx::shown::shown_lines;
use rnx_spec::Platform;
use rnx_spec::lock::{Change, changes};
use xtask::build::Workshop;
use xtask::codegen;
use xtask::definitions::Definition;
use xtask::lock::{self, LockFileError};

use super::base::Settings;
use super::build;
use super::progress::Screen;
use super::workshop::{self, Process};

/// Write the versions that a build gets into runtimes/NAME/versions.lock
///
/// Builds the runtime, and writes what was in the chroot and in the tree: every package of the distro and of Python, npm
/// and Maven, the sources and the base. The sections of other platforms stay as they are. With --check nothing is
/// written, and what differs is printed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The runtime to lock
    name: String,
    /// Lock this platform; can be repeated [default: every platform of this machine's architecture]
    #[arg(long = "platform", value_name = "PLATFORM")]
    platforms: Vec<Platform>,
    /// Write nothing; exit with status 1 if the file is not what it would be
    #[arg(long)]
    check: bool,
    /// Show every line that the setup script says
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    settings: Settings,
}

/// Locks each platform, and prints what became otherwise.
pub(crate) fn run(args: &Args, repo: &Path) -> Result<ExitStatus, Failure> {
    let definition = workshop::load(repo, &args.name)?;
    let platforms = workshop::builds(&definition, &args.platforms)?;
    let process = Process::listening(repo, &args.settings)?;
    let screen = Screen::new();
    let mut status = ExitStatus::Done;
    for platform in platforms {
        // What is in dist/ may be what a release needs; this build is not.
        let built = workshop::with_dist_of_its_own(&args.settings, |dist| {
            let workshop = Workshop { dist, ..process.workshop() };
            build::run_one(&definition, platform, (&workshop, &screen, args.verbose))
        })?;
        let file = lock::read(&definition.dir).map_err(|error| failed(&error))?;
        let found = file.platforms.get(&platform).map(|locked| changes(locked, &built.lock));
        let told = report(&definition, platform, found.as_deref());
        print!("{}", shown_lines(&told));
        if args.check {
            if found.is_none_or(|found| !found.is_empty()) {
                status = ExitStatus::Findings;
            }
        } else {
            lock::replace(&definition.dir, platform, built.lock).map_err(|error| failed(&error))?;
            codegen::refresh_contents(repo)
                .map_err(|error| Failure::new(ExitStatus::Host, &error))?;
        }
    }
    Ok(status)
}

fn report(definition: &Definition, platform: Platform, found: Option<&[Change]>) -> String {
    let spec = definition.manifest.spec();
    match found {
        None => format!("{spec} {platform}: was not locked\n"),
        Some([]) => format!("{spec} {platform}: as locked\n"),
        Some(found) => {
            let mut text = format!("{spec} {platform}: {} change(s)\n", found.len());
            text.extend(found.iter().map(|change| format!("  {change}\n")));
            text
        }
    }
}

fn failed(error: &LockFileError) -> Failure {
    let status = match error {
        LockFileError::Access { .. } => ExitStatus::Host,
        LockFileError::Parse { .. } => ExitStatus::Findings,
    };
    Failure::new(status, error)
}
