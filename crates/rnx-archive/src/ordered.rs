//! Work done on several threads, its results taken in order, with few of them waiting at a time.

use std::num::NonZeroUsize;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError, mpsc::Receiver};

/// Runs `work` over `jobs` on `threads` threads and hands the results to `sink` in the jobs' order.
///
/// Jobs are started in order too. At most two results per thread wait for the sink, whatever the
/// number of jobs. The first error in the jobs' order ends everything and is returned.
pub(crate) fn ordered<J: Send, R: Send, S, E: Send>(
    jobs: Vec<J>,
    threads: NonZeroUsize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, J) -> Result<R, E> + Sync,
    mut sink: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let count = jobs.len();
    let (tickets, taken) = sync_channel(threads.get() * 2);
    let queue = Mutex::new((jobs.into_iter(), tickets));
    std::thread::scope(|scope| {
        // Moved into the scope: when the sink fails, dropping it makes every worker stop.
        let taken: Receiver<Receiver<Result<R, E>>> = taken;
        for _ in 0..threads.get() {
            scope.spawn(|| {
                let mut state = state();
                while let Some((job, result)) = claim(&queue) {
                    if result.send(work(&mut state, job)).is_err() {
                        break;
                    }
                }
            });
        }
        for _ in 0..count {
            // A worker that panicked sends nothing; the scope passes its panic on.
            let Ok(result) = taken.recv().and_then(|ticket| ticket.recv()) else { break };
            sink(result?)?;
        }
        Ok(())
    })
}

type Queue<J, T> = Mutex<(std::vec::IntoIter<J>, SyncSender<Receiver<T>>)>;

/// Takes the next job and, while no other thread can, its place in the order of results.
fn claim<J, T>(queue: &Queue<J, T>) -> Option<(J, SyncSender<T>)> {
    let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    let job = queue.0.next()?;
    let (sender, receiver) = sync_channel(1);
    queue.1.send(receiver).ok()?;
    Some((job, sender))
}
