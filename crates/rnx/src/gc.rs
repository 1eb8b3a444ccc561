//! What can go from a base folder, and why the rest stays: first as data, then done.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rnx_spec::RuntimeSpec;
use rnx_store::guard::{LockError, StoreGuard};
use rnx_store::layout::Layout;

use crate::in_use::{self, Holder};
use crate::record::{self, RecordError};
use crate::remove::{self, InUse, RemoveError};

/// So much of a digest tells one download from another.
const DIGEST_CHARS: usize = 12;

/// Something in a base folder, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub what: What,
    pub verdict: Verdict,
    /// What the disk gets back; nothing of files that another install has, too.
    pub bytes: u64,
}

/// What an item is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    Install(RuntimeSpec),
    /// A file of a download, in `.store`.
    Download(PathBuf),
}

/// What becomes of an item, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Keep(Keep),
    Remove(Remove),
}

/// Why an item stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    /// It is the highest version: the alias leads to it.
    Highest,
    /// It is one of as many versions as are kept.
    Among(usize),
    /// Nobody said that older versions may go.
    NotAsked,
    /// Jobs run in it.
    InUse(Vec<Holder>),
    /// It is being downloaded.
    Downloading,
}

/// Why an item goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remove {
    /// So many higher versions are installed.
    Older(usize),
    /// A download that broke off, or whose install did.
    Abandoned,
}

/// A base folder that could not be looked through or cleaned.
#[derive(Debug, thiserror::Error)]
pub enum GcError {
    #[error(transparent)]
    Record(RecordError),
    #[error(transparent)]
    Lock(LockError),
    #[error("failed to look at `{}`", path.display())]
    Look { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Remove(RemoveError),
}

/// Decides about everything in a base folder. Of each runtime the `keep` highest versions stay; without a number, all.
pub fn plan(layout: &Layout, keep: Option<usize>) -> Result<Vec<Item>, GcError> {
    let mut items = Vec::new();
    let mut specs = record::specs(layout).map_err(GcError::Record)?;
    specs.reverse();
    for spec in specs {
        let higher = items
            .iter()
            .filter(|item: &&Item| matches!(&item.what, What::Install(other) if other.name == spec.name))
            .count();
        let dir = layout.install(&spec);
        let verdict = install_verdict(&dir, higher, keep);
        let bytes = match verdict {
            Verdict::Remove(_) => freed_bytes(&dir)?,
            Verdict::Keep(_) => 0,
        };
        items.push(Item { what: What::Install(spec), verdict, bytes });
    }
    items.reverse();
    for name in record::names(&layout.store()).map_err(GcError::Record)? {
        let path = layout.store().join(&name);
        if path.extension().is_some_and(|extension| extension == "lock") {
            continue;
        }
        let verdict = if is_locked(&path)? || installs_go_on(layout)? {
            Verdict::Keep(Keep::Downloading)
        } else {
            Verdict::Remove(Remove::Abandoned)
        };
        let bytes = freed_bytes(&path)?;
        items.push(Item { what: What::Download(path), verdict, bytes });
    }
    Ok(items)
}

/// Removes what the plan says. What came into use in the meantime stays. Returns the items that are gone.
pub fn carry_out(layout: &Layout, plan: &[Item]) -> Result<Vec<Item>, GcError> {
    let mut gone = Vec::new();
    for item in plan.iter().filter(|item| matches!(item.verdict, Verdict::Remove(_))) {
        let removed = match &item.what {
            What::Install(spec) => match remove::remove(layout, spec, InUse::Refuse) {
                Ok(()) => true,
                Err(RemoveError::InUse { .. } | RemoveError::Gone { .. }) => false,
                Err(error) => return Err(GcError::Remove(error)),
            },
            What::Download(path) => remove_download(layout, path)?,
        };
        if removed {
            gone.push(item.clone());
        }
    }
    Ok(gone)
}

fn install_verdict(dir: &Path, higher: usize, keep: Option<usize>) -> Verdict {
    match keep {
        _ if higher == 0 => Verdict::Keep(Keep::Highest),
        None => Verdict::Keep(Keep::NotAsked),
        Some(keep) if higher < keep => Verdict::Keep(Keep::Among(keep)),
        Some(_) => {
            let holders = in_use::holders(dir);
            if holders.is_empty() {
                Verdict::Remove(Remove::Older(higher))
            } else {
                Verdict::Keep(Keep::InUse(holders))
            }
        }
    }
}

/// The lock of a blob, of its partial file and of that one's state is `<digest>.lock`.
fn lock_of(path: &Path) -> PathBuf {
    path.with_extension("lock")
}

fn is_locked(path: &Path) -> Result<bool, GcError> {
    is_held(&lock_of(path))
}

fn is_held(lock: &Path) -> Result<bool, GcError> {
    if !lock.exists() {
        return Ok(false);
    }
    match StoreGuard::try_lock(lock).map_err(GcError::Lock)? {
        Some(guard) => guard.delete().map(|()| false).map_err(GcError::Lock),
        None => Ok(true),
    }
}

/// Whether something is being installed, which may need any download: one that is complete is not locked any more.
fn installs_go_on(layout: &Layout) -> Result<bool, GcError> {
    for name in record::names(&layout.state()).map_err(GcError::Record)? {
        let lock = layout.state().join(name);
        if lock.extension().is_some_and(|extension| extension == "lock") && is_held(&lock)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn remove_download(layout: &Layout, path: &Path) -> Result<bool, GcError> {
    let Some(guard) = StoreGuard::try_lock(&lock_of(path)).map_err(GcError::Lock)? else {
        return Ok(false);
    };
    // An install that begins only now waits for the lock that is held here.
    let removed = installs_go_on(layout).and_then(|go_on| {
        if !go_on {
            record::remove(path).map_err(GcError::Record)?;
        }
        Ok(!go_on)
    });
    guard.delete().map_err(GcError::Lock)?;
    removed
}

/// The blocks of the files that have no other name.
fn freed_bytes(path: &Path) -> Result<u64, GcError> {
    let mut bytes = 0;
    let mut left = vec![path.to_owned()];
    while let Some(path) = left.pop() {
        let error = |source| GcError::Look { path: path.clone(), source };
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            // Another process has just removed it.
            Err(absent) if absent.kind() == io::ErrorKind::NotFound => continue,
            Err(other) => return Err(error(other)),
        };
        if metadata.is_dir() {
            for entry in fs::read_dir(&path).map_err(error)? {
                left.push(entry.map_err(error)?.path());
            }
        }
        if metadata.is_dir() || metadata.nlink() == 1 {
            bytes += metadata.blocks() * 512;
        }
    }
    Ok(bytes)
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Install(spec) => write!(f, "{spec}"),
            Self::Download(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let (digest, rest) = name.split_once('.').unwrap_or((&name, ""));
                let short = digest.get(..DIGEST_CHARS).unwrap_or(digest);
                write!(f, "{} {short}…", if rest.is_empty() { "archive" } else { "download" })
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep(Keep::Highest) => write!(f, "the highest version that is installed"),
            Self::Keep(Keep::Among(keep)) => write!(f, "one of the {keep} highest versions"),
            Self::Keep(Keep::NotAsked) => {
                write!(f, "installed; `--keep N` says how many versions of each runtime stay")
            }
            Self::Keep(Keep::InUse(holders)) => {
                let holders: Vec<_> = holders.iter().map(ToString::to_string).collect();
                write!(f, "a job runs in it: {}", holders.join("; "))
            }
            Self::Keep(Keep::Downloading) => write!(f, "being downloaded"),
            Self::Remove(Remove::Older(1)) => write!(f, "a higher version is installed"),
            Self::Remove(Remove::Older(higher)) => {
                write!(f, "{higher} higher versions are installed")
            }
            Self::Remove(Remove::Abandoned) => {
                write!(f, "left by a download that broke off; another install would go on with it")
            }
        }
    }
}
