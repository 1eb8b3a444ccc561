//! Removing an install.

use std::io;
use std::path::PathBuf;

use fs_err as fs;
use rnx_spec::RuntimeSpec;
use rnx_store::guard::{LockError, StoreGuard};
use rnx_store::layout::Layout;

use crate::record::{self, RecordError};

/// An install that could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    #[error("failed to wait for another process that changes the install")]
    Lock(#[source] LockError),
    #[error("`{spec}` is not installed any more")]
    Gone { spec: RuntimeSpec },
    #[error("failed to move `{}` away", path.display())]
    MoveAway { path: PathBuf, source: io::Error },
    #[error("failed to clean up after `{spec}`")]
    Clean { spec: RuntimeSpec, source: RecordError },
}

/// Removes an install of this program: at once for everyone else, as its folder is moved away before it is deleted.
pub fn remove(layout: &Layout, spec: &RuntimeSpec) -> Result<(), RemoveError> {
    let guard = StoreGuard::lock(&layout.install_lock(spec)).map_err(RemoveError::Lock)?;
    let clean = |source| RemoveError::Clean { spec: spec.clone(), source };
    record::settle_one(layout, spec).map_err(clean)?;
    let removed = if record::is_installed(layout, spec) {
        let path = layout.install(spec);
        fs::create_dir_all(layout.staged(spec))
            .and_then(|()| fs::rename(&path, layout.staged_tree(spec)))
            .map_err(|source| RemoveError::MoveAway { path, source })
    } else {
        Err(RemoveError::Gone { spec: spec.clone() })
    };
    record::settle_one(layout, spec).map_err(clean)?;
    guard.delete().map_err(RemoveError::Lock)?;
    removed
}
