//! How much disk a build takes, looked at while its script runs.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use walkdir::WalkDir;

/// A tree is looked at no more often than this.
const PAUSE_MIN: Duration = Duration::from_millis(200);

/// Looking may take one part in so many of a processor's time.
const PAUSE_FACTOR: u32 = 20;

/// A folder, and how much may be in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskLimit {
    pub folder: PathBuf,
    pub bytes_max: u64,
}

/// Runs `work` while the folder is looked at; `work` gets the number of bytes in it as last seen.
pub(super) fn watched<T>(limit: &DiskLimit, work: impl FnOnce(&AtomicU64) -> T) -> T {
    let (used, done) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let started = Instant::now();
                used.store(usage_bytes(&limit.folder), Ordering::Relaxed);
                thread::park_timeout(PAUSE_MIN.max(started.elapsed() * PAUSE_FACTOR));
            }
        });
        let result = work(&used);
        done.store(true, Ordering::Relaxed);
        watcher.thread().unpark();
        result
    })
}

/// Returns how many bytes of disk a tree takes. What comes, goes, or is closed to the caller while it is read does not count.
fn usage_bytes(folder: &Path) -> u64 {
    WalkDir::new(folder)
        .into_iter()
        .filter_map(Result::ok)
        .filter_map(|entry| entry.metadata().ok())
        .map(|meta| meta.blocks() * 512)
        .sum()
}
