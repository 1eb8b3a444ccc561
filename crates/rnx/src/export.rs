//! An install as one file for hosts without a network, and such a file as something to install.
//!
//! The file is the archive that the install came from: packing is deterministic, so that it has the published digest
//! again. Whatever else is an archive of a runtime can be imported as well, such as one that a browser has downloaded.

use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;

use fs_err as fs;
use rnx_archive::{PackError, ScanError, Tree, pack};
use rnx_spec::artifact::{SourceDateEpoch, archive_file, part_file, whole_of};
use rnx_spec::{Digest, Platform, RuntimeSpec, SourceUrl};
use rnx_store::blob::{self, BlobRequest, SizeBound};
use rnx_store::layout::{Layout, folder_spec};

use crate::in_use::{self, HoldError};
use crate::install::plan::UNPACKED_BYTES_UNKNOWN;
use crate::record::{self, RecordError};
use crate::resolve::{RegistryLocation, Resolved};
use crate::shown::entries;
use crate::verify::{self, VerifyError};

/// The most entries of an archive that nobody has promised a number for.
const ENTRIES_MAX: u64 = 4_000_000;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    pub file: PathBuf,
    pub digest: Digest,
    pub size_bytes: u64,
    /// Whether it is the very archive that was installed.
    pub is_published: bool,
}

/// An install that could not be exported. There is no file.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Hold(HoldError),
    #[error(transparent)]
    Record(RecordError),
    #[error(transparent)]
    Verify(VerifyError),
    #[error("`{spec}` differs from what was unpacked in {}", entries(*count))]
    Damaged { spec: RuntimeSpec, count: usize },
    #[error("failed to read `{spec}`")]
    Scan { spec: RuntimeSpec, source: Box<ScanError> },
    #[error("failed to pack `{spec}`")]
    Pack { spec: RuntimeSpec, source: Box<PackError> },
    #[error("failed to write `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// A file that is no archive of a runtime, as far as its name and size tell.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("failed to read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("failed to find the parts of `{}`", path.display())]
    Look { path: PathBuf, source: io::Error },
    #[error("the archive `{}` has no part `{missing}`, though a later one is there", path.display())]
    Part { path: PathBuf, missing: String },
    #[error("the name of `{}` does not say what it is: NAME-VERSION-PLATFORM.tar.gz is expected", path.display())]
    Name { path: PathBuf },
    #[error("`{}` has the wrong content: expected {expected}, got {actual}", path.display())]
    Digest { path: PathBuf, expected: Digest, actual: Digest },
}

/// Returns the name that the file of an install has.
pub fn file_name(layout: &Layout, spec: &RuntimeSpec) -> Result<String, RecordError> {
    record::read(layout, spec).map(|record| archive_file(spec, record.platform))
}

/// Writes an install to the new file `out`, after it was verified.
pub fn export(layout: &Layout, spec: &RuntimeSpec, out: &Path) -> Result<Exported, ExportError> {
    let root = layout.install(spec);
    let held = in_use::hold(&root).map_err(ExportError::Hold)?;
    let record = record::read(layout, spec).map_err(ExportError::Record)?;
    let count = verify::verify(layout, spec).map_err(ExportError::Verify)?.len();
    if count > 0 {
        return Err(ExportError::Damaged { spec: spec.clone(), count });
    }
    let tree = Tree::scan(&root)
        .map_err(|source| ExportError::Scan { spec: spec.clone(), source: source.into() })?;
    let error = |source| ExportError::Write { path: out.to_owned(), source };
    // No two versions share this file, and so its time is the archive's.
    let time = fs::metadata(root.join("runtime.yml")).map_err(error)?.mtime();
    let epoch = SourceDateEpoch(u64::try_from(time).unwrap_or(0));
    let folder = match out.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(error)?;
    let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let packed = pack(&tree, epoch, threads, io::BufWriter::new(file.as_file_mut()))
        .map_err(|source| ExportError::Pack { spec: spec.clone(), source: source.into() })?;
    drop(held);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(mode).and_then(|()| file.as_file().sync_all()).map_err(error)?;
    file.persist_noclobber(out).map_err(|failed| error(failed.error))?;
    Ok(Exported {
        file: out.to_owned(),
        digest: packed.sha256,
        size_bytes: packed.size_bytes,
        is_published: packed.sha256 == record.archive,
    })
}

/// Returns the archive that a file is, or is a part of: a part stands for all of them.
pub fn archive_of(file: &Path) -> PathBuf {
    let whole = file.file_name().and_then(|name| whole_of(name.to_str()?));
    whole.map_or_else(|| file.to_owned(), |whole| file.with_file_name(whole))
}

/// Whether a file's name is that of a runtime's archive, rather than of a registry.
pub fn is_archive(file: &Path) -> bool {
    file.file_name().and_then(|name| of_name(name.to_str()?)).is_some()
}

/// Returns how the archive `file`, an absolute path, is installed: from that file, or from its parts beside it.
pub fn import(file: &Path, expected: Option<Digest>) -> Result<Resolved, ImportError> {
    let named = || ImportError::Name { path: file.to_owned() };
    let (spec, platform) =
        file.file_name().and_then(|name| of_name(name.to_str()?)).ok_or_else(named)?;
    let files = files_of(file)?;
    let (mut pieces, mut size_bytes) = (Vec::new(), 0);
    for path in &files {
        let read = |source| ImportError::Read { path: path.clone(), source };
        let opened = fs::File::open(path).map_err(read)?;
        let bytes = opened.metadata().map_err(read)?.len();
        size_bytes += bytes;
        pieces.push(BlobRequest {
            url: SourceUrl::from_path(path).ok_or_else(named)?,
            digest: blob::digest(opened).map_err(read)?,
            size: SizeBound::Exactly(bytes),
        });
    }
    let digest = match pieces.as_slice() {
        [whole] => whole.digest,
        _ => digest_of(&files)?,
    };
    if let Some(expected) = expected.filter(|expected| *expected != digest) {
        return Err(ImportError::Digest { path: file.to_owned(), expected, actual: digest });
    }
    let document = pieces.first().map(|piece| piece.url.clone()).ok_or_else(named)?;
    Ok(Resolved {
        spec,
        platform,
        registry: RegistryLocation::of_file(document),
        pieces,
        index: None,
        digest,
        size_bytes,
        unpacked_bytes: UNPACKED_BYTES_UNKNOWN,
        entries: ENTRIES_MAX,
        yank: None,
    })
}

/// Returns the file itself, or its parts in order where it is not there.
fn files_of(file: &Path) -> Result<Vec<PathBuf>, ImportError> {
    let look = |source| ImportError::Look { path: file.to_owned(), source };
    // No part is named after a name that is no text: the file itself is asked for.
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if file.exists() {
        return Ok(vec![file.to_owned()]);
    }
    let mut there = Vec::new();
    for entry in fs::read_dir(file.parent().unwrap_or(Path::new("/"))).map_err(look)? {
        let found = entry.map_err(look)?.file_name();
        there.extend(
            found.to_str().filter(|found| whole_of(found) == Some(name)).map(str::to_owned),
        );
    }
    if there.is_empty() {
        // What there is to say is that the file is not there.
        return Ok(vec![file.to_owned()]);
    }
    let parts: Vec<String> = (1..=there.len()).map(|number| part_file(name, number)).collect();
    if let Some(missing) = parts.iter().find(|part| !there.contains(part)) {
        return Err(ImportError::Part { path: file.to_owned(), missing: missing.clone() });
    }
    Ok(parts.iter().map(|part| file.with_file_name(part)).collect())
}

/// Returns the digest of files one after the other.
fn digest_of(files: &[PathBuf]) -> Result<Digest, ImportError> {
    let mut all: Box<dyn Read> = Box::new(io::empty());
    for path in files {
        let opened = fs::File::open(path)
            .map_err(|source| ImportError::Read { path: path.clone(), source })?;
        all = Box::new(all.chain(opened));
    }
    // There is one: an archive is at least the file that was named.
    let first = || files.first().cloned().unwrap_or_default();
    blob::digest(all).map_err(|source| ImportError::Read { path: first(), source })
}

fn of_name(name: &str) -> Option<(RuntimeSpec, Platform)> {
    let stem = name.strip_suffix(".tar.gz")?;
    Platform::ALL.into_iter().find_map(|platform| {
        let folder = stem.strip_suffix(&format!("-{platform}"))?;
        Some((folder_spec(folder)?, platform))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_says_what_it_is() {
        let shown = |name: &str| of_name(name).map(|(spec, platform)| format!("{spec} {platform}"));
        assert_eq!(
            shown("python-3.11-ml-1.3.3-ubuntu-amd64.tar.gz").as_deref(),
            Some("python-3.11-ml@1.3.3 ubuntu-amd64")
        );
        for bad in
            ["python-3.11-ml-1.3.3.tar.gz", "a-ubuntu-amd64.tar.gz", "a-1.0.0-windows.tar.gz"]
        {
            assert_eq!(shown(bad), None, "{bad}");
        }
    }
}
