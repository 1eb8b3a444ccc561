//! Copies of registries, so that a server is asked once an hour and work goes on without it.
//!
//! A copy is one file: a line that describes it, the index, and the document as it came. It is replaced by a rename, so
//! whoever has it open reads one state of it, and its time of change is when its server last said that it holds.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use fs_err as fs;
use rnx_spec::registry::Index;
use rnx_spec::{Digest, SourceUrl};
use rnx_store::blob;
use rnx_store::guard::{LockError, StoreGuard};
use serde::{Deserialize, Serialize};

const SCHEMA_VERSION: u32 = 1;
/// The longest first line.
const HEADER_BYTES_MAX: u64 = 16 * 1024;

/// A copy that is open.
#[derive(Debug)]
pub(super) struct Copy {
    file: File,
    document: Range<u64>,
    pub(super) index: Index,
    pub(super) etag: Option<String>,
    /// When the server last said that this is its document.
    pub(super) valid_at: SystemTime,
}

/// The first line of a copy.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    schema_version: u32,
    url: SourceUrl,
    etag: Option<String>,
    index_bytes: u64,
    document_bytes: u64,
}

/// A copy could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    #[error("failed to make the folder `{}`", path.display())]
    MakeFolder { path: PathBuf, source: io::Error },
    #[error("failed to wait for another process that reads the same registry")]
    Lock(#[source] LockError),
    #[error("failed to write `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Returns the file of a registry's copy.
pub fn path(dir: &Path, url: &SourceUrl) -> PathBuf {
    dir.join(format!("{}.registry", name(url)))
}

/// Returns when the server last confirmed the copy of a registry, and how many runtimes it has; `None` without a copy.
pub fn kept(dir: &Path, url: &SourceUrl) -> Option<(SystemTime, usize)> {
    open(dir, url).map(|copy| (copy.valid_at, copy.index.runtimes.len()))
}

/// Makes sure that one process at a time asks for a registry.
pub(super) fn lock(dir: &Path, url: &SourceUrl) -> Result<StoreGuard, CacheError> {
    if !dir.is_dir() {
        // What a private registry says is its owner's alone.
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|source| CacheError::MakeFolder { path: dir.to_owned(), source })?;
    }
    StoreGuard::lock(&dir.join(format!("{}.lock", name(url)))).map_err(CacheError::Lock)
}

/// Opens the copy of a registry. One that is damaged, or that another version of this program wrote, is none.
pub(super) fn open(dir: &Path, url: &SourceUrl) -> Option<Copy> {
    let file = File::open(path(dir, url)).ok()?;
    let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let mut reader = BufReader::new(&file);
    let mut line = String::new();
    (&mut reader).take(HEADER_BYTES_MAX).read_line(&mut line).ok()?;
    let header: Header = serde_json::from_str(&line).ok()?;
    let head_bytes = u64::try_from(line.len()).ok()?.checked_add(header.index_bytes)?;
    let document = head_bytes..head_bytes.checked_add(header.document_bytes)?;
    let ours = header.schema_version == SCHEMA_VERSION && header.url == *url;
    if !ours || metadata.len() != document.end {
        return None;
    }
    let mut index = String::new();
    reader.take(header.index_bytes).read_to_string(&mut index).ok()?;
    let index = Index::parse(&index).ok()?;
    let valid_at = metadata.modified().ok()?;
    Some(Copy { file, document, index, etag: header.etag, valid_at })
}

/// Keeps a document. The caller holds the lock.
pub(super) fn write(
    dir: &Path,
    url: &SourceUrl,
    etag: Option<&str>,
    index: &Index,
    document: &[u8],
) -> Result<(), CacheError> {
    let path = path(dir, url);
    let error = |source| CacheError::Write { path: path.clone(), source };
    let text = index.write();
    let header = Header {
        schema_version: SCHEMA_VERSION,
        url: url.clone(),
        etag: etag.map(str::to_owned),
        index_bytes: text.len() as u64,
        document_bytes: document.len() as u64,
    };
    let mut head = serde_json::to_vec(&header).map_err(|source| error(source.into()))?;
    head.push(b'\n');
    // One name for all attempts: what a crash leaves is written over.
    let new = path.with_extension("new");
    let write = || {
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&new)?;
        for part in [&head, text.as_bytes(), document] {
            file.write_all(part)?;
        }
        fs::rename(&new, &path)
    };
    write().map_err(error)
}

/// Notes that the server still has the document of a copy.
pub(super) fn confirm(copy: &mut Copy, now: SystemTime) -> io::Result<()> {
    copy.valid_at = now;
    copy.file.set_modified(now)
}

impl Copy {
    /// Returns a part of the document.
    pub(super) fn read(&self, range: &Range<u64>) -> io::Result<Vec<u8>> {
        let length = range.end.checked_sub(range.start);
        let start = self.document.start.checked_add(range.start);
        let inside = range.end <= self.document.end - self.document.start;
        let (Some(length), Some(start), true) = (length, start, inside) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let length = usize::try_from(length).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start)?;
        Ok(bytes)
    }
}

fn name(url: &SourceUrl) -> String {
    // Reading from memory cannot fail.
    let digest = blob::digest(url.as_str().as_bytes());
    digest.map_or_else(|_impossible| "registry".to_owned(), |digest: Digest| digest.hex())
}
