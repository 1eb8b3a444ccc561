//! The symlink `<base>/<name>`, which leads to the highest installed version.

use std::io;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use fs_err as fs;
use rnx_spec::{RuntimeName, RuntimeSpec};
use rnx_store::guard::{LockError, StoreGuard};
use rnx_store::layout::{Layout, folder_spec};

use crate::record;

/// An alias could not be set.
#[derive(Debug, thiserror::Error)]
pub enum AliasError {
    #[error("failed to look for the installed versions of `{name}`")]
    Versions { name: RuntimeName, source: Box<record::RecordError> },
    #[error("failed to set the alias `{}`", path.display())]
    Set { path: PathBuf, source: io::Error },
    #[error("failed to lock the alias")]
    Lock(#[source] LockError),
}

/// Lets the alias lead to the highest installed version, or removes it with the last one.
///
/// What is there and was not made by this program stays: a folder as daemons lay them, or a link to elsewhere.
pub(crate) fn refresh(layout: &Layout, name: &RuntimeName) -> Result<(), AliasError> {
    let guard = StoreGuard::lock(&layout.alias_lock(name)).map_err(AliasError::Lock)?;
    let versions = record::versions(layout, name)
        .map_err(|source| AliasError::Versions { name: name.clone(), source: Box::new(source) })?;
    let path = layout.alias(name);
    let error = |source| AliasError::Set { path: path.clone(), source };
    let target = versions
        .first()
        .map(|&version| PathBuf::from(RuntimeSpec { name: name.clone(), version }.folder()));
    let current = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_symlink() => Some(fs::read_link(&path).map_err(error)?),
        Ok(_) => return guard.delete().map_err(AliasError::Lock),
        Err(absent) if absent.kind() == io::ErrorKind::NotFound => None,
        Err(other) => return Err(error(other)),
    };
    let ours = current.as_ref().is_none_or(|current| {
        current.to_str().and_then(folder_spec).is_some_and(|spec| spec.name == *name)
    });
    if ours && current != target {
        match target {
            Some(target) => {
                let new = layout.state().join(format!("{name}.alias"));
                record::remove(&new).map_err(|source| AliasError::Versions {
                    name: name.clone(),
                    source: Box::new(source),
                })?;
                symlink(target, &new).and_then(|()| fs::rename(&new, &path)).map_err(error)?;
            }
            None => fs::remove_file(&path).map_err(error)?,
        }
    }
    guard.delete().map_err(AliasError::Lock)
}
