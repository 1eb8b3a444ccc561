//! A download that has come this far: its bytes in a file, their digest, and which state of the source they are of.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use fs_err as fs;
use rnx_spec::Digest;
use sha2::{Digest as _, Sha256};

use super::{AddBlobError, CHUNK_BYTES};

/// An entity tag that is longer is not worth keeping.
const ETAG_BYTES_MAX: usize = 1024;

/// What an earlier download left, or a new file. The caller holds the blob's lock.
pub(super) struct Partial {
    path: PathBuf,
    /// Beside it: the source's name for the state that the bytes are of.
    etag_path: PathBuf,
    file: File,
    hasher: Sha256,
    bytes: u64,
    etag: Option<String>,
}

/// Returns where the bytes that have come so far are.
pub(super) fn path(dir: &Path, digest: Digest) -> PathBuf {
    dir.join(format!("{}.partial", digest.hex()))
}

impl Partial {
    pub(super) fn open(dir: &Path, digest: Digest) -> Result<Self, AddBlobError> {
        let path = path(dir, digest);
        let etag_path = dir.join(format!("{}.etag", digest.hex()));
        let error = |source| AddBlobError::Write { path: path.clone(), source };
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
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
        // One that cannot be read is asked for without: the digest tells in the end.
        let etag = fs::read_to_string(&etag_path)
            .ok()
            .filter(|etag| bytes > 0 && etag.len() <= ETAG_BYTES_MAX);
        Ok(Self { path, etag_path, file, hasher, bytes, etag })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn etag(&self) -> Option<&str> {
        self.etag.as_deref()
    }

    pub(super) fn digest(&self) -> Digest {
        Digest::from_bytes(self.hasher.clone().finalize().into())
    }

    pub(super) fn append(&mut self, chunk: &[u8]) -> Result<(), AddBlobError> {
        self.file.write_all(chunk).map_err(|source| self.write_error(source))?;
        self.hasher.update(chunk);
        self.bytes += chunk.len() as u64;
        Ok(())
    }

    /// Starts over, with bytes of the state `etag`.
    pub(super) fn restart(&mut self, etag: Option<String>) -> Result<(), AddBlobError> {
        if self.bytes > 0 {
            self.file.set_len(0).map_err(|source| self.write_error(source))?;
            self.file.seek(SeekFrom::Start(0)).map_err(|source| self.write_error(source))?;
            self.hasher = Sha256::new();
            self.bytes = 0;
        }
        if etag != self.etag {
            let written = match &etag {
                Some(etag) => fs::write(&self.etag_path, etag),
                None => remove_if_there(&self.etag_path),
            };
            written.map_err(|source| self.write_error(source))?;
            self.etag = etag;
        }
        Ok(())
    }

    /// Gives the bytes, which were verified, the name of a blob.
    pub(super) fn commit(&self, path: &Path) -> Result<(), AddBlobError> {
        self.file.sync_all().map_err(|source| self.write_error(source))?;
        let error = |source| AddBlobError::Write { path: path.to_owned(), source };
        fs::rename(&self.path, path).map_err(error)?;
        remove_if_there(&self.etag_path).map_err(error)?;
        let dir = path.parent().unwrap_or(path);
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(error)
    }

    pub(super) fn remove(&self) -> Result<(), AddBlobError> {
        remove_if_there(&self.path)
            .and_then(|()| remove_if_there(&self.etag_path))
            .map_err(|source| self.write_error(source))
    }

    fn write_error(&self, source: io::Error) -> AddBlobError {
        AddBlobError::Write { path: self.path.clone(), source }
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
