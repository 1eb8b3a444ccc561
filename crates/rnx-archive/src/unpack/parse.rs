//! Reading tar from pieces of it in order; each piece becomes the operations that write it.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use rnx_spec::Digest;
use rnx_spec::artifact::{EntryKind, IndexEntry};
use sha2::Sha256;
use tar::{EntryType, Header};

use crate::path::TreePath;
use crate::unpack::Limits;
use crate::unpack::apply::{Chain, Dirs, EntryDigest, Next, Op, create};
use crate::unpack::entry::{self, Declared, Kind, METADATA_BYTES_MAX, Metadata};
use crate::unpack::error::UnpackError;

const BLOCK: usize = 512;
/// Tar programs fill their last record with zeros: ten kilobytes, and for tapes some more.
const PADDING_BYTES_MAX: u64 = 64 * 1024;

/// What is known of an archive after the pieces read so far.
pub(crate) struct Parser<'root> {
    dirs: Dirs<'root>,
    limits: Limits,
    /// What the next byte belongs to.
    state: State,
    /// The beginning of a block that the piece before ended in.
    partial: Vec<u8>,
    /// The bytes of tar read so far.
    offset: u64,
    metadata: Metadata,
    seen: BTreeMap<TreePath, usize>,
    /// Folders that were made for an entry below them; each may still come by itself.
    implied: BTreeSet<TreePath>,
    dir_times: Vec<(TreePath, i64)>,
    entries: Vec<IndexEntry>,
    unpacked_bytes: u64,
}

enum State {
    Header,
    Metadata { kind: EntryType, offset: u64, size: u64, data: Vec<u8> },
    Part(Part),
    Padding { left: u64 },
    End { zeros: u64 },
}

/// A file that goes on in the next piece.
struct Part {
    entry: usize,
    path: TreePath,
    file: Arc<OwnedFd>,
    mtime: i64,
    offset: u64,
    size: u64,
    earlier: Option<Receiver<Sha256>>,
}

/// Where a header starts.
#[derive(Clone, Copy)]
struct Place {
    offset: u64,
    member: u32,
}

/// What a whole archive held.
pub(crate) struct Parsed {
    pub(crate) entries: Vec<IndexEntry>,
    pub(crate) unpacked_bytes: u64,
}

impl<'root> Parser<'root> {
    pub(crate) fn new(root: BorrowedFd<'root>, limits: &Limits) -> Self {
        Self {
            dirs: Dirs::new(root),
            limits: *limits,
            state: State::Header,
            partial: vec![],
            offset: 0,
            metadata: Metadata::default(),
            seen: BTreeMap::new(),
            implied: BTreeSet::new(),
            dir_times: vec![],
            entries: vec![],
            unpacked_bytes: 0,
        }
    }

    /// Reads the next piece, which is in gzip member `member`. Makes its folders itself.
    pub(crate) fn feed<'chunk>(
        &mut self,
        mut chunk: &'chunk [u8],
        member: u32,
    ) -> Result<Vec<Op<'chunk>>, UnpackError> {
        let mut ops = vec![];
        while !chunk.is_empty() {
            let before = chunk.len();
            match std::mem::replace(&mut self.state, State::Header) {
                State::Header => {
                    let start = self.offset - self.partial.len() as u64;
                    if let Some(block) = self.take_block(&mut chunk) {
                        let place = Place { offset: start, member };
                        self.block(&block, place, &mut chunk, &mut ops)?;
                    }
                }
                State::Metadata { kind, offset, size, mut data } => {
                    data.extend_from_slice(take(&mut chunk, size - data.len() as u64));
                    if (data.len() as u64) < size {
                        self.state = State::Metadata { kind, offset, size, data };
                    } else {
                        self.metadata.add(kind, &data, offset)?;
                        self.pad(size);
                    }
                }
                State::Part(part) => ops.push(self.part(part, &mut chunk)),
                State::Padding { left } => {
                    let left = left - take(&mut chunk, left).len() as u64;
                    if left > 0 {
                        self.state = State::Padding { left };
                    }
                }
                State::End { zeros } => {
                    let rest = take(&mut chunk, u64::MAX);
                    let zeros = zeros + rest.len() as u64;
                    if zeros > PADDING_BYTES_MAX || rest.iter().any(|&byte| byte != 0) {
                        return Err(UnpackError::AfterEnd);
                    }
                    self.state = State::End { zeros };
                }
            }
            self.offset += (before - chunk.len()) as u64;
        }
        Ok(ops)
    }

    /// Ends the archive: the end mark must have been read. Sets the times of folders, once all
    /// operations are done, and puts the digests of files into the index.
    pub(crate) fn finish(mut self, digests: Vec<EntryDigest>) -> Result<Parsed, UnpackError> {
        if !self.is_ended() {
            return Err(UnpackError::MissingEnd);
        }
        for (path, mtime) in self.dir_times.iter().rev() {
            self.dirs.set_time(path, *mtime)?;
        }
        for (entry, digest) in digests {
            if let Some(EntryKind::File { sha256, .. }) =
                self.entries.get_mut(entry).map(|entry| &mut entry.kind)
            {
                *sha256 = digest;
            }
        }
        Ok(Parsed { entries: self.entries, unpacked_bytes: self.unpacked_bytes })
    }

    /// Says whether both zero blocks at the end have been read.
    pub(crate) fn is_ended(&self) -> bool {
        matches!(self.state, State::End { zeros } if zeros >= 2 * BLOCK as u64)
    }

    /// Takes a whole block, or keeps what there is of it.
    fn take_block(&mut self, chunk: &mut &[u8]) -> Option<[u8; BLOCK]> {
        let missing = (BLOCK - self.partial.len()) as u64;
        self.partial.extend_from_slice(take(chunk, missing));
        let block = self.partial.as_slice().try_into().ok()?;
        self.partial.clear();
        Some(block)
    }

    fn block<'chunk>(
        &mut self,
        block: &[u8; BLOCK],
        Place { offset, member }: Place,
        chunk: &mut &'chunk [u8],
        ops: &mut Vec<Op<'chunk>>,
    ) -> Result<(), UnpackError> {
        if block.iter().all(|&byte| byte == 0) {
            if !self.metadata.is_empty() {
                return Err(UnpackError::Metadata { offset });
            }
            self.state = State::End { zeros: BLOCK as u64 };
            return Ok(());
        }
        let header = Header::from_byte_slice(block);
        if !entry::has_valid_checksum(header) {
            return Err(UnpackError::Header { offset });
        }
        let kind = header.entry_type();
        if kind.is_gnu_longname() || kind.is_gnu_longlink() || kind.is_pax_local_extensions() {
            let size = header.entry_size().map_err(|_error| UnpackError::Header { offset })?;
            if size > METADATA_BYTES_MAX {
                return Err(UnpackError::MetadataTooLarge { offset, limit: METADATA_BYTES_MAX });
            }
            if size == 0 {
                return Err(UnpackError::Metadata { offset });
            }
            self.state = State::Metadata { kind, offset, size, data: vec![] };
            return Ok(());
        }
        let declared = entry::declared(header, std::mem::take(&mut self.metadata), offset)?;
        self.declare(declared, chunk, member, ops)
    }

    /// Checks an entry against those before it, and makes its operation.
    fn declare<'chunk>(
        &mut self,
        declared: Declared,
        chunk: &mut &'chunk [u8],
        member: u32,
        ops: &mut Vec<Op<'chunk>>,
    ) -> Result<(), UnpackError> {
        let Declared { path, kind, mtime } = declared;
        self.make_parents(&path, mtime, member)?;
        if matches!(kind, Kind::Dir) && self.implied.remove(&path) {
            self.dir_times.push((path, mtime));
            return Ok(());
        }
        let index_kind = match &kind {
            Kind::Dir => EntryKind::Dir,
            Kind::Symlink { target } => EntryKind::Symlink { target: target.clone() },
            Kind::File { mode, size_bytes } => {
                let sha256 = Digest::from_bytes([0; 32]);
                EntryKind::File { mode: *mode, size_bytes: *size_bytes, sha256 }
            }
        };
        let entry = self.add(&path, index_kind, member)?;
        match kind {
            Kind::Dir => {
                self.dirs.make(&path)?;
                self.dir_times.push((path, mtime));
            }
            Kind::Symlink { target } => ops.push(Op::Symlink { path, target, mtime }),
            Kind::File { mode, size_bytes } => {
                let total = self.unpacked_bytes.checked_add(size_bytes);
                let limit = self.limits.unpacked_bytes;
                let within = total.filter(|&total| total <= limit);
                self.unpacked_bytes = within.ok_or(UnpackError::TooManyBytes { limit })?;
                self.pad(size_bytes);
                if size_bytes <= chunk.len() as u64 {
                    let content = take(chunk, size_bytes);
                    ops.push(Op::File { entry, path, mode, mtime, content });
                } else {
                    let file = Arc::new(create(&mut self.dirs, &path, mode)?);
                    let (offset, size, earlier) = (0, size_bytes, None);
                    self.state =
                        State::Part(Part { entry, path, file, mtime, offset, size, earlier });
                }
            }
        }
        Ok(())
    }

    fn part<'chunk>(&mut self, mut part: Part, chunk: &mut &'chunk [u8]) -> Op<'chunk> {
        let content = take(chunk, part.size - part.offset);
        let offset = part.offset;
        part.offset += content.len() as u64;
        let earlier = part.earlier.take();
        let (path, file) = (part.path.clone(), Arc::clone(&part.file));
        let next = if part.offset == part.size {
            self.pad(part.size);
            Next::End { entry: part.entry, mtime: part.mtime }
        } else {
            let (later, earlier) = channel();
            part.earlier = Some(earlier);
            self.state = State::Part(part);
            Next::Part(later)
        };
        Op::Part { path, file, offset, content, chain: Chain { earlier, next } }
    }

    /// Makes sure that the folder of `path` exists and is a folder.
    fn make_parents(
        &mut self,
        path: &TreePath,
        mtime: i64,
        member: u32,
    ) -> Result<(), UnpackError> {
        let Some(parent) = path.parent() else { return Ok(()) };
        match self.seen.get(&parent).and_then(|&entry| self.entries.get(entry)) {
            Some(IndexEntry { kind: EntryKind::Dir, .. }) => Ok(()),
            Some(IndexEntry { kind: EntryKind::Symlink { .. }, .. }) => {
                Err(UnpackError::ThroughSymlink { path: path.to_string(), parent: parent.into() })
            }
            Some(IndexEntry { kind: EntryKind::File { .. }, .. }) => {
                Err(UnpackError::ThroughFile { path: path.to_string(), parent: parent.into() })
            }
            None => {
                self.make_parents(&parent, mtime, member)?;
                self.add(&parent, EntryKind::Dir, member)?;
                self.dirs.make(&parent)?;
                self.dir_times.push((parent.clone(), mtime));
                self.implied.insert(parent);
                Ok(())
            }
        }
    }

    fn add(&mut self, path: &TreePath, kind: EntryKind, member: u32) -> Result<usize, UnpackError> {
        let entry = self.entries.len();
        if entry as u64 >= self.limits.entries {
            return Err(UnpackError::TooManyEntries { limit: self.limits.entries });
        }
        if self.seen.insert(path.clone(), entry).is_some() {
            return Err(UnpackError::Duplicate { path: path.to_string() });
        }
        self.entries.push(IndexEntry { path: path.to_string(), kind, member });
        Ok(entry)
    }

    /// Skips what fills the last block of `size` bytes.
    fn pad(&mut self, size: u64) {
        let left = size.next_multiple_of(BLOCK as u64) - size;
        self.state = if left > 0 { State::Padding { left } } else { State::Header };
    }
}

/// Takes at most `length` bytes off the front.
fn take<'chunk>(chunk: &mut &'chunk [u8], length: u64) -> &'chunk [u8] {
    let length = usize::try_from(length).map_or(chunk.len(), |length| length.min(chunk.len()));
    let (taken, rest) = chunk.split_at(length);
    *chunk = rest;
    taken
}
