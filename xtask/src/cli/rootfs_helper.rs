//! `xtask __rootfs`: this program's own work inside a base's user namespace; started by itself alone.

use std::path::PathBuf;

use rnx::failure::{ExitStatus, Failure};
use xtask::rootfs::inside::{self, Owners, Work};

/// Work on a base's tree from inside its user namespace
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Empty,
    Digest,
    HandOver {
        folder: PathBuf,
    },
    Unpack {
        #[arg(long)]
        owners: OwnersArg,
        #[arg(long)]
        whiteouts: bool,
        archives: Vec<PathBuf>,
    },
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum OwnersArg {
    Kept,
    One,
}

/// Does the work.
pub(crate) fn run(args: &Args) -> Result<ExitStatus, Failure> {
    let work = match &args.verb {
        Verb::Empty => Work::Empty,
        Verb::Digest => Work::Digest,
        Verb::HandOver { folder } => Work::HandOver { folder: folder.clone() },
        Verb::Unpack { owners, whiteouts, archives } => Work::Unpack {
            archives: archives.clone(),
            owners: match owners {
                OwnersArg::Kept => Owners::Kept,
                OwnersArg::One => Owners::One,
            },
            whiteouts: *whiteouts,
        },
    };
    inside::main(&work).map_err(|error| Failure::new(error.status(), &error))?;
    Ok(ExitStatus::Done)
}
