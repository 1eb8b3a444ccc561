//! Reading our own archives: independent members, inflated and written on several threads.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{channel, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rnx_spec::Digest;
use rnx_spec::artifact::{FileIndex, Member};
use sha2::{Digest as _, Sha256};

use crate::inflate::Inflater;
use crate::member::{self, HEADER_BYTES, MEMBER_BYTES_MAX, MemberError};
use crate::unpack::apply::{Dirs, EntryDigest, apply};
use crate::unpack::error::UnpackError;
use crate::unpack::parse::Parser;
use crate::unpack::{Archive, Limits, Unpacked};

/// Where a member lies in the archive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    offset: u64,
    length: u32,
    /// The digest of its bytes, where [`hash`] has computed it.
    sha256: Option<Digest>,
}

impl Span {
    fn read(&self, archive: &Archive, packed: &mut Vec<u8>) -> Result<(), UnpackError> {
        packed.resize(self.length as usize, 0);
        archive
            .read_exact_at(packed, self.offset)
            .map_err(|source| UnpackError::ReadArchive { source })
    }
}

/// Follows the lengths in the members' headers; they must lead exactly to the archive's end.
/// Returns nothing if the first member is not one of ours.
pub(crate) fn spans(archive: &Archive, size_bytes: u64) -> Result<Option<Vec<Span>>, UnpackError> {
    let mut spans = vec![];
    let mut offset = 0;
    while offset < size_bytes {
        let member = spans.len();
        let refused = |source| UnpackError::Member { member, offset, source };
        let left = size_bytes - offset;
        let mut header = [0; HEADER_BYTES];
        let claimed = if left < HEADER_BYTES as u64 {
            None
        } else {
            archive
                .read_exact_at(&mut header, offset)
                .map_err(|source| UnpackError::ReadArchive { source })?;
            member::length(&header)
        };
        match claimed {
            None if spans.is_empty() => return Ok(None),
            None if header.starts_with(&[0x1f, 0x8b]) => return Err(refused(MemberError::Header)),
            None => return Err(UnpackError::TrailingBytes { offset }),
            Some(length) if length > MEMBER_BYTES_MAX => {
                return Err(refused(MemberError::TooLarge));
            }
            Some(length) if (length as usize) < HEADER_BYTES || u64::from(length) > left => {
                return Err(refused(MemberError::Length { claimed: length, left }));
            }
            Some(length) => {
                spans.push(Span { offset, length, sha256: None });
                offset += u64::from(length);
            }
        }
    }
    Ok((!spans.is_empty()).then_some(spans))
}

/// Computes the digest of the whole archive and, from the same bytes, those of its members: on a
/// second thread, which has nothing else to do before the archive is known to be the right one.
pub(crate) fn hash(archive: &Archive, spans: &mut [Span]) -> Result<Digest, UnpackError> {
    let mut whole = Sha256::new();
    let members = std::thread::scope(|scope| {
        // Few wait, as a member may have some mebibytes; the buffers go back and forth.
        let (read, taken) = sync_channel::<Vec<u8>>(2);
        let (used, free) = channel();
        let members = scope.spawn(move || {
            let mut digests = vec![];
            for packed in taken {
                digests.push(Digest::from_bytes(Sha256::digest(&packed).into()));
                // The reader is done when nobody takes it back.
                drop(used.send(packed));
            }
            digests
        });
        for span in &*spans {
            let mut packed = free.try_recv().unwrap_or_default();
            span.read(archive, &mut packed)?;
            whole.update(&packed);
            // A thread that panicked takes nothing; its panic is passed on below.
            if read.send(packed).is_err() {
                break;
            }
        }
        drop(read);
        Ok(members.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    for (span, digest) in spans.iter_mut().zip(members) {
        span.sha256 = Some(digest);
    }
    Ok(Digest::from_bytes(whole.finalize().into()))
}

/// Unpacks the members: each thread inflates one, waits until all before it were parsed, parses it,
/// and then writes its files while the next is parsed.
pub(crate) fn unpack(
    archive: &Archive,
    spans: &[Span],
    root: BorrowedFd<'_>,
    limits: &Limits,
    threads: NonZeroUsize,
) -> Result<Unpacked, UnpackError> {
    let work = Work {
        archive,
        spans,
        root,
        claimed: AtomicUsize::new(0),
        turn: Mutex::new(Turn { parser: Parser::new(root, limits), next: 0, failed: None }),
        turned: Condvar::new(),
    };
    let mut done = Done::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..threads.get().min(spans.len())).map(|_| scope.spawn(|| work.run())).collect();
        for worker in workers {
            match worker.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    let turn = work.turn.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, error)) = turn.failed {
        return Err(error);
    }
    done.members.sort_unstable_by_key(|member| member.offset);
    let parsed = turn.parser.finish(done.digests)?;
    Ok(Unpacked {
        unpacked_bytes: parsed.unpacked_bytes,
        entries: parsed.entries.len() as u64,
        index: FileIndex { schema_version: 1, members: done.members, entries: parsed.entries },
    })
}

struct Work<'a> {
    archive: &'a Archive,
    spans: &'a [Span],
    root: BorrowedFd<'a>,
    claimed: AtomicUsize,
    turn: Mutex<Turn<'a>>,
    turned: Condvar,
}

/// What one thread holds at a time: the next member to parse, or the error that ended it all.
struct Turn<'a> {
    parser: Parser<'a>,
    next: usize,
    /// The first member that failed, by place and not by time: the same error on every run.
    failed: Option<(usize, UnpackError)>,
}

impl Turn<'_> {
    fn has_failed_before(&self, member: usize) -> bool {
        self.failed.as_ref().is_some_and(|(failed, _)| *failed < member)
    }
}

#[derive(Default)]
struct Done {
    digests: Vec<EntryDigest>,
    members: Vec<Member>,
}

impl Done {
    fn extend(&mut self, more: Self) {
        self.digests.extend(more.digests);
        self.members.extend(more.members);
    }
}

/// What a thread keeps from one member to the next.
struct Scratch<'a> {
    inflater: Inflater,
    packed: Vec<u8>,
    content: Vec<u8>,
    dirs: Dirs<'a>,
    done: Done,
}

impl<'a> Work<'a> {
    fn run(&self) -> Done {
        let Some(inflater) = Inflater::new() else {
            self.fail(0, UnpackError::ReadArchive { source: io::ErrorKind::OutOfMemory.into() });
            return Done::default();
        };
        let mut scratch = Scratch {
            inflater,
            packed: vec![],
            content: vec![],
            dirs: Dirs::new(self.root),
            done: Done::default(),
        };
        loop {
            let member = self.claimed.fetch_add(1, Ordering::Relaxed);
            let Some(span) = self.spans.get(member) else { break };
            if self.lock().has_failed_before(member) {
                break;
            }
            if let Err(error) = self.member(member, *span, &mut scratch) {
                self.fail(member, error);
                break;
            }
        }
        scratch.done
    }

    fn member(
        &self,
        member: usize,
        span: Span,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), UnpackError> {
        let Scratch { inflater, packed, content, dirs, done } = scratch;
        span.read(self.archive, packed)?;
        member::read(inflater, packed, content).map_err(|source| UnpackError::Member {
            member,
            offset: span.offset,
            source,
        })?;
        done.members.push(Member {
            offset: span.offset,
            size_bytes: u64::from(span.length),
            unpacked_bytes: content.len() as u64,
            sha256: span
                .sha256
                .unwrap_or_else(|| Digest::from_bytes(Sha256::digest(&*packed).into())),
        });
        let Some(mut turn) = self.wait_for(member) else { return Ok(()) };
        let ops = turn.parser.feed(content, u32::try_from(member).unwrap_or(u32::MAX))?;
        turn.next = member + 1;
        drop(turn);
        self.turned.notify_all();
        for op in ops {
            done.digests.extend(apply(dirs, op)?);
        }
        Ok(())
    }

    /// Waits until all members before this one were parsed; returns nothing if one failed.
    fn wait_for(&self, member: usize) -> Option<MutexGuard<'_, Turn<'a>>> {
        let mut turn = self.lock();
        while turn.next != member {
            if turn.has_failed_before(member) {
                return None;
            }
            turn = self.turned.wait(turn).unwrap_or_else(PoisonError::into_inner);
        }
        (!turn.has_failed_before(member)).then_some(turn)
    }

    fn fail(&self, member: usize, error: UnpackError) {
        let mut turn = self.lock();
        if turn.failed.as_ref().is_none_or(|(failed, _)| *failed > member) {
            turn.failed = Some((member, error));
        }
        self.turned.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Turn<'a>> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
