//! `xtask peer`: fetches what others say, to be tested against.
#![expect(clippy::print_stderr, reason = "a command's rendering")]

use std::path::Path;

use rnx::failure::{ExitStatus, Failure};
use rnx::shown::shown;
use xtask::peer::{self, PeerError};

/// Fetch what tests compare with that others made
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to fetch
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// GitHub's own description of its API, a proxy that enforces it, and recorded answers; from npm
    Github,
}

/// Fetches.
pub(crate) fn run(args: &Args, repo: &Path) -> Result<ExitStatus, Failure> {
    match args.what {
        What::Github => {
            let fetched = peer::fetch_github(repo, &mut |line| eprintln!("  {}", shown(line)));
            let dir = fetched.map_err(|error| match &error {
                PeerError::Fetch { .. } => Failure::new(ExitStatus::Network, &error)
                    .hint("this needs `npm`, and the npm registry"),
                _ => Failure::new(ExitStatus::Findings, &error),
            })?;
            eprintln!("{} is there", dir.display());
        }
    }
    Ok(ExitStatus::Done)
}
