//! Why an archive was refused, or could not be unpacked.

use std::io;
use std::path::PathBuf;

use rnx_spec::Digest;

use crate::member::MemberError;
use crate::path::{LinkError, PathError};

/// An archive that was not unpacked. `path` is an entry's name as it can be shown.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error("failed to open the archive")]
    Open { source: io::Error },
    #[error("failed to read the archive")]
    ReadArchive { source: io::Error },
    #[error("the archive has {actual} bytes, expected {expected}")]
    ArchiveSize { expected: u64, actual: u64 },
    #[error("the archive has the wrong content: expected {expected}, got {actual}")]
    ArchiveDigest { expected: Digest, actual: Digest },
    #[error("the archive has {actual} bytes, more than the promised {limit}")]
    ArchiveTooLarge { limit: u64, actual: u64 },
    #[error("failed to open the folder `{}`", path.display())]
    Dest { path: PathBuf, source: io::Error },
    #[error("the folder `{}` is not empty", path.display())]
    DestNotEmpty { path: PathBuf },
    #[error("failed to write `{path}`")]
    Write { path: String, source: io::Error },

    #[error("the archive is damaged at byte {offset}: gzip member {member} is refused")]
    Member { member: usize, offset: u64, source: MemberError },
    #[error("the archive is no gzip file, or is damaged")]
    Gzip { source: io::Error },
    #[error("something that is not gzip follows the end of the archive at byte {offset}")]
    TrailingBytes { offset: u64 },
    #[error("the archive ends before its end mark: it was cut off")]
    MissingEnd,
    #[error("the archive goes on after its end mark")]
    AfterEnd,
    #[error("the tar header at byte {offset} of the content is damaged")]
    Header { offset: u64 },

    #[error("the archive's index is refused: {reason}")]
    Index { reason: &'static str },
    #[error("failed to get gzip member {member} of the archive")]
    GetMember { member: usize, source: io::Error },
    #[error("gzip member {member} of the archive is not what the index says")]
    MemberDigest { member: usize },
    #[error("`{path}` is not what the archive's index says")]
    NotAsIndexed { path: String },

    #[error("an entry's name is refused: `{path}`")]
    Path { path: String, source: PathError },
    #[error("the symlink `{path}` is refused")]
    Link { path: String, source: LinkError },
    #[error("`{path}` is in the archive twice")]
    Duplicate { path: String },
    #[error("`{path}` would be written through `{parent}`, which is a symlink")]
    ThroughSymlink { path: String, parent: String },
    #[error("`{path}` would be written below `{parent}`, which is a file")]
    ThroughFile { path: String, parent: String },
    #[error("`{path}` is a hard link: an archive has files, folders and symlinks alone")]
    HardLink { path: String },
    #[error("`{path}` is a device")]
    Device { path: String },
    #[error("`{path}` is a FIFO")]
    Fifo { path: String },
    #[error("`{path}` is a sparse file")]
    Sparse { path: String },
    #[error("`{path}` has extended attributes (`{key}`)")]
    Attributes { path: String, key: String },
    #[error("`{path}` has the unknown entry type {kind:#04x}")]
    Kind { path: String, kind: u8 },
    #[error("`{path}` is setuid, setgid or sticky: its mode is {mode:04o}")]
    SpecialMode { path: String, mode: u32 },
    #[error("`{path}` is a folder or symlink with content")]
    ContentOfNoFile { path: String },
    #[error("the metadata at byte {offset} of the content has more than {limit} bytes")]
    MetadataTooLarge { offset: u64, limit: u64 },
    #[error("the metadata at byte {offset} of the content is malformed, repeated or of no entry")]
    Metadata { offset: u64 },
    #[error("the metadata at byte {offset} of the content has the unknown key `{key}`")]
    MetadataKey { offset: u64, key: String },
    #[error("the archive unpacks to more than the promised {limit} bytes")]
    TooManyBytes { limit: u64 },
    #[error("the archive has more than the promised {limit} entries")]
    TooManyEntries { limit: u64 },
}
