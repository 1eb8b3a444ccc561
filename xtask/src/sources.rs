//! The sources that a manifest declares: fetched into a cache of verified blobs before a build.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rnx::failure::{ExitStatus, Failure};
use rnx_spec::manifest::Source;
use rnx_spec::source::ParseUrlError;
use rnx_spec::{Digest, SourceUrl};
use rnx_store::blob::{self, AddBlobError, BlobRequest, SizeBound};
use rnx_store::fetch::{FetchOptions, FetchOptionsError, Fetcher};

/// Where a manifest names no size, more than this is nobody's source.
const SOURCE_BYTES_MAX: u64 = 32 << 30;

/// A place that is asked for sources before the addresses in the manifests: a folder, or a URL that ends where names
/// begin. In it, a file is named by its digest (64 hexadecimal digits), or as the manifest names it.
///
/// It need not be trusted: whatever it gives is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceMirror(SourceUrl);

/// A text names no mirror.
#[derive(Debug, thiserror::Error)]
pub enum ParseMirrorError {
    #[error("the URL of the source mirror is unusable")]
    Url { source: ParseUrlError },
    #[error("the source mirror `{}` is not there", path.display())]
    NoFolder { path: PathBuf, source: std::io::Error },
    #[error("the source mirror `{}` is no folder", path.display())]
    NotFolder { path: PathBuf },
}

/// A source could not be had. Nothing of it was kept that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum FetchSourceError {
    #[error("the fetch options are unusable")]
    Options { source: FetchOptionsError },
    /// No place that was asked has it, or could be reached.
    #[error("no place that was asked gave `{}`", wanted.file)]
    Unavailable { wanted: Box<Source>, tried: Vec<AddBlobError> },
    /// A place has something else under its name.
    #[error("`{}` is not what the manifest declares", wanted.file)]
    Wrong { wanted: Box<Source>, source: AddBlobError },
    #[error("`{}` could not be kept", wanted.file)]
    Unusable { wanted: Box<Source>, source: AddBlobError },
}

impl FromStr for SourceMirror {
    type Err = ParseMirrorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains("://") {
            let url = text.trim_end_matches('/').parse();
            return url.map(Self).map_err(|source| ParseMirrorError::Url { source });
        }
        let path = PathBuf::from(text);
        let absolute = fs_err::canonicalize(&path)
            .map_err(|source| ParseMirrorError::NoFolder { path: path.clone(), source })?;
        // A canonical path is absolute.
        let url = SourceUrl::from_path(&absolute).filter(|_| absolute.is_dir());
        url.map(Self).ok_or(ParseMirrorError::NotFolder { path })
    }
}

impl SourceMirror {
    /// Returns where the mirror may have a source: by its digest, then by its name.
    fn places(&self, source: &Source) -> Vec<SourceUrl> {
        [source.sha256.hex(), encoded(&source.file)]
            .iter()
            // What a manifest may name, and a URL may not hold, is encoded.
            .filter_map(|name| format!("{}/{name}", self.0.as_str()).parse().ok())
            .collect()
    }
}

/// Percent-encodes everything in a file name that means something else in a URL.
fn encoded(file: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+@=:,".contains(&byte);
    file.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Returns the verified file of a source; fetches it into `blobs` if it is not there, from the mirror if that has it.
pub fn fetch(
    source: &Source,
    blobs: &Path,
    (mirror, options): (Option<&SourceMirror>, &FetchOptions),
    progress: &mut dyn FnMut(u64),
) -> Result<PathBuf, FetchSourceError> {
    let fetcher = Fetcher::new(options).map_err(|source| FetchSourceError::Options { source })?;
    let mut places = mirror.map_or_else(Vec::new, |mirror| mirror.places(source));
    places.push(source.url.clone());
    let mut tried = Vec::new();
    for url in places {
        let size =
            source.size_bytes.map_or(SizeBound::AtMost(SOURCE_BYTES_MAX), SizeBound::Exactly);
        let request = BlobRequest { url, digest: source.sha256, size };
        match blob::add(&fetcher, &request, blobs, progress) {
            Ok(path) => return Ok(path),
            Err(error @ (AddBlobError::Open { .. } | AddBlobError::Read { .. })) => {
                tried.push(error);
            }
            Err(error) => return Err(FetchSourceError::of(source, error)),
        }
    }
    Err(FetchSourceError::Unavailable { wanted: Box::new(source.clone()), tried })
}

impl FetchSourceError {
    /// Of a place that answered. The next one is not asked: it would hide that this one is wrong.
    fn of(wanted: &Source, source: AddBlobError) -> Self {
        let wanted = Box::new(wanted.clone());
        match source {
            AddBlobError::Write { .. } | AddBlobError::Lock(_) => Self::Unusable { wanted, source },
            _ => Self::Wrong { wanted, source },
        }
    }

    /// Returns the exit status that this deserves.
    pub fn status(&self) -> ExitStatus {
        match self {
            Self::Options { .. } | Self::Unusable { .. } => ExitStatus::Host,
            Self::Unavailable { .. } => ExitStatus::Network,
            Self::Wrong { .. } => ExitStatus::Integrity,
        }
    }

    /// Adds to a failure what was tried, and what to do.
    pub fn explain(&self, mut failure: Failure) -> Failure {
        match self {
            Self::Options { .. } | Self::Unusable { .. } => failure,
            Self::Unavailable { wanted, tried } => {
                failure.causes.extend(tried.iter().map(one_line));
                let (file, digest) = (&wanted.file, wanted.sha256.hex());
                failure.hint(format!(
                    "where `{}` is out of reach, fetch `{file}` elsewhere and name the folder (or URL) that has it, \
                     as `{file}` or `{digest}`: `--source-mirror DIR`, or RNX_SOURCE_MIRROR",
                    wanted.url.origin()
                ))
            }
            Self::Wrong { wanted, .. } => failure.hint(format!(
                "the manifest declares {}; nothing of what came was kept",
                description(wanted.sha256, wanted.size_bytes)
            )),
        }
    }
}

fn description(digest: Digest, size_bytes: Option<u64>) -> String {
    let size = size_bytes.map(|bytes| format!(", {bytes} bytes")).unwrap_or_default();
    format!("{digest}{size}")
}

/// Returns an error and its causes in one line.
fn one_line(error: &AddBlobError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
