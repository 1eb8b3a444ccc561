//! Files named by their digest. What stands under a digest has that digest.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use fs_err as fs;
use rnx_spec::{Digest, SourceUrl};
use sha2::{Digest as _, Sha256};

use crate::fetch::{Fetcher, OpenError};
use crate::guard::{LockError, StoreGuard};

/// How often a download is taken up again where it broke off.
const RESUMES_MAX: u32 = 4;
const RESUME_PAUSE: Duration = Duration::from_millis(250);
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

/// Makes sure that the blob stands in `dir`, and returns its path.
///
/// A blob that is there is verified again rather than fetched. At most one process fetches a blob at a time, the others
/// wait for it. A download that breaks off is taken up where it stopped, now or by the next call. `progress` is called
/// with the number of bytes that are there.
pub fn add(
    fetcher: &Fetcher,
    request: &BlobRequest,
    dir: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<PathBuf, AddBlobError> {
    let path = path(dir, request.digest);
    fs::create_dir_all(dir)
        .map_err(|source| AddBlobError::Write { path: dir.to_owned(), source })?;
    let lock = dir.join(format!("{}.lock", request.digest.hex()));
    let guard = StoreGuard::lock(&lock).map_err(AddBlobError::Lock)?;
    if !is_valid(&path, request)? {
        let partial = dir.join(format!("{}.partial", request.digest.hex()));
        match download(fetcher, request, &partial, progress) {
            Ok(()) => commit(&partial, &path, dir)?,
            Err(error) => {
                // What broke off is worth keeping, what is wrong is not.
                let keep = matches!(error, AddBlobError::Open { .. } | AddBlobError::Read { .. })
                    && partial.metadata().is_ok_and(|metadata| metadata.len() > 0);
                if !keep {
                    remove_if_there(&partial)?;
                }
                guard.delete().map_err(AddBlobError::Lock)?;
                return Err(error);
            }
        }
    }
    guard.delete().map_err(AddBlobError::Lock)?;
    Ok(path)
}

/// Returns where a blob stands in `dir`, if it is there.
pub fn path(dir: &Path, digest: Digest) -> PathBuf {
    dir.join(digest.hex())
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

/// A download that has come this far.
struct Partial<'a> {
    path: &'a Path,
    file: File,
    hasher: Sha256,
    bytes: u64,
}

/// Fills `partial` until it holds the requested bytes.
fn download(
    fetcher: &Fetcher,
    request: &BlobRequest,
    path: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<(), AddBlobError> {
    let mut partial = Partial::open(path)?;
    let mut from_before = partial.bytes > 0;
    let mut resumes = 0;
    loop {
        let before = partial.bytes;
        let ended = transfer(fetcher, request, &mut partial, progress)
            .and_then(|()| check(request, &mut partial));
        match ended {
            Ok(()) => {
                return partial.file.sync_all().map_err(|source| partial.write_error(source));
            }
            // What an earlier call left may be the wrong part: once, start over.
            Err(
                AddBlobError::DigestMismatch { .. }
                | AddBlobError::SizeMismatch { .. }
                | AddBlobError::TooLarge { .. },
            ) if from_before => {
                from_before = false;
                partial.clear()?;
            }
            Err(error) if is_transient(&error) && resumes < RESUMES_MAX => {
                resumes = if partial.bytes > before { 1 } else { resumes + 1 };
                thread::sleep(RESUME_PAUSE * resumes);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Appends to `partial` what the server sends, until it says that this is all.
fn transfer(
    fetcher: &Fetcher,
    request: &BlobRequest,
    partial: &mut Partial<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<(), AddBlobError> {
    let url = &request.url;
    let (SizeBound::Exactly(size_bytes_max) | SizeBound::AtMost(size_bytes_max)) = request.size;
    let too_large = || AddBlobError::TooLarge { url: url.clone(), size_bytes_max };
    if partial.bytes > size_bytes_max {
        return Err(too_large());
    }
    if request.size == SizeBound::Exactly(partial.bytes) && partial.bytes > 0 {
        return Ok(());
    }
    let mut opened = fetcher
        .open(url, partial.bytes)
        .map_err(|source| AddBlobError::Open { url: url.clone(), source })?;
    if opened.offset == 0 && partial.bytes > 0 {
        partial.clear()?;
    }
    let end = opened.announced_bytes.map(|announced| opened.offset.saturating_add(announced));
    if end.is_some_and(|end| end > size_bytes_max) {
        return Err(too_large());
    }
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let got = partial.bytes;
        match opened.reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) if got + read as u64 > size_bytes_max => return Err(too_large()),
            Ok(read) => partial.append(&buffer[..read])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(AddBlobError::Read { url: url.clone(), got, source }),
        }
        progress(partial.bytes);
    }
    match end {
        Some(end) if partial.bytes < end => Err(AddBlobError::Read {
            url: url.clone(),
            got: partial.bytes,
            source: io::ErrorKind::UnexpectedEof.into(),
        }),
        _ => Ok(()),
    }
}

/// Compares first the size, then the digest.
fn check(request: &BlobRequest, partial: &mut Partial<'_>) -> Result<(), AddBlobError> {
    let url = || request.url.clone();
    if let SizeBound::Exactly(expected) = request.size
        && partial.bytes != expected
    {
        return Err(AddBlobError::SizeMismatch { url: url(), expected, actual: partial.bytes });
    }
    let actual = Digest::from_bytes(partial.hasher.clone().finalize().into());
    if actual == request.digest {
        return Ok(());
    }
    Err(AddBlobError::DigestMismatch { url: url(), expected: request.digest, actual })
}

fn is_transient(error: &AddBlobError) -> bool {
    match error {
        AddBlobError::Open { source, .. } => source.is_transient(),
        AddBlobError::Read { url, .. } => url.file_path().is_none(),
        _ => false,
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

/// Gives the verified bytes their name.
fn commit(partial: &Path, path: &Path, dir: &Path) -> Result<(), AddBlobError> {
    let error = |source| AddBlobError::Write { path: path.to_owned(), source };
    fs::rename(partial, path).map_err(error)?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(error)
}

fn remove_if_there(path: &Path) -> Result<(), AddBlobError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(AddBlobError::Write { path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

impl<'a> Partial<'a> {
    /// Opens what an earlier download left, or a new file.
    fn open(path: &'a Path) -> Result<Self, AddBlobError> {
        let error = |source| AddBlobError::Write { path: path.to_owned(), source };
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(error)?;
        let mut hasher = Sha256::new();
        let mut bytes = 0;
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let read = file.read(&mut buffer).map_err(error)?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
            bytes += read as u64;
        }
        Ok(Self { path, file, hasher, bytes })
    }

    fn append(&mut self, chunk: &[u8]) -> Result<(), AddBlobError> {
        self.file.write_all(chunk).map_err(|source| self.write_error(source))?;
        self.hasher.update(chunk);
        self.bytes += chunk.len() as u64;
        Ok(())
    }

    fn clear(&mut self) -> Result<(), AddBlobError> {
        self.file.set_len(0).map_err(|source| self.write_error(source))?;
        self.file.seek(SeekFrom::Start(0)).map_err(|source| self.write_error(source))?;
        self.hasher = Sha256::new();
        self.bytes = 0;
        Ok(())
    }

    fn write_error(&self, source: io::Error) -> AddBlobError {
        AddBlobError::Write { path: self.path.to_owned(), source }
    }
}
