//! Advisory locks between processes. The kernel frees them when their holder dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use fs_err as fs;

/// An exclusive lock on a file, held until it is dropped.
#[derive(Debug)]
pub struct StoreGuard {
    path: PathBuf,
    /// The open file carries the lock.
    _file: File,
}

/// A lock that could not be taken.
#[derive(Debug, thiserror::Error)]
#[error("failed to lock `{}`", path.display())]
pub struct LockError {
    pub path: PathBuf,
    pub source: io::Error,
}

impl StoreGuard {
    /// Waits until no other process holds the lock at `path`, and takes it.
    pub fn lock(path: &Path) -> Result<Self, LockError> {
        loop {
            if let Some(guard) = Self::take(path, File::lock)? {
                return Ok(guard);
            }
        }
    }

    /// Takes the lock at `path`, or returns `None` if another holds it.
    pub fn try_lock(path: &Path) -> Result<Option<Self>, LockError> {
        loop {
            let mut held = false;
            let guard = Self::take(path, |file| match file.try_lock() {
                Err(TryLockError::WouldBlock) => {
                    held = true;
                    Ok(())
                }
                Err(TryLockError::Error(error)) => Err(error),
                Ok(()) => Ok(()),
            })?;
            if held {
                return Ok(None);
            }
            if guard.is_some() {
                return Ok(guard);
            }
        }
    }

    /// Deletes the lock file and gives the lock up. Whoever waits for it makes a new one.
    pub fn delete(self) -> Result<(), LockError> {
        fs::remove_file(&self.path).map_err(|source| LockError { path: self.path.clone(), source })
    }

    /// Returns `None` if the file at `path` was deleted or replaced before its lock was ours.
    fn take(
        path: &Path,
        lock: impl FnOnce(&File) -> io::Result<()>,
    ) -> Result<Option<Self>, LockError> {
        let error = |source| LockError { path: path.to_owned(), source };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o644)
            .open(path)
            .map_err(error)?;
        lock(&file).map_err(error)?;
        let ours = file.metadata().map_err(error)?;
        let same = match std::fs::metadata(path) {
            Ok(there) => (there.dev(), there.ino()) == (ours.dev(), ours.ino()),
            Err(absent) if absent.kind() == io::ErrorKind::NotFound => false,
            Err(other) => return Err(error(other)),
        };
        Ok(same.then(|| Self { path: path.to_owned(), _file: file }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_has_one_holder_even_across_deletion() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = StoreGuard::lock(&path).unwrap();
        assert!(StoreGuard::try_lock(&path).unwrap().is_none());
        let waiting = std::thread::scope(|scope| {
            let waiter = scope.spawn(|| StoreGuard::lock(&path).unwrap());
            first.delete().unwrap();
            waiter.join().unwrap()
        });
        assert!(path.exists());
        assert!(StoreGuard::try_lock(&path).unwrap().is_none());
        waiting.delete().unwrap();
        assert!(!path.exists());
    }
}
