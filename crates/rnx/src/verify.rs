//! Comparing an install with the index of what was unpacked.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rnx_spec::RuntimeSpec;
use rnx_spec::artifact::{EntryKind, FileIndex};
use rnx_store::blob;
use rnx_store::layout::Layout;

use crate::record::{self, RecordError};

/// One way in which an install differs from what was unpacked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// Relative to the install's folder.
    pub path: PathBuf,
    pub kind: DifferenceKind,
}

/// How an entry differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DifferenceKind {
    Missing,
    Added,
    Type,
    Mode,
    Content,
    Target,
}

/// An install that could not be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error(transparent)]
    Record(RecordError),
    #[error("failed to read the index `{}`", path.display())]
    ReadIndex { path: PathBuf, source: io::Error },
    #[error("the index `{}` is damaged", path.display())]
    ParseIndex { path: PathBuf, source: serde_json::Error },
    #[error("failed to read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
}

/// Returns how an install of this program differs from what was unpacked, sorted by path.
pub fn verify(layout: &Layout, spec: &RuntimeSpec) -> Result<Vec<Difference>, VerifyError> {
    compare(&layout.install(spec), &index(layout, spec)?)
}

/// Reads the index of an install.
pub(crate) fn index(layout: &Layout, spec: &RuntimeSpec) -> Result<FileIndex, VerifyError> {
    let record = record::read(layout, spec).map_err(VerifyError::Record)?;
    let path = layout.index(spec, record.archive);
    let bytes =
        fs::read(&path).map_err(|source| VerifyError::ReadIndex { path: path.clone(), source })?;
    serde_json::from_slice(&bytes).map_err(|source| VerifyError::ParseIndex { path, source })
}

pub(crate) fn compare(root: &Path, index: &FileIndex) -> Result<Vec<Difference>, VerifyError> {
    let mut expected: BTreeMap<PathBuf, &EntryKind> =
        index.entries.iter().map(|entry| (PathBuf::from(&entry.path), &entry.kind)).collect();
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let dir = root.join(&folder);
        let error = |source| VerifyError::Read { path: dir.clone(), source };
        for entry in fs::read_dir(&dir).map_err(error)? {
            let path = folder.join(entry.map_err(error)?.file_name());
            let metadata = fs::symlink_metadata(root.join(&path)).map_err(error)?;
            let kind = match expected.remove(&path) {
                None => Some(DifferenceKind::Added),
                Some(expected) => difference(&root.join(&path), &metadata, expected)
                    .map_err(|source| VerifyError::Read { path: root.join(&path), source })?,
            };
            // What is in a folder that is added, or stands for something else, goes with it. In place of a link it must not
            // be named: when that is put right, its names are those of files elsewhere.
            if metadata.is_dir()
                && !matches!(kind, Some(DifferenceKind::Added | DifferenceKind::Type))
            {
                folders.push(path.clone());
            }
            found.extend(kind.map(|kind| Difference { path, kind }));
        }
    }
    let missing = |path| Difference { path, kind: DifferenceKind::Missing };
    found.extend(expected.into_keys().map(missing));
    found.sort();
    Ok(found)
}

fn difference(
    path: &Path,
    metadata: &std::fs::Metadata,
    expected: &EntryKind,
) -> io::Result<Option<DifferenceKind>> {
    let mode = metadata.permissions().mode() & 0o7777;
    Ok(match expected {
        EntryKind::Dir if !metadata.is_dir() => Some(DifferenceKind::Type),
        EntryKind::Dir => (mode != 0o755).then_some(DifferenceKind::Mode),
        EntryKind::File { .. } if !metadata.is_file() => Some(DifferenceKind::Type),
        EntryKind::File { mode: expected, size_bytes, sha256 } => {
            if metadata.len() != *size_bytes || blob::digest(fs::File::open(path)?)? != *sha256 {
                Some(DifferenceKind::Content)
            } else {
                (mode != expected.bits()).then_some(DifferenceKind::Mode)
            }
        }
        EntryKind::Symlink { .. } if !metadata.is_symlink() => Some(DifferenceKind::Type),
        EntryKind::Symlink { target } => {
            (fs::read_link(path)? != Path::new(target)).then_some(DifferenceKind::Target)
        }
    })
}

impl fmt::Display for DifferenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Missing => "missing",
            Self::Added => "added",
            Self::Type => "of another type",
            Self::Mode => "of another mode",
            Self::Content => "changed",
            Self::Target => "a link to elsewhere",
        })
    }
}
