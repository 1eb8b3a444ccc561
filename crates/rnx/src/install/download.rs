//! Downloading an archive: its pieces side by side, each of them taken up again where it stopped.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rnx_store::blob::{self, AddBlobError, Watch};
use rnx_store::fetch::Fetcher;
use rnx_store::layout::Layout;

use super::{InstallError, InstallPlan, Progress};

/// More connections to one server than these are no faster, and not polite.
const CONNECTIONS_MAX: usize = 4;

/// What the threads of one download share.
struct Shared<'a> {
    progress: &'a mut dyn Progress,
    /// The bytes that are there of each piece.
    bytes: Vec<u64>,
}

/// One piece's way to the progress of all.
struct Piece<'a, 'p> {
    shared: &'a Mutex<Shared<'p>>,
    at: usize,
}

/// Downloads all pieces, and returns where they are, in order.
pub(super) fn download(
    layout: &Layout,
    fetcher: &Fetcher,
    plan: &InstallPlan,
    progress: &mut dyn Progress,
) -> Result<Vec<PathBuf>, InstallError> {
    let pieces = &plan.resolved.pieces;
    let shared = Mutex::new(Shared { progress, bytes: vec![0; pieces.len()] });
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        let mut added = Vec::new();
        while !failed.load(Ordering::Relaxed)
            && let at = next.fetch_add(1, Ordering::Relaxed)
            && let Some(piece) = pieces.get(at)
        {
            let mut watch = Piece { shared: &shared, at };
            let blob = blob::add_watched(fetcher, piece, &layout.store(), &mut watch);
            failed.fetch_or(blob.is_err(), Ordering::Relaxed);
            added.push((at, blob));
        }
        added
    };
    let mut added: Vec<(usize, Result<PathBuf, AddBlobError>)> = thread::scope(|scope| {
        let workers: Vec<_> =
            (0..pieces.len().min(CONNECTIONS_MAX)).map(|_| scope.spawn(work)).collect();
        let joined = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        joined.flatten().collect()
    });
    added.sort_by_key(|(at, _)| *at);
    let spec = &plan.resolved.spec;
    added
        .into_iter()
        .map(|(_, blob)| {
            blob.map_err(|source| InstallError::Download {
                spec: spec.clone(),
                source: source.into(),
            })
        })
        .collect()
}

impl Watch for Piece<'_, '_> {
    fn bytes(&mut self, bytes: u64) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.bytes[self.at] = bytes;
        let sum = shared.bytes.iter().sum();
        shared.progress.downloaded(sum);
    }

    fn pause(&mut self, why: &AddBlobError, pause: Duration) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.progress.paused(why, pause);
    }
}
