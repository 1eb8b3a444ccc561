//! `registry.json` as a file: read, and replaced in one step. ⚡

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rnx_spec::registry::{self, ParseRegistryError, Registry};

use super::registry_branch::REGISTRY_FILE;

/// A registry's file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RegistryFileError {
    #[error("failed to read a registry")]
    Read { source: io::Error },
    #[error("`{}` is no registry", path.display())]
    Parse { path: PathBuf, source: ParseRegistryError },
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

/// Writes the registry of a folder: a reader sees the old file or the whole new one.
pub fn write(dir: &Path, registry: &Registry) -> Result<PathBuf, RegistryFileError> {
    let path = dir.join(REGISTRY_FILE);
    let write = || -> io::Result<()> {
        let mut scratch = tempfile::Builder::new().prefix(".registry-").tempfile_in(dir)?;
        scratch.write_all(registry::write(registry).as_bytes())?;
        scratch.as_file().set_permissions(PermissionsExt::from_mode(0o644))?;
        scratch.as_file().sync_all()?;
        scratch.persist(&path).map(drop).map_err(|error| error.error)
    };
    write().map_err(|source| RegistryFileError::Write { path: path.clone(), source })?;
    Ok(path)
}
