//! Packing: a [`Tree`] becomes the bytes of an archive, the same on every machine.

mod header;
mod plan;

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};

use fs_err as fs;
use libdeflater::Compressor;
use rnx_spec::Digest;
use rnx_spec::artifact::{EntryKind, FileIndex, IndexEntry, Member, Mode, SourceDateEpoch};
use sha2::{Digest as _, Sha256};

use crate::member;
use crate::ordered::ordered;
use crate::pack::header::BLOCK;
use crate::pack::plan::{MemberPlan, Piece};
use crate::path::{LinkError, TreePath};
use crate::tree::{Entry, Tree};

/// More threads than these would only need more memory.
const THREADS_MAX: NonZeroUsize = NonZeroUsize::new(12).unwrap();

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The digest of the archive.
    pub sha256: Digest,
    /// The length of the archive.
    pub size_bytes: u64,
    /// The sum of the lengths of all files in it.
    pub unpacked_bytes: u64,
    pub entries: u64,
    pub index: FileIndex,
}

/// A tree that could not be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    #[error("`{path}` cannot be packed: the tree has no folder `{parent}`")]
    NoParent { path: TreePath, parent: TreePath },
    #[error("the symlink `{path}` cannot be packed")]
    Link { path: TreePath, source: LinkError },
    #[error("failed to read the content of `{path}`")]
    Read { path: TreePath, source: io::Error },
    #[error("`{}` changed while it was packed: it had {expected} bytes", content.display())]
    Changed { content: PathBuf, expected: u64 },
    #[error("failed to compress the member that starts with `{path}`")]
    Compress { path: String, source: libdeflater::CompressionError },
    #[error("failed to write the archive")]
    Write { source: io::Error },
}

/// Writes the archive of `tree` to `out`, compressing on `threads` threads.
///
/// The bytes depend on the tree, the contents it names and `epoch` alone. Holds at most some
/// mebibytes per thread besides the tree and the index.
pub fn pack(
    tree: &Tree,
    epoch: SourceDateEpoch,
    threads: NonZeroUsize,
    mut out: impl Write,
) -> Result<Packed, PackError> {
    let jobs = chain(plan::members(tree, epoch)?);
    let mut digest = Sha256::new();
    let mut unpacked_bytes = 0;
    let mut size_bytes = 0;
    let mut index = FileIndex { schema_version: 1, members: vec![], entries: vec![] };
    let mut current = 0;
    ordered(
        jobs,
        threads.min(THREADS_MAX),
        || (member::compressor(), vec![]),
        |(compressor, content), job| compress(compressor, content, job, epoch),
        |done| {
            out.write_all(&done.bytes).map_err(|source| PackError::Write { source })?;
            digest.update(&done.bytes);
            let length = done.bytes.len() as u64;
            index.members.push(Member { offset: size_bytes, size_bytes: length, ..done.member });
            size_bytes += length;
            for (piece, sha256) in done.pieces {
                // A file is listed with the member it starts in, its digest known where it ends.
                if piece.starts() {
                    current = u32::try_from(index.members.len() - 1).unwrap_or(u32::MAX);
                }
                if piece.ends() {
                    unpacked_bytes += piece.size_bytes();
                    index.entries.push(index_entry(&piece, sha256, current));
                }
            }
            Ok(())
        },
    )?;
    out.flush().map_err(|source| PackError::Write { source })?;
    let sha256 = Digest::from_bytes(digest.finalize().into());
    let entries = index.entries.len() as u64;
    Ok(Packed { sha256, size_bytes, unpacked_bytes, entries, index })
}

/// A member to make. The digest of a file in several members is computed by handing the state on
/// from one to the next; members are started in order, so what is waited for is on its way.
struct Job<'tree> {
    plan: MemberPlan<'tree>,
    earlier: Option<Receiver<Sha256>>,
    later: Option<Sender<Sha256>>,
}

struct Done<'tree> {
    bytes: Vec<u8>,
    member: Member,
    pieces: Vec<(Piece<'tree>, Digest)>,
}

fn chain(plans: Vec<MemberPlan<'_>>) -> Vec<Job<'_>> {
    let mut from_before = None;
    let mut jobs = vec![];
    for plan in plans {
        let goes_on = plan.pieces.last().is_some_and(|piece| !piece.ends());
        let (later, earlier) = goes_on.then(channel).unzip();
        jobs.push(Job { plan, earlier: std::mem::replace(&mut from_before, earlier), later });
    }
    jobs
}

fn compress<'tree>(
    compressor: &mut Compressor,
    content: &mut Vec<u8>,
    job: Job<'tree>,
    epoch: SourceDateEpoch,
) -> Result<Done<'tree>, PackError> {
    let Job { plan, earlier, later } = job;
    content.clear();
    let mut pieces = vec![];
    for piece in plan.pieces {
        if piece.starts() {
            content.extend_from_slice(&header::blocks(piece.path, piece.entry, epoch));
        }
        let from = content.len();
        append_content(&piece, content)?;
        // Nobody sends where the member before failed, and then nobody looks at this one.
        let before = earlier.as_ref().filter(|_| !piece.starts());
        let mut digest = before.and_then(|earlier| earlier.recv().ok()).unwrap_or_default();
        digest.update(&content[from..]);
        if let Some(later) = later.as_ref().filter(|_| !piece.ends()) {
            // The member after may have been given up.
            drop(later.send(digest.clone()));
        }
        content.resize(content.len().next_multiple_of(BLOCK), 0);
        pieces.push((piece, Digest::from_bytes(digest.finalize().into())));
    }
    if plan.last {
        content.resize(content.len() + 2 * BLOCK, 0);
    }
    let bytes = member::write(compressor, content).map_err(|source| PackError::Compress {
        path: pieces.first().map(|(piece, _)| piece.path.to_string()).unwrap_or_default(),
        source,
    })?;
    let member = Member {
        offset: 0,
        size_bytes: bytes.len() as u64,
        unpacked_bytes: content.len() as u64,
        sha256: Digest::from_bytes(Sha256::digest(&bytes).into()),
    };
    Ok(Done { bytes, member, pieces })
}

/// Appends the part of a file's content that a piece names, and makes sure that it has its length.
fn append_content(piece: &Piece<'_>, out: &mut Vec<u8>) -> Result<(), PackError> {
    let Entry::File { content, size_bytes, .. } = piece.entry else { return Ok(()) };
    let read_error = |source| PackError::Read { path: piece.path.clone(), source };
    let mut file = fs::File::open(content).map_err(read_error)?;
    if !piece.starts() {
        file.seek(SeekFrom::Start(piece.content.start)).map_err(read_error)?;
    }
    let expected = piece.content.end - piece.content.start;
    // One byte more at the end of the file shows that it has grown.
    let length = expected + u64::from(piece.ends());
    let read = (&mut file).take(length).read_to_end(out).map_err(read_error)?;
    if read as u64 == expected {
        Ok(())
    } else {
        Err(PackError::Changed { content: content.clone(), expected: *size_bytes })
    }
}

fn index_entry(piece: &Piece<'_>, sha256: Digest, member: u32) -> IndexEntry {
    let kind = match piece.entry {
        Entry::Dir => EntryKind::Dir,
        Entry::Symlink { target } => EntryKind::Symlink { target: target.clone() },
        Entry::File { size_bytes, executable, .. } => EntryKind::File {
            mode: if *executable { Mode::Executable } else { Mode::Plain },
            size_bytes: *size_bytes,
            sha256,
        },
    };
    IndexEntry { path: piece.path.to_string(), kind, member }
}
