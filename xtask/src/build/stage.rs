//! The work folder of a build: what stands in it before the script starts, and how it goes away.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::contract::{
    self, APT_CONFIG, CA_BUNDLE, DEFINITION_DIR, LIB_DIR, LIB_FILE, RECORDS_DIR, SOURCES_DIR,
};
use super::plan::{HostFiles, WorkFolder};

/// A work folder could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    #[error("failed to list `{}`", path.display())]
    List { path: PathBuf, source: walkdir::Error },
    #[error("failed to prepare the build's work folder")]
    Write { source: io::Error },
    #[error("`{}` is neither a file, a folder nor a link: a definition cannot hold it", path.display())]
    Special { path: PathBuf },
}

/// Fills an empty work folder: a copy of the definition, the overlay's folders, and a place for every mount.
///
/// The overlay's upper folder gets the mount points, since a mount needs something to stand on and the base is
/// read-only; none of them is below the folder that the script fills.
pub(crate) fn stage(
    work: &WorkFolder,
    definition: &Path,
    host: &HostFiles,
) -> Result<(), StageError> {
    let upper = work.upper();
    for folder in [&upper, &work.overlay(), &work.definition(), &work.sources()] {
        create_dir(folder)?;
    }
    for guest in
        ["/proc", "/dev", "/etc", "/opt/joblet/runtimes", DEFINITION_DIR, SOURCES_DIR, RECORDS_DIR]
    {
        create_dir(&below(&upper, guest))?;
    }
    if host.lib.is_some() {
        create_dir(&below(&upper, LIB_DIR))?;
        write(&below(&upper, LIB_FILE), "")?;
    }
    if host.ca_bundle.is_some() {
        write(&below(&upper, CA_BUNDLE), "")?;
        write(&below(&upper, APT_CONFIG), "")?;
        write(&work.root.join("apt.conf"), &contract::apt_config())?;
    }
    for (_, guest) in &host.resolver {
        write(&below(&upper, guest), "")?;
    }
    copy_tree(definition, &work.definition())?;
    // Nothing may depend on the lock: a build would differ from the one that the lock was written after.
    match fs_err::remove_file(work.definition().join(rnx_spec::lock::FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StageError::Write { source: error })
        }
        _ => Ok(()),
    }
}

/// Copies files, folders and links; of their modes, only whether a file is executable.
pub(crate) fn copy_tree(from: &Path, to: &Path) -> Result<(), StageError> {
    for entry in WalkDir::new(from).min_depth(1).sort_by_file_name() {
        let entry = entry.map_err(|source| StageError::List { path: from.to_owned(), source })?;
        let target = to.join(entry.path().strip_prefix(from).unwrap_or(entry.path()));
        let kind = entry.file_type();
        if kind.is_dir() {
            create_dir(&target)?;
        } else if kind.is_file() {
            copy_file(entry.path(), &target)?;
        } else if kind.is_symlink() {
            fs_err::read_link(entry.path())
                .and_then(|link| fs_err::os::unix::fs::symlink(link, &target))
                .map_err(|source| StageError::Write { source })?;
        } else {
            return Err(StageError::Special { path: entry.into_path() });
        }
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> Result<(), StageError> {
    let copy = || -> io::Result<()> {
        fs_err::copy(from, to)?;
        let executable = fs_err::metadata(from)?.permissions().mode() & 0o111 != 0;
        let mode = if executable { 0o755 } else { 0o644 };
        fs_err::set_permissions(to, PermissionsExt::from_mode(mode))
    };
    copy().map_err(|source| StageError::Write { source })
}

pub(super) fn below(root: &Path, guest: impl AsRef<Path>) -> PathBuf {
    let guest = guest.as_ref();
    root.join(guest.strip_prefix("/").unwrap_or(guest))
}

fn create_dir(path: &Path) -> Result<(), StageError> {
    fs_err::create_dir_all(path)
        // Whatever the caller's umask: programs of the chroot run as other users, too.
        .and_then(|()| fs_err::set_permissions(path, PermissionsExt::from_mode(0o755)))
        .map_err(|source| StageError::Write { source })
}

pub(super) fn write(path: &Path, content: &str) -> Result<(), StageError> {
    if let Some(folder) = path.parent() {
        create_dir(folder)?;
    }
    fs_err::write(path, content)
        .and_then(|()| fs_err::set_permissions(path, PermissionsExt::from_mode(0o644)))
        .map_err(|source| StageError::Write { source })
}
