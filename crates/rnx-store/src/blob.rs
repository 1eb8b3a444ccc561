//! Files named by their digest. What stands under a digest has that digest.

mod download;
mod partial;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use rnx_spec::{Digest, SourceUrl};
use sha2::{Digest as _, Sha256};

use self::partial::Partial;
use crate::fetch::{Fetcher, OpenError};
use crate::guard::{LockError, StoreGuard};

const CHUNK_BYTES: usize = 256 * 1024;

/// A blob that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobRequest {
    pub url: SourceUrl,
    pub digest: Digest,
    pub size: SizeBound,
}

/// What is known about a blob's size beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeBound {
    Exactly(u64),
    AtMost(u64),
}

/// Bytes could not become a blob. No blob was added.
#[derive(Debug, thiserror::Error)]
pub enum AddBlobError {
    #[error("failed to open `{url}`")]
    Open { url: SourceUrl, source: OpenError },
    #[error("failed to read `{url}` after {got} bytes")]
    Read { url: SourceUrl, got: u64, source: io::Error },
    #[error("`{url}` has more than the expected {size_bytes_max} bytes")]
    TooLarge { url: SourceUrl, size_bytes_max: u64 },
    #[error("`{url}` has the wrong size: expected {expected} bytes, got {actual}")]
    SizeMismatch { url: SourceUrl, expected: u64, actual: u64 },
    #[error("`{url}` has the wrong content: expected {expected}, got {actual}")]
    DigestMismatch { url: SourceUrl, expected: Digest, actual: Digest },
    #[error("failed to write `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("failed to wait for another download of the same blob")]
    Lock(#[source] LockError),
}

/// Told how a download goes.
pub trait Watch {
    /// So many bytes are there.
    fn bytes(&mut self, bytes: u64);
    /// The download broke off, and goes on after a pause.
    fn pause(&mut self, why: &AddBlobError, pause: Duration);
}

/// Makes sure that the blob stands in `dir`, and returns its path. `progress` is called with the number of bytes that
/// are there; see [`add_watched`].
pub fn add(
    fetcher: &Fetcher,
    request: &BlobRequest,
    dir: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<PathBuf, AddBlobError> {
    add_watched(fetcher, request, dir, &mut Counted(progress))
}

/// Makes sure that the blob stands in `dir`, and returns its path.
///
/// A blob that is there is verified again rather than fetched. At most one process fetches a blob at a time, the others
/// wait for it. A download that breaks off is taken up where it stopped, now or by the next call.
pub fn add_watched(
    fetcher: &Fetcher,
    request: &BlobRequest,
    dir: &Path,
    watch: &mut dyn Watch,
) -> Result<PathBuf, AddBlobError> {
    let path = path(dir, request.digest);
    fs::create_dir_all(dir)
        .map_err(|source| AddBlobError::Write { path: dir.to_owned(), source })?;
    let lock = dir.join(format!("{}.lock", request.digest.hex()));
    let guard = StoreGuard::lock(&lock).map_err(AddBlobError::Lock)?;
    if !is_valid(&path, request)? {
        let downloaded = Partial::open(dir, request.digest)
            .and_then(|partial| fetch(fetcher, request, partial, &path, watch));
        if let Err(error) = downloaded {
            guard.delete().map_err(AddBlobError::Lock)?;
            return Err(error);
        }
    }
    guard.delete().map_err(AddBlobError::Lock)?;
    Ok(path)
}

fn fetch(
    fetcher: &Fetcher,
    request: &BlobRequest,
    mut partial: Partial,
    path: &Path,
    watch: &mut dyn Watch,
) -> Result<(), AddBlobError> {
    match download::download(fetcher, request, &mut partial, watch) {
        // What could not be flushed is not to be trusted later.
        Ok(()) => partial.commit(path).or_else(|error| partial.remove().and(Err(error))),
        // What broke off is worth keeping, what is wrong is not.
        Err(error @ (AddBlobError::Open { .. } | AddBlobError::Read { .. }))
            if partial.bytes() > 0 =>
        {
            Err(error)
        }
        Err(error) => partial.remove().and(Err(error)),
    }
}

/// Returns where a blob stands in `dir`, if it is there.
pub fn path(dir: &Path, digest: Digest) -> PathBuf {
    dir.join(digest.hex())
}

/// Whether the blob is in `dir`, or an earlier download of it can be gone on with.
pub fn is_begun(dir: &Path, digest: Digest) -> bool {
    path(dir, digest).exists() || partial::path(dir, digest).exists()
}

/// Returns the digest of the rest of `reader`.
pub fn digest(mut reader: impl Read) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(Digest::from_bytes(hasher.finalize().into())),
            Ok(read) => hasher.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether the blob is there and is what its name says; a damaged one counts as absent.
fn is_valid(path: &Path, request: &BlobRequest) -> Result<bool, AddBlobError> {
    let error = |source| AddBlobError::Write { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(absent) if absent.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(other) => return Err(error(other)),
    };
    let size_bytes = file.metadata().map_err(error)?.len();
    let size_fits = match request.size {
        SizeBound::Exactly(expected) => size_bytes == expected,
        SizeBound::AtMost(max) => size_bytes <= max,
    };
    Ok(size_fits && digest(file).map_err(error)? == request.digest)
}

struct Counted<'a>(&'a mut dyn FnMut(u64));

impl Watch for Counted<'_> {
    fn bytes(&mut self, bytes: u64) {
        (self.0)(bytes);
    }

    fn pause(&mut self, _why: &AddBlobError, _pause: Duration) {}
}
