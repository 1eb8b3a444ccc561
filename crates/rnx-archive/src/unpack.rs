//! Unpacking: an archive becomes a folder, or is refused as a whole with the reason.
//!
//! Nothing here trusts the archive. Names are checked before they reach the kernel, every folder
//! is opened from its parent's descriptor without following links, and files are created new.

pub(crate) mod apply;
mod archive;
mod entry;
mod error;
mod members;
mod parse;
mod stream;

use std::io::Read;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rnx_spec::Digest;
use rnx_spec::artifact::FileIndex;
use sha2::{Digest as _, Sha256};

pub use crate::member::MemberError;
pub use crate::unpack::archive::Archive;
pub use crate::unpack::error::UnpackError;
use crate::unpack::members::Span;

/// More threads than these would only need more memory.
const THREADS_MAX: NonZeroUsize = NonZeroUsize::new(12).unwrap();

/// What an archive was promised to hold at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The length of the archive itself.
    pub archive_bytes: u64,
    /// The sum of the lengths of all files.
    pub unpacked_bytes: u64,
    /// The number of files, folders and symlinks.
    pub entries: u64,
}

/// How an archive is unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    pub limits: Limits,
    pub threads: NonZeroUsize,
}

/// What was unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// The sum of the lengths of all files.
    pub unpacked_bytes: u64,
    pub entries: u64,
    /// Every entry with the digest of what was written.
    pub index: FileIndex,
}

/// Makes sure that `archive` has the promised length and digest, and only then unpacks it.
///
/// See [`unpack`] for what happens in `dest`.
pub fn verify_and_unpack(
    archive: &Archive,
    size_bytes: u64,
    sha256: Digest,
    dest: &Path,
    options: &Options,
) -> Result<Unpacked, UnpackError> {
    check_size(archive, size_bytes)?;
    // Nothing is known of the bytes yet. Where they are no members of ours, the digest still has
    // the first word, and `unpack` finds out again why.
    let spans = if options.threads > NonZeroUsize::MIN {
        members::spans(archive, size_bytes).ok().flatten()
    } else {
        None
    };
    let Some(mut spans) = spans else {
        verify(archive, size_bytes, sha256)?;
        return unpack(archive, dest, options);
    };
    check_digest(members::hash(archive, &mut spans)?, sha256)?;
    unpack_spans(archive, Some(spans), dest, options)
}

/// Compares the length and the digest of an opened archive.
pub fn verify(archive: &Archive, size_bytes: u64, sha256: Digest) -> Result<(), UnpackError> {
    let read_error = |source| UnpackError::ReadArchive { source };
    check_size(archive, size_bytes)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut left = archive.reader().take(size_bytes);
    loop {
        let read = left.read(&mut buffer).map_err(read_error)?;
        if read == 0 {
            break;
        }
        digest.update(&buffer[..read]);
    }
    check_digest(Digest::from_bytes(digest.finalize().into()), sha256)
}

fn check_size(archive: &Archive, expected: u64) -> Result<(), UnpackError> {
    let actual = archive.size_bytes()?;
    if actual == expected { Ok(()) } else { Err(UnpackError::ArchiveSize { expected, actual }) }
}

fn check_digest(actual: Digest, expected: Digest) -> Result<(), UnpackError> {
    if actual == expected { Ok(()) } else { Err(UnpackError::ArchiveDigest { expected, actual }) }
}

/// Unpacks an archive into the empty folder `dest`.
///
/// Folders get mode 0755, files 0644 or 0755 whatever the umask, and everything the archive's
/// times. Nothing is flushed to disk: that is the caller's, once for all files. After an error
/// `dest` holds a part of the tree, for the caller to remove; nothing outside it was touched.
pub fn unpack(archive: &Archive, dest: &Path, options: &Options) -> Result<Unpacked, UnpackError> {
    unpack_spans(archive, None, dest, options)
}

fn unpack_spans(
    archive: &Archive,
    spans: Option<Vec<Span>>,
    dest: &Path,
    options: &Options,
) -> Result<Unpacked, UnpackError> {
    let actual = archive.size_bytes()?;
    let limit = options.limits.archive_bytes;
    if actual > limit {
        return Err(UnpackError::ArchiveTooLarge { limit, actual });
    }
    let root = open_empty(dest)?;
    let root = root.as_fd();
    let threads = options.threads.min(THREADS_MAX);
    let spans = match spans {
        Some(spans) => Some(spans),
        None => members::spans(archive, actual)?,
    };
    match spans {
        Some(spans) => members::unpack(archive, &spans, root, &options.limits, threads),
        None => stream::unpack(archive, root, &options.limits),
    }
}

pub(crate) fn open_empty(dest: &Path) -> Result<OwnedFd, UnpackError> {
    let dest_error = |source| UnpackError::Dest { path: dest.to_owned(), source };
    let flags = apply::DIR_FLAGS;
    let root = rustix::fs::open(dest, flags, rustix::fs::Mode::empty())
        .map_err(|errno| dest_error(errno.into()))?;
    let mut names = rustix::fs::Dir::read_from(&root).map_err(|errno| dest_error(errno.into()))?;
    let is_entry = |name: &[u8]| name != b"." && name != b"..";
    let found = names.find(|name| {
        name.as_ref().is_ok_and(|name| is_entry(name.file_name().to_bytes())) || name.is_err()
    });
    match found {
        None => Ok(root),
        Some(Err(errno)) => Err(dest_error(errno.into())),
        Some(Ok(_)) => Err(UnpackError::DestNotEmpty { path: dest.to_owned() }),
    }
}
