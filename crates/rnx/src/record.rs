//! The record that makes a folder an install, and putting interrupted changes right.

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rnx_spec::{Digest, Platform, RuntimeName, RuntimeSpec, SourceUrl, Version};
use rnx_store::guard::{LockError, StoreGuard};
use rnx_store::layout::{Layout, folder_spec};
use serde::{Deserialize, Serialize};

use crate::alias::{self, AliasError};
use crate::in_use::{self, HoldError};

/// The version of the record's format.
pub const SCHEMA_VERSION: u32 = 1;

/// Where an install came from. Its files are listed in the index beside it, which is too large to be read on every
/// start of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub schema_version: u32,
    pub name: RuntimeName,
    pub version: Version,
    pub platform: Platform,
    /// The `registry.json` that named it.
    pub registry: SourceUrl,
    /// The digest of the archive.
    pub archive: Digest,
    pub unpacked_bytes: u64,
    pub entries: u64,
    /// In RFC 3339.
    pub installed_at: String,
    /// Which folder this is about, while two could have the name.
    pub folder: FolderId,
}

/// What tells a folder from every other one on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderId {
    pub device: u64,
    pub inode: u64,
}

/// A record that could not be read, written or put right.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("failed to read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{}` is damaged", path.display())]
    Parse { path: PathBuf, source: serde_json::Error },
    #[error("`{}` has format {found}, this program reads format {SCHEMA_VERSION}", path.display())]
    Format { path: PathBuf, found: u32 },
    #[error("failed to write `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("failed to remove `{}`", path.display())]
    Remove { path: PathBuf, source: io::Error },
    #[error("failed to move `{}` away", path.display())]
    Move { path: PathBuf, source: io::Error },
    #[error("failed to find out whether jobs use a runtime")]
    Claim(#[source] HoldError),
    #[error(transparent)]
    Alias(AliasError),
    #[error(transparent)]
    Lock(LockError),
}

/// Whether an install is there: its folder, and a record of it. Looks at no content.
pub fn is_installed(layout: &Layout, spec: &RuntimeSpec) -> bool {
    let Some(folder) = folder_id(&layout.install(spec)) else { return false };
    layout.record(spec).exists() || next_of(layout, spec, folder).is_some()
}

/// Reads the record of an install.
pub fn read(layout: &Layout, spec: &RuntimeSpec) -> Result<Record, RecordError> {
    if let Some(folder) = folder_id(&layout.install(spec))
        && let Some(next) = next_of(layout, spec, folder)
    {
        return Ok(next);
    }
    read_file(&layout.record(spec))
}

/// Writes a file of an install so that it is there as a whole or not at all, whatever happens. The caller holds the
/// install's lock.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), RecordError> {
    let error = |source| RecordError::Write { path: path.to_owned(), source };
    // One name for all attempts: what a crash leaves is known by it.
    let new = path.with_added_extension("new");
    let mut file = fs::File::create(&new).map_err(error)?;
    file.write_all(bytes).map_err(error)?;
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644)).map_err(error)?;
    file.sync_all().map_err(error)?;
    fs::rename(&new, path).map_err(error)?;
    sync_dir(path.parent().unwrap_or(path))
}

/// Flushes the names in a folder to disk.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), RecordError> {
    std::fs::File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|source| RecordError::Write { path: dir.to_owned(), source })
}

/// Puts right what an interrupted change of one install left. The caller holds the install's lock.
pub(crate) fn settle_one(layout: &Layout, spec: &RuntimeSpec) -> Result<(), RecordError> {
    let (record, next) = (layout.record(spec), layout.next_record(spec));
    let folder = folder_id(&layout.install(spec));
    if next.exists() {
        // The change was done if the folder that it prepared has the name now.
        if folder.and_then(|folder| next_of(layout, spec, folder)).is_some() {
            fs::rename(&next, &record)
                .map_err(|source| RecordError::Write { path: record.clone(), source })?;
        } else {
            remove(&next)?;
        }
    }
    if folder.is_none() {
        remove(&record)?;
    }
    remove_leftovers(layout, spec)?;
    remove_staged(layout, spec)?;
    alias::refresh(layout, &spec.name).map_err(RecordError::Alias)
}

/// Moves the install that has the name out of the way, and returns where it waits to be deleted. The caller holds the
/// install's lock.
pub(crate) fn move_away(layout: &Layout, spec: &RuntimeSpec) -> Result<PathBuf, RecordError> {
    move_to_wait(layout, spec, &layout.install(spec))
}

/// Gives a tree the name under which it waits until no job runs in it.
pub(crate) fn move_to_wait(
    layout: &Layout,
    spec: &RuntimeSpec,
    from: &Path,
) -> Result<PathBuf, RecordError> {
    let error = |source| RecordError::Move { path: from.to_owned(), source };
    let inode = from.symlink_metadata().map_err(error)?.ino();
    let waiting = layout.staged(spec).join(format!("old-{inode}"));
    fs::create_dir_all(layout.staged(spec)).map_err(error)?;
    fs::rename(from, &waiting).map_err(error)?;
    Ok(waiting)
}

/// Removes what is staged, except trees that jobs still run in: those are the next command's.
fn remove_staged(layout: &Layout, spec: &RuntimeSpec) -> Result<(), RecordError> {
    let staged = layout.staged(spec);
    let mut used = false;
    for name in names(&staged)? {
        let path = staged.join(name);
        if folder_id(&path).is_none() {
            remove(&path)?;
        } else if let Some(claimed) = in_use::claim(&path).map_err(RecordError::Claim)? {
            remove(&path)?;
            drop(claimed);
        } else {
            used = true;
            if path == layout.staged_tree(spec) {
                move_to_wait(layout, spec, &path)?;
            }
        }
    }
    if used { Ok(()) } else { remove(&staged) }
}

/// Puts right what interrupted changes left, except where another process is at work.
pub fn settle(layout: &Layout) -> Result<(), RecordError> {
    let mut found = Vec::new();
    for name in names(&layout.staging())? {
        found.extend(folder_spec(&name));
    }
    for name in names(&layout.state())? {
        let next = name.strip_suffix(".json.next").and_then(folder_spec);
        let orphan = name
            .strip_suffix(".json")
            .and_then(folder_spec)
            .filter(|spec| folder_id(&layout.install(spec)).is_none());
        let lock = name.strip_suffix(".lock").and_then(folder_spec);
        found.extend(next.or(orphan).or(lock));
    }
    found.sort();
    found.dedup();
    for spec in found {
        let lock = layout.install_lock(&spec);
        if let Some(guard) = StoreGuard::try_lock(&lock).map_err(RecordError::Lock)? {
            settle_one(layout, &spec)?;
            guard.delete().map_err(RecordError::Lock)?;
        }
    }
    // The locks of aliases and of downloads that nobody holds any more.
    for folder in [layout.state(), layout.store()] {
        for name in names(&folder)?.iter().filter(|name| name.strip_suffix(".lock").is_some()) {
            if let Some(guard) =
                StoreGuard::try_lock(&folder.join(name)).map_err(RecordError::Lock)?
            {
                guard.delete().map_err(RecordError::Lock)?;
            }
        }
    }
    Ok(())
}

/// Returns the installed versions of a runtime that have a record, the highest first.
pub(crate) fn versions(layout: &Layout, name: &RuntimeName) -> Result<Vec<Version>, RecordError> {
    let mut versions: Vec<Version> =
        specs(layout)?.into_iter().filter(|spec| spec.name == *name).map(|s| s.version).collect();
    versions.reverse();
    Ok(versions)
}

/// Returns all installs that have a record, sorted.
pub(crate) fn specs(layout: &Layout) -> Result<Vec<RuntimeSpec>, RecordError> {
    let mut specs: Vec<RuntimeSpec> = names(&layout.state())?
        .iter()
        .filter_map(|name| {
            let stem = name.strip_suffix(".json").or_else(|| name.strip_suffix(".json.next"))?;
            folder_spec(stem)
        })
        .filter(|spec| is_installed(layout, spec))
        .collect();
    specs.sort();
    specs.dedup();
    Ok(specs)
}

/// Returns the identity of a folder; `None` if there is none, or something else.
pub(crate) fn folder_id(path: &Path) -> Option<FolderId> {
    let metadata = path.symlink_metadata().ok().filter(std::fs::Metadata::is_dir)?;
    Some(FolderId { device: metadata.dev(), inode: metadata.ino() })
}

/// Removes a file, or a folder with everything in it; nothing if there is nothing.
pub(crate) fn remove(path: &Path) -> Result<(), RecordError> {
    let removed = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(RecordError::Remove { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Returns the record that is being put in place, if it is about the folder that has the name.
fn next_of(layout: &Layout, spec: &RuntimeSpec, folder: FolderId) -> Option<Record> {
    read_file(&layout.next_record(spec)).ok().filter(|next| next.folder == folder)
}

fn read_file(path: &Path) -> Result<Record, RecordError> {
    let bytes =
        fs::read(path).map_err(|source| RecordError::Read { path: path.to_owned(), source })?;
    let record: Record = serde_json::from_slice(&bytes)
        .map_err(|source| RecordError::Parse { path: path.to_owned(), source })?;
    if record.schema_version != SCHEMA_VERSION {
        let found = record.schema_version;
        return Err(RecordError::Format { path: path.to_owned(), found });
    }
    Ok(record)
}

/// Removes the indexes of this install that its record does not name, and what was being written.
fn remove_leftovers(layout: &Layout, spec: &RuntimeSpec) -> Result<(), RecordError> {
    let current = match read_file(&layout.record(spec)) {
        Ok(record) => Some(layout.index(spec, record.archive)),
        Err(RecordError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
        // A damaged record must not cost the index that may still be of use.
        Err(_) => return Ok(()),
    };
    for name in names(&layout.state())? {
        let written = name.strip_suffix(".new");
        let whole = written.unwrap_or(&name);
        let of_record = whole.strip_suffix(".next").unwrap_or(whole).strip_suffix(".json");
        let of_index = whole
            .strip_suffix(".files.json")
            .and_then(|name| name.rsplit_once('.'))
            .map(|(folder, _digest)| folder);
        let path = layout.state().join(&name);
        let of_this = |folder: Option<&str>| folder == Some(spec.folder().as_str());
        let stale_index = of_this(of_index) && current.as_ref() != Some(&path);
        if stale_index || (written.is_some() && of_this(of_record)) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Returns the names in a folder, sorted; none if it is not there.
pub(crate) fn names(dir: &Path) -> Result<Vec<String>, RecordError> {
    let error = |source| RecordError::Read { path: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(absent) if absent.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(other) => return Err(error(other)),
    };
    let mut names = Vec::new();
    for entry in entries {
        // Names of ours are ASCII; any other is not ours.
        names.extend(entry.map_err(error)?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}
