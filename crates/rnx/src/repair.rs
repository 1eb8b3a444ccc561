//! Putting an install right: what differs from what was unpacked becomes that again, one entry at a time.
//!
//! A file is taken from another install that has it, or from the archive, of which only the gzip members are fetched
//! that carry such files. It takes its name by a rename: jobs that run see the old one or the new one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use fs_err as fs;
use rnx_archive::UnpackError;
use rnx_archive::indexed::CheckedIndex;
use rnx_spec::RuntimeSpec;
use rnx_spec::artifact::{EntryKind, FileIndex, Member};
use rnx_store::fetch::Fetcher;
use rnx_store::guard::{LockError, StoreGuard};
use rnx_store::layout::Layout;
use rnx_store::ranges::RangeReader;

use crate::install::{delta, place, share};
use crate::record::{self, RecordError};
use crate::resolve::Resolved;
use crate::verify::{self, Difference, DifferenceKind, VerifyError};

/// What is wrong with an install, and what of it can be put right without a registry.
#[derive(Debug)]
pub struct Damage {
    spec: RuntimeSpec,
    index: FileIndex,
    differences: Vec<Difference>,
    /// Files that another install has.
    here: BTreeMap<String, PathBuf>,
    /// Files that only the archive has.
    absent: BTreeSet<String>,
}

/// An install that could not be put right. What was right before still is.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    #[error(transparent)]
    Verify(VerifyError),
    #[error("failed to wait for another process that changes the install")]
    Lock(#[source] LockError),
    #[error(transparent)]
    Record(RecordError),
    #[error("failed to put `{}` right", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("failed to get the damaged files of `{spec}` from its archive")]
    Fetch { spec: RuntimeSpec, source: Box<UnpackError> },
    #[error(
        "the archive that `{spec}` came from has no index of members: files cannot be fetched one by one"
    )]
    NoMembers { spec: RuntimeSpec },
    #[error("`{spec}` was removed or replaced in the meantime")]
    Changed { spec: RuntimeSpec },
    #[error("failed to flush `{spec}` to disk")]
    Flush { spec: RuntimeSpec, source: io::Error },
}

impl Damage {
    /// Returns how the install differs from what was unpacked.
    pub fn differences(&self) -> &[Difference] {
        &self.differences
    }

    /// Whether the archive is needed.
    pub fn needs_archive(&self) -> bool {
        !self.absent.is_empty()
    }
}

/// Compares an install with its index, and looks for what it lacks in the other installs.
pub fn examine(layout: &Layout, spec: &RuntimeSpec) -> Result<Damage, RepairError> {
    let index = verify::index(layout, spec).map_err(RepairError::Verify)?;
    let differences =
        verify::compare(&layout.install(spec), &index).map_err(RepairError::Verify)?;
    let damaged: BTreeSet<&Path> = differences
        .iter()
        .filter(|found| {
            use DifferenceKind::{Content, Missing, Type};
            matches!(found.kind, Missing | Type | Content)
        })
        .map(|found| found.path.as_path())
        .collect();
    let lacking: Vec<_> = share::contents(&index)
        .filter(|(path, _)| damaged.contains(Path::new(path)))
        .map(|(path, content)| (path.to_owned(), content))
        .collect();
    let wanted = lacking.iter().map(|(_, content)| *content).collect();
    let known = share::find(layout, spec, &wanted).map_err(RepairError::Record)?;
    let (mut here, mut absent) = (BTreeMap::new(), BTreeSet::new());
    for (path, content) in lacking {
        match known.get(&content) {
            Some(from) => drop(here.insert(path, from.clone())),
            None => drop(absent.insert(path)),
        }
    }
    Ok(Damage { spec: spec.clone(), index, differences, here, absent })
}

/// Puts everything right. `archive` says where the archive is, where the damage needs it.
pub fn repair(
    layout: &Layout,
    damage: &Damage,
    archive: Option<(&Fetcher, &Resolved)>,
) -> Result<(), RepairError> {
    let spec = &damage.spec;
    let guard = StoreGuard::lock(&layout.install_lock(spec)).map_err(RepairError::Lock)?;
    let repaired = record::settle_one(layout, spec)
        .map_err(RepairError::Record)
        .and_then(|()| repair_locked(layout, damage, archive));
    let settled = record::settle_one(layout, spec).map_err(RepairError::Record);
    guard.delete().map_err(RepairError::Lock)?;
    repaired.and(settled)
}

fn repair_locked(
    layout: &Layout,
    damage: &Damage,
    archive: Option<(&Fetcher, &Resolved)>,
) -> Result<(), RepairError> {
    let spec = &damage.spec;
    // The install may be another one than was examined, and so may its index.
    if !verify::index(layout, spec).is_ok_and(|index| index == damage.index) {
        return Err(RepairError::Changed { spec: spec.clone() });
    }
    let tree = layout.staged_tree(spec);
    place::make_dir(&tree).map_err(|error| RepairError::Write {
        path: tree.clone(),
        source: io::Error::other(error),
    })?;
    if !damage.absent.is_empty() {
        let (fetcher, resolved) =
            archive.ok_or_else(|| RepairError::NoMembers { spec: spec.clone() })?;
        fetch(damage, fetcher, resolved, &tree)?;
    }
    let root = layout.install(spec);
    let kinds: BTreeMap<&Path, &EntryKind> =
        damage.index.entries.iter().map(|e| (Path::new(&e.path), &e.kind)).collect();
    for found in &damage.differences {
        let to = root.join(&found.path);
        put_right(damage, found, kinds.get(found.path.as_path()).copied(), (&tree, &to))
            .map_err(|source| RepairError::Write { path: to.clone(), source })?;
    }
    place::flush(&root)
        .map_err(|error| RepairError::Flush { spec: spec.clone(), source: io::Error::other(error) })
}

/// Writes the files that no install has into `tree`.
fn fetch(
    damage: &Damage,
    fetcher: &Fetcher,
    resolved: &Resolved,
    tree: &Path,
) -> Result<(), RepairError> {
    let Damage { spec, index, absent, .. } = damage;
    if index.members.is_empty() {
        return Err(RepairError::NoMembers { spec: spec.clone() });
    }
    let failed = |source| RepairError::Fetch { spec: spec.clone(), source: Box::new(source) };
    let checked = CheckedIndex::new(index, &delta::limits(resolved)).map_err(failed)?;
    for path in absent {
        let folder = tree.join(path);
        let folder = folder.parent().unwrap_or(tree);
        fs::create_dir_all(folder)
            .map_err(|source| RepairError::Write { path: folder.to_owned(), source })?;
    }
    let mut wanted: BTreeSet<&str> = absent.iter().map(String::as_str).collect();
    let mut reader = RangeReader::new(fetcher, delta::pieces(resolved));
    for run in checked.runs(absent.iter().map(String::as_str)) {
        let end = delta::span(index, &run).end;
        let mut read = |member: &Member, packed: &mut Vec<u8>| {
            packed.resize(usize::try_from(member.size_bytes).unwrap_or(usize::MAX), 0);
            reader.read(member.offset..end, packed).map_err(io::Error::other)
        };
        checked.extract(tree, run, &mut wanted, &mut read).map_err(failed)?;
    }
    match wanted.first() {
        Some(path) => Err(failed(UnpackError::NotAsIndexed { path: (*path).to_owned() })),
        None => Ok(()),
    }
}

/// Makes one entry what the index says; differences come sorted, and so a folder before what is in it.
fn put_right(
    damage: &Damage,
    found: &Difference,
    expected: Option<&EntryKind>,
    (tree, to): (&Path, &Path),
) -> io::Result<()> {
    let Some(expected) = expected else { return remove(to) };
    let mode = |bits| fs::set_permissions(to, PermissionsExt::from_mode(bits));
    match expected {
        EntryKind::Dir => {
            if found.kind != DifferenceKind::Mode {
                remove(to)?;
                fs::create_dir(to)?;
            }
            mode(0o755)
        }
        EntryKind::Symlink { target } => {
            remove(to)?;
            symlink(target, to)
        }
        EntryKind::File { mode: bits, .. } if found.kind == DifferenceKind::Mode => {
            mode(bits.bits())
        }
        EntryKind::File { mode: bits, size_bytes, .. } => {
            let from = found.path.to_str().and_then(|path| damage.here.get(path));
            let ready = match from {
                Some(from) => {
                    let link = tree.join(".link");
                    fs::hard_link(from, &link)?;
                    link
                }
                None if *size_bytes == 0 => {
                    let empty = tree.join(".empty");
                    fs::write(&empty, "")?;
                    fs::set_permissions(&empty, PermissionsExt::from_mode(bits.bits()))?;
                    empty
                }
                None => tree.join(&found.path),
            };
            if found.kind == DifferenceKind::Type {
                remove(to)?;
            }
            fs::rename(ready, to)
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(absent) if absent.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(other) => Err(other),
    }
}
