//! `registry.json` as a file: read, and replaced in one step. ⚡

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rnx_spec::registry::{self, ParseRegistryError, Registry};

use rnx_store::guard::{LockError, StoreGuard};

use super::registry_branch::{self, Change, PushRegistryError, REGISTRY_FILE};

/// A registry's file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RegistryFileError {
    #[error("failed to read a registry")]
    Read { source: io::Error },
    #[error("`{}` is no registry", path.display())]
    Parse { path: PathBuf, source: ParseRegistryError },
    #[error("failed to wait for another program that changes the registry in `{}`", dir.display())]
    Lock { dir: PathBuf, source: LockError },
    #[error("`{}` was not changed", path.display())]
    Change { path: PathBuf, source: Box<PushRegistryError> },
    #[error("failed to write `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Reads the registry in a folder; `None` where there is none.
pub fn read(dir: &Path) -> Result<Option<Registry>, RegistryFileError> {
    let path = dir.join(REGISTRY_FILE);
    if path.exists() { read_file(&path).map(Some) } else { Ok(None) }
}

/// Reads a registry's file.
pub fn read_file(path: &Path) -> Result<Registry, RegistryFileError> {
    let bytes = fs_err::read(path).map_err(|source| RegistryFileError::Read { source })?;
    registry::parse(&bytes)
        .map_err(|source| RegistryFileError::Parse { path: path.to_owned(), source })
}

/// Changes the registry of a folder, and makes one where there is none; one program at a time does so.
pub fn change(dir: &Path, change: &Change<'_>) -> Result<(), RegistryFileError> {
    let lock = |source| RegistryFileError::Lock { dir: dir.to_owned(), source };
    let guard = StoreGuard::lock(&dir.join(".registry.lock")).map_err(lock)?;
    if let Some(text) = changed(dir, change)? {
        write(dir, &text)?;
    }
    guard.delete().map_err(lock)
}

/// Returns whether a change would change the registry of a folder. Nothing is written.
pub fn preview(dir: &Path, change: &Change<'_>) -> Result<bool, RegistryFileError> {
    Ok(changed(dir, change)?.is_some())
}

fn changed(dir: &Path, change: &Change<'_>) -> Result<Option<String>, RegistryFileError> {
    let path = dir.join(REGISTRY_FILE);
    let text = match fs_err::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(RegistryFileError::Read { source }),
    };
    let refused = |source| RegistryFileError::Change { path, source: Box::new(source) };
    registry_branch::changed(text, change).map_err(refused)
}

/// Writes the registry of a folder: a reader sees the old file or the whole new one.
pub fn write(dir: &Path, text: &str) -> Result<PathBuf, RegistryFileError> {
    let path = dir.join(REGISTRY_FILE);
    let write = || -> io::Result<()> {
        let mut scratch = tempfile::Builder::new().prefix(".registry-").tempfile_in(dir)?;
        scratch.write_all(text.as_bytes())?;
        scratch.as_file().set_permissions(PermissionsExt::from_mode(0o644))?;
        scratch.as_file().sync_all()?;
        scratch.persist(&path).map(drop).map_err(|error| error.error)
    };
    write().map_err(|source| RegistryFileError::Write { path: path.clone(), source })?;
    Ok(path)
}
