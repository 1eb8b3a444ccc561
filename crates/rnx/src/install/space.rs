//! Room on the disk for installs that go on side by side: none begins that fits only where another one is about to write.

use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::InstallError;

/// What the installs of this process that go on may still write. Part of it is written already and so counts twice: one
/// that does not fit beside the others waits for their end, and is not refused before it is alone.
static PROMISED: Mutex<u64> = Mutex::new(0);
static LESS_PROMISED: Condvar = Condvar::new();

/// Room that one install has been promised, until this is dropped.
#[derive(Debug)]
pub(super) struct Room {
    bytes: u64,
}

/// Makes sure that so many bytes fit into the folder `base`, beside those that other installs were promised.
pub(super) fn promise(base: &Path, needed_bytes: u64) -> Result<Room, InstallError> {
    let mut promised = promised();
    loop {
        let free_bytes = free_bytes(base)?;
        if needed_bytes <= free_bytes.saturating_sub(*promised) {
            *promised += needed_bytes;
            return Ok(Room { bytes: needed_bytes });
        }
        if *promised == 0 {
            return Err(InstallError::Space { path: base.to_owned(), needed_bytes, free_bytes });
        }
        promised = LESS_PROMISED.wait(promised).unwrap_or_else(PoisonError::into_inner);
    }
}

/// Returns how many bytes an ordinary user may still write to the disk of a folder.
pub(super) fn free_bytes(path: &Path) -> Result<u64, InstallError> {
    let stat = rustix::fs::statvfs(path)
        .map_err(|errno| InstallError::AskSpace { path: path.to_owned(), source: errno.into() })?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

impl Drop for Room {
    fn drop(&mut self) {
        *promised() -= self.bytes;
        LESS_PROMISED.notify_all();
    }
}

fn promised() -> MutexGuard<'static, u64> {
    PROMISED.lock().unwrap_or_else(PoisonError::into_inner)
}
