//! The sources that a manifest declares: fetched into a cache of verified blobs before a build.

use std::path::{Path, PathBuf};

use rnx::failure::ExitStatus;
use rnx_spec::manifest::Source;
use rnx_store::blob::{self, AddBlobError, BlobRequest, SizeBound};
use rnx_store::fetch::{FetchOptions, FetchOptionsError, Fetcher};

/// A manifest gives a source's digest, not its size; more than this is nobody's source.
const SOURCE_BYTES_MAX: u64 = 32 << 30;

/// A source could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchSourceError {
    #[error("the fetch options are unusable")]
    Options { source: FetchOptionsError },
    #[error("failed to fetch")]
    Add { source: AddBlobError },
}

impl FetchSourceError {
    /// Returns the exit status that this deserves.
    pub fn status(&self) -> ExitStatus {
        match self {
            Self::Options { .. } => ExitStatus::Host,
            Self::Add { source } => match source {
                AddBlobError::Open { .. } | AddBlobError::Read { .. } => ExitStatus::Network,
                AddBlobError::Write { .. } | AddBlobError::Lock(_) => ExitStatus::Host,
                AddBlobError::TooLarge { .. }
                | AddBlobError::SizeMismatch { .. }
                | AddBlobError::DigestMismatch { .. } => ExitStatus::Integrity,
            },
        }
    }
}

/// Returns the verified file of a source; fetches it into `blobs` if it is not there.
pub fn fetch(
    source: &Source,
    blobs: &Path,
    options: &FetchOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<PathBuf, FetchSourceError> {
    let fetcher = Fetcher::new(options).map_err(|source| FetchSourceError::Options { source })?;
    let request = BlobRequest {
        url: source.url.clone(),
        digest: source.sha256,
        size: SizeBound::AtMost(SOURCE_BYTES_MAX),
    };
    blob::add(&fetcher, &request, blobs, progress)
        .map_err(|source| FetchSourceError::Add { source })
}
