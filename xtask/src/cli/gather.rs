//! `xtask gather`: brings what several machines built together.
#![expect(clippy::print_stdout, reason = "a command's rendering")]

use std::path::{Path, PathBuf};

use rnx::failure::{ExitStatus, Failure};
use rnx::shown::shown;
use xtask::release::publish::gather::{self, GatherError};

/// Bring what several machines built together into dist/, to publish it from there
///
/// Each folder below DIR is the `dist/` of one machine, with its `SHA256SUMS`: every file is compared with its line, and
/// what two machines built must be the same.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder with a folder per machine
    #[arg(value_name = "DIR")]
    from: PathBuf,
}

/// Gathers.
pub(crate) fn run(args: &Args, repo: &Path) -> Result<ExitStatus, Failure> {
    let names = gather::gather(&args.from, &repo.join("dist")).map_err(|error| {
        let status = match &error {
            GatherError::Nothing { .. } => ExitStatus::Usage,
            GatherError::Differ { .. } | GatherError::Changed { .. } => ExitStatus::Integrity,
            _ => ExitStatus::Host,
        };
        Failure::new(status, &error)
    })?;
    for name in names {
        println!("{}", shown(&name));
    }
    Ok(ExitStatus::Done)
}
