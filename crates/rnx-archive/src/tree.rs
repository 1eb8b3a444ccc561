//! What an archive is made from: names, kinds, and where each file's content lies.

use std::collections::BTreeMap;
use std::fs::FileType;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::path::{LinkError, PathError, TreePath};

/// The entries of a tree.
///
/// A caller that leaves something out of the archive takes it out of the map:
/// [`Tree::remove_named`], or `tree.0.retain(…)`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree(pub BTreeMap<TreePath, Entry>);

/// One entry: what the format carries, and nothing else. Owners, times, other mode bits and
/// attributes have no place here, so they cannot reach an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Dir,
    File {
        /// The file on this machine whose bytes are packed.
        content: PathBuf,
        size_bytes: u64,
        executable: bool,
    },
    Symlink {
        target: String,
    },
}

/// A folder that cannot be read as a [`Tree`].
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    #[error("failed to read the tree `{}`", root.display())]
    Walk { root: PathBuf, source: walkdir::Error },
    #[error("failed to read the symlink `{}`", path.display())]
    ReadLink { path: PathBuf, source: std::io::Error },
    #[error("`{}` is a {kind}: an archive carries files, folders and symlinks alone", path.display())]
    Special { path: PathBuf, kind: &'static str },
    #[error("the name of `{}` cannot be packed", path.display())]
    Name { path: PathBuf, source: PathError },
    #[error("the symlink `{}` cannot be packed", path.display())]
    Link { path: PathBuf, source: LinkError },
}

impl Tree {
    /// Reads the tree below `root`, which itself is no entry.
    pub fn scan(root: &Path) -> Result<Self, ScanError> {
        let mut entries = BTreeMap::new();
        let walk_error = |source| ScanError::Walk { root: root.to_owned(), source };
        for found in WalkDir::new(root).min_depth(1) {
            let found = found.map_err(walk_error)?;
            let relative = found.path().strip_prefix(root).unwrap_or(found.path());
            let path = TreePath::from_bytes(relative.as_os_str().as_bytes())
                .map_err(|source| ScanError::Name { path: found.path().to_owned(), source })?;
            let entry = if found.file_type().is_dir() {
                Entry::Dir
            } else if found.file_type().is_symlink() {
                read_link(&path, found.path())?
            } else if found.file_type().is_file() {
                let metadata = found.metadata().map_err(walk_error)?;
                Entry::File {
                    size_bytes: metadata.len(),
                    executable: metadata.mode() & 0o111 != 0,
                    content: found.into_path(),
                }
            } else {
                let kind = special(found.file_type());
                return Err(ScanError::Special { path: found.into_path(), kind });
            };
            entries.insert(path, entry);
        }
        Ok(Self(entries))
    }

    /// Takes every entry called `name`, and all that is below it, out of the tree.
    pub fn remove_named(&mut self, name: &str) {
        self.0.retain(|path, _| !path.as_str().split('/').any(|component| component == name));
    }
}

fn read_link(at: &TreePath, path: &Path) -> Result<Entry, ScanError> {
    let target = fs_err::read_link(path)
        .map_err(|source| ScanError::ReadLink { path: path.to_owned(), source })?;
    let link_error = |source| ScanError::Link { path: path.to_owned(), source };
    at.check_link(target.as_os_str().as_bytes()).map_err(link_error)?;
    let target = target.into_os_string().into_string();
    Ok(Entry::Symlink { target: target.map_err(|_text| link_error(LinkError::NotUtf8))? })
}

fn special(kind: FileType) -> &'static str {
    if kind.is_block_device() {
        "block device"
    } else if kind.is_char_device() {
        "character device"
    } else if kind.is_fifo() {
        "FIFO"
    } else if kind.is_socket() {
        "socket"
    } else {
        "file of an unknown kind"
    }
}
