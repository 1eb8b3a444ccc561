//! Removing an install.

use rnx_spec::RuntimeSpec;
use rnx_store::guard::{LockError, StoreGuard};
use rnx_store::layout::Layout;

use crate::in_use::{self, HoldError, Holder};
use crate::record::{self, RecordError};

/// What becomes of an install that jobs run in.
pub enum InUse<'a> {
    /// It stays, and so do the jobs.
    Refuse,
    /// It is removed for new jobs at once; its files go when the last job has ended. Called with those waited for.
    Wait(&'a mut dyn FnMut(&[Holder])),
}

/// An install that could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    #[error("failed to wait for another process that changes the install")]
    Lock(#[source] LockError),
    #[error("`{spec}` is not installed any more")]
    Gone { spec: RuntimeSpec },
    #[error("`{spec}` is in use")]
    InUse { spec: RuntimeSpec, holders: Vec<Holder> },
    #[error("failed to find out whether a job runs in `{spec}`")]
    Claim { spec: RuntimeSpec, source: HoldError },
    #[error("failed to remove `{spec}`")]
    Record { spec: RuntimeSpec, source: RecordError },
}

/// Removes an install of this program: at once for everyone else, as its folder is moved away before it is deleted.
pub fn remove(layout: &Layout, spec: &RuntimeSpec, in_use: InUse<'_>) -> Result<(), RemoveError> {
    let guard = StoreGuard::lock(&layout.install_lock(spec)).map_err(RemoveError::Lock)?;
    let failed = |source| RemoveError::Record { spec: spec.clone(), source };
    record::settle_one(layout, spec).map_err(failed)?;
    let moved = move_away(layout, spec, matches!(in_use, InUse::Refuse));
    record::settle_one(layout, spec).map_err(failed)?;
    guard.delete().map_err(RemoveError::Lock)?;
    let waiting = moved?;
    let InUse::Wait(on_wait) = in_use else { return Ok(()) };
    if record::folder_id(&waiting).is_none() {
        return Ok(());
    }
    on_wait(&in_use::holders(&waiting));
    // Deleted by another command that came first, or by the next lines.
    let claimed = in_use::wait_and_claim(&waiting);
    drop(claimed);
    let guard = StoreGuard::lock(&layout.install_lock(spec)).map_err(RemoveError::Lock)?;
    record::settle_one(layout, spec).map_err(failed)?;
    guard.delete().map_err(RemoveError::Lock)
}

/// Takes the name from an install, and returns where it waits to be deleted. A job that looks the install up at this
/// moment either holds it before, or finds that it is gone.
fn move_away(
    layout: &Layout,
    spec: &RuntimeSpec,
    refuse: bool,
) -> Result<std::path::PathBuf, RemoveError> {
    if !record::is_installed(layout, spec) {
        return Err(RemoveError::Gone { spec: spec.clone() });
    }
    let dir = layout.install(spec);
    let claimed =
        in_use::claim(&dir).map_err(|source| RemoveError::Claim { spec: spec.clone(), source })?;
    if claimed.is_none() && refuse {
        return Err(RemoveError::InUse { spec: spec.clone(), holders: in_use::holders(&dir) });
    }
    record::move_away(layout, spec)
        .map_err(|source| RemoveError::Record { spec: spec.clone(), source })
}
