//! `xtask registry`: checks, merges and copies registries.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's rendering")]

use std::io;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use rnx::failure::{ExitStatus, Failure};
use rnx_spec::registry::{self, Ledger, near_names};
use rnx_spec::{RuntimeName, RuntimeSpec};
use rnx_store::blob::AddBlobError;
use rnx_store::fetch::Fetcher;
use xtask::git::Git;
use xtask::release::mirror::{self, MirrorError};
use xtask::release::registry_branch::REGISTRY_FILE;
use xtask::release::registry_file;

use super::base::fetch_options;
use super::release::show_findings;
use super::{now, reconcile};

/// Check and change registries
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(Check),
    Merge(Merge),
    Mirror(Mirror),
    Reconcile(reconcile::Args),
}

/// Check a registry: that every reader understands it, and that nothing published changed
#[derive(Debug, clap::Args)]
struct Check {
    /// The registry [default: registry.json of the repository]
    file: Option<PathBuf>,
    /// Compare with the registry of this commit: what is published never changes [default: the commit before, if
    /// there is one]
    #[arg(long, value_name = "COMMIT", conflicts_with = "alone")]
    since: Option<String>,
    /// Compare with nothing
    #[arg(long)]
    alone: bool,
    /// Write it in the form that this program writes
    #[arg(long)]
    fix: bool,
}

/// Print one registry made of several
///
/// A version that one of them withdrew is withdrawn. Two that contradict each other are not merged.
#[derive(Debug, clap::Args)]
struct Merge {
    /// The registries; fields that this program does not know come from the first that has them
    #[arg(required = true, num_args = 2.., value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write it to this file instead of printing it
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Copy a registry, or some runtimes of it, into a folder: for hosts that reach nothing else
///
/// Every file is verified. A copy that was broken off goes on where it stopped, and what is there is not fetched again.
/// `rnx --registry DIR` installs from the folder, and so does `--registry URL` where a web server serves it.
#[derive(Debug, clap::Args)]
struct Mirror {
    /// The registry: `owner/repo`, a URL, or a folder
    #[arg(long, value_name = "REGISTRY")]
    from: String,
    /// The folder of the copy
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// The runtimes to copy [default: all]
    names: Vec<RuntimeName>,
}

/// Runs one of the commands.
pub(crate) fn run(args: &Args, global: &super::Global) -> Result<ExitStatus, Failure> {
    match &args.command {
        Command::Check(args) => check(args, global),
        Command::Merge(args) => merge(args),
        Command::Mirror(args) => mirror(args),
        Command::Reconcile(args) => reconcile::run(args, global),
    }
}

fn check(args: &Check, global: &super::Global) -> Result<ExitStatus, Failure> {
    let file = match &args.file {
        Some(file) => file.clone(),
        None => super::repo(global)?.join(REGISTRY_FILE),
    };
    let host = |error: &io::Error| Failure::new(ExitStatus::Host, error);
    let text = fs_err::read_to_string(&file).map_err(|error| host(&error))?;
    let (ledger, mut found) = registry::check(&text);
    if let (Some(ledger), true) = (&ledger, args.fix) {
        let written = ledger.write();
        if written != text {
            fs_err::write(&file, &written).map_err(|error| host(&error))?;
            eprintln!("fixed {}", file.display());
            found = registry::check(&written).1;
        }
    }
    if let Some(ledger) = &ledger
        && let Some(old) = before(args, &file)?
    {
        found.extend(ledger.check_unchanged(&old));
    }
    show_findings(&found);
    if !found.is_empty() {
        return Ok(ExitStatus::Findings);
    }
    let names = ledger.map_or(0, |ledger| ledger.names().len());
    println!("{}: {names} runtime(s), no findings", file.display());
    Ok(ExitStatus::Done)
}

/// Returns the registry to compare with, if there is one.
fn before(args: &Check, file: &Path) -> Result<Option<Ledger>, Failure> {
    if args.alone {
        return Ok(None);
    }
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let git = Git::new(dir);
    let commit = args.since.as_deref().unwrap_or("HEAD~1");
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let blob = format!("{commit}:./{name}");
    let text = match git.ask("read the registry of the commit before", ["cat-file", "blob", &blob])
    {
        Ok(text) => text,
        // No clone, no commit before, or no registry in it: nothing was published there.
        Err(_) if args.since.is_none() => return Ok(None),
        Err(error) => return Err(Failure::new(ExitStatus::Usage, &error)),
    };
    Ledger::read(text).map(Some).map_err(|error| {
        Failure::new(ExitStatus::Findings, &error).hint(format!("`{commit}` has no registry"))
    })
}

fn merge(args: &Merge) -> Result<ExitStatus, Failure> {
    let read = |file: &PathBuf| {
        registry_file::read_file(file).map_err(|error| Failure::new(ExitStatus::Findings, &error))
    };
    let mut files = args.files.iter();
    let Some(first) = files.next() else { return Ok(ExitStatus::Usage) };
    let mut merged = read(first)?;
    for file in files {
        merged = registry::merge(&merged, &read(file)?).map_err(|error| {
            Failure::new(ExitStatus::Integrity, &error).hint(format!("`{}`", file.display()))
        })?;
    }
    let text = registry::write(&merged);
    match &args.output {
        Some(path) => {
            fs_err::write(path, text).map_err(|error| Failure::new(ExitStatus::Host, &error))?;
        }
        None => print!("{text}"),
    }
    Ok(ExitStatus::Done)
}

fn mirror(args: &Mirror) -> Result<ExitStatus, Failure> {
    let here = std::env::current_dir().map_err(|error| Failure::new(ExitStatus::Host, &error))?;
    let from = rnx::resolve::location(&args.from, &[], &here)
        .map_err(|error| Failure::new(ExitStatus::Usage, &error))?;
    let fetcher =
        Fetcher::new(&fetch_options()?).map_err(|error| Failure::new(ExitStatus::Host, &error))?;
    let mut tell = |spec: &RuntimeSpec| eprintln!("copying {spec}");
    let (from, now) = ((&from.document, args.names.as_slice()), now());
    let done = mirror::mirror(&fetcher, from, (&args.to, &now), &mut tell)
        .map_err(|error| mirror_failure(&error))?;
    for spec in &done.unverifiable {
        eprintln!("left out {spec}: its files have no digest to verify");
    }
    println!(
        "{} release(s) in {}: {} file(s) fetched, {} there already",
        done.releases.len(),
        args.to.display(),
        done.fetched,
        done.kept
    );
    Ok(ExitStatus::Done)
}

fn mirror_failure(error: &MirrorError) -> Failure {
    let status = match error {
        MirrorError::Unknown { name, known } => {
            let near = near_names(name, known);
            let failure = Failure::new(ExitStatus::Usage, error);
            return match near.first() {
                Some(near) => failure.hint(format!("did you mean `{near}`?")),
                None => failure,
            };
        }
        MirrorError::Read { .. } => ExitStatus::Network,
        MirrorError::Fetch { source, .. } => match **source {
            AddBlobError::Open { .. } | AddBlobError::Read { .. } => ExitStatus::Network,
            AddBlobError::Write { .. } | AddBlobError::Lock(_) => ExitStatus::Host,
            _ => ExitStatus::Integrity,
        },
        MirrorError::Write { .. } => ExitStatus::Host,
        MirrorError::Parse { .. } | MirrorError::Name { .. } | MirrorError::Registry { .. } => {
            ExitStatus::Findings
        }
    };
    Failure::new(status, error).hint("run the same command again: what was copied is kept")
}
