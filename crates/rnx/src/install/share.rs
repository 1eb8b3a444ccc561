//! Files that several installs of this program have: each is stored once, under as many names as there are.
//!
//! What is linked is compared with its digest first: one damaged file must not become two. Nobody writes to an install,
//! jobs least of all, so that a change under one name is no way to change another.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use fs_err as fs;
use rnx_spec::artifact::{EntryKind, FileIndex, Mode};
use rnx_spec::{Digest, RuntimeSpec};
use rnx_store::blob;
use rnx_store::layout::Layout;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

use crate::record::{self, RecordError};

/// Filesystems allow some ten thousand names of a file; the empty one would reach that.
const NAMES_MAX: u64 = 30_000;

/// What two files must have in common to be stored as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Content {
    pub(crate) sha256: Digest,
    pub(crate) mode: Mode,
    pub(crate) size_bytes: u64,
}

/// Returns a file of an install for each of `wanted` that one other than `own` has, and whose bytes are what they
/// should be.
pub(crate) fn find(
    layout: &Layout,
    own: &RuntimeSpec,
    wanted: &BTreeSet<Content>,
) -> Result<BTreeMap<Content, PathBuf>, RecordError> {
    let mut found = BTreeMap::new();
    for spec in record::specs(layout)?.into_iter().filter(|spec| spec != own) {
        // An install that cannot be read now has nothing to share; `verify` tells about it.
        let Ok(record) = record::read(layout, &spec) else { continue };
        let Ok(bytes) = fs::read(layout.index(&spec, record.archive)) else { continue };
        let Ok(index) = serde_json::from_slice::<FileIndex>(&bytes) else { continue };
        let root = layout.install(&spec);
        let candidates: Vec<(Content, PathBuf)> = contents(&index)
            .filter(|(_, content)| wanted.contains(content) && !found.contains_key(content))
            .map(|(path, content)| (content, root.join(path)))
            .collect();
        found.extend(verified(candidates));
    }
    Ok(found)
}

/// Returns the files of an index that take space.
pub(crate) fn contents(index: &FileIndex) -> impl Iterator<Item = (&str, Content)> {
    index.entries.iter().filter_map(|entry| match entry.kind {
        EntryKind::File { mode, size_bytes, sha256 } if size_bytes > 0 => {
            Some((entry.path.as_str(), Content { sha256, mode, size_bytes }))
        }
        _ => None,
    })
}

/// Replaces the files of a tree that was just unpacked by links to those that other installs have.
pub(crate) fn link_known(
    layout: &Layout,
    (own, index): (&RuntimeSpec, &FileIndex),
    tree: &Path,
    spare: &Path,
) -> Result<(), RecordError> {
    let wanted = contents(index).map(|(_, content)| content).collect();
    let known = find(layout, own, &wanted)?;
    for (path, content) in contents(index) {
        if let Some(from) = known.get(&content) {
            let to = tree.join(path);
            replace(from, &to, spare)
                .map_err(|source| RecordError::Write { path: to.clone(), source })?;
        }
    }
    Ok(())
}

/// Gives the file `from` the name `to` as well, and leaves the folder's time as it was.
fn replace(from: &Path, to: &Path, spare: &Path) -> io::Result<()> {
    // What may not be linked is stored twice: it costs space, and nothing else.
    if rustix::fs::linkat(CWD, from, CWD, spare, AtFlags::empty()).is_err() {
        return Ok(());
    }
    let folder = to.parent().unwrap_or(to);
    let before = folder.metadata()?;
    fs::rename(spare, to)?;
    let time = |seconds, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps {
        last_access: time(before.atime(), before.atime_nsec()),
        last_modification: time(before.mtime(), before.mtime_nsec()),
    };
    Ok(rustix::fs::utimensat(CWD, folder, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Reads the candidates on all cores, and returns those that are what they should be.
fn verified(candidates: Vec<(Content, PathBuf)>) -> Vec<(Content, PathBuf)> {
    let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN).get();
    let next = AtomicUsize::new(0);
    let good: BTreeSet<usize> = thread::scope(|scope| {
        let work = || {
            let mut good = Vec::new();
            while let at = next.fetch_add(1, Ordering::Relaxed)
                && let Some((content, path)) = candidates.get(at)
            {
                // One that cannot be read is as good as absent.
                if is_usable(path, *content).unwrap_or(false) {
                    good.push(at);
                }
            }
            good
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|worker| {
                worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    });
    let mut at = 0..;
    candidates.into_iter().filter(|_| at.next().is_some_and(|at| good.contains(&at))).collect()
}

fn is_usable(path: &Path, content: Content) -> io::Result<bool> {
    let metadata = fs::symlink_metadata(path)?;
    Ok(metadata.is_file()
        && metadata.len() == content.size_bytes
        && metadata.mode() & 0o7777 == content.mode.bits()
        && metadata.uid() == rustix::process::geteuid().as_raw()
        && metadata.nlink() < NAMES_MAX
        && blob::digest(fs::File::open(path)?)? == content.sha256)
}
