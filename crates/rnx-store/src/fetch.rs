//! Reading URLs: `https://`, `http://` and `file://`, with limits on everything.

mod access;
mod ask;
mod body;
mod document;
mod request;

use std::fmt;
use std::io::{self, Read};
use std::time::Duration;

use rnx_spec::SourceUrl;
use ureq::http::StatusCode;

use self::request::Ways;
pub use access::{OriginToken, Proxies, Rewrite};
pub use ask::Answer;
pub use body::Range;
pub use document::{Document, Revalidated};

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait for the first byte of an answer, and for each further one.
const READ_TIMEOUT: Duration = Duration::from_mins(1);
const REDIRECTS_MAX: u32 = 10;

/// What a caller decides about fetching.
#[derive(Debug, Clone, Default)]
pub struct FetchOptions {
    /// The certificates to trust, in PEM; those built in if there are none.
    pub ca_certificates: Option<Vec<u8>>,
    /// Instead of 60 seconds, how long a server may say nothing.
    pub read_timeout: Option<Duration>,
    /// Instead of 250 ms, how long a server that broke off is left alone first; each further time twice as long.
    pub retry_pause: Option<Duration>,
    /// Each is sent to its own origin alone, on redirects too.
    pub tokens: Vec<OriginToken>,
    /// What is asked elsewhere; where a redirect leads is not looked up here.
    pub rewrites: Vec<Rewrite>,
    pub proxies: Proxies,
    /// The media type that files are asked for as, where a server wants it said.
    pub accept: Option<String>,
}

/// Reads URLs, and keeps connections open between them.
#[derive(Debug, Clone)]
pub struct Fetcher {
    ways: Ways,
    options: FetchOptions,
}

/// The options of a [`Fetcher`] are unusable.
#[derive(Debug, thiserror::Error)]
pub enum FetchOptionsError {
    #[error("the CA certificates are not valid PEM")]
    Pem(#[source] ureq::Error),
    #[error("the CA certificates file holds no certificate")]
    NoCertificates,
    #[error("the proxy for `{scheme}://` addresses is not a usable address")]
    Proxy { scheme: &'static str, source: ureq::Error },
}

/// The bytes of a URL, from some offset on.
pub struct Opened {
    pub reader: Box<dyn Read>,
    /// Where the bytes start: the offset asked for, or 0 where the server knows no ranges.
    pub offset: u64,
    /// Whether this is all there is, although perhaps a part was asked for.
    pub is_whole: bool,
    /// How many bytes the sender says will follow.
    pub announced_bytes: Option<u64>,
    /// How many bytes the sender says that the whole has.
    pub total_bytes: Option<u64>,
    /// The sender's name for this state of the whole, quotes included, if it is one for the bytes themselves.
    pub etag: Option<String>,
}

/// A URL that could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the server answered {status}")]
    Status {
        status: StatusCode,
        /// How long the server wants to be left alone.
        retry_after: Option<Duration>,
    },
    #[error("the server sent the bytes in the encoding `{encoding}`, which nobody asked for")]
    Encoding { encoding: String },
    #[error("the server answered a range request with the wrong range `{range}`")]
    Range { range: String },
    #[error("an `https://` address redirects to `{to}`, which is not encrypted")]
    Unencrypted { to: String },
    #[error("the server redirects to `{to}`, which is no usable address")]
    Redirect { to: String },
    #[error("the server redirects more than {REDIRECTS_MAX} times")]
    TooManyRedirects,
    #[error("the address names a user before the host `{host}`, or a wrong port")]
    Address { host: String },
    #[error("{}", describe(.0))]
    Transport(ureq::Error),
    #[error(transparent)]
    File(io::Error),
}

/// A document that could not be read as a whole.
#[derive(Debug, thiserror::Error)]
pub enum ReadAllError {
    #[error("failed to open `{url}`")]
    Open { url: SourceUrl, source: OpenError },
    #[error("failed to read `{url}`")]
    Read { url: SourceUrl, source: io::Error },
    #[error("`{url}` has more than {size_bytes_max} bytes")]
    TooLarge { url: SourceUrl, size_bytes_max: u64 },
    #[error("`{url}` ended after {got} of {announced} bytes")]
    Truncated { url: SourceUrl, got: u64, announced: u64 },
}

impl Fetcher {
    /// Returns a fetcher.
    pub fn new(options: &FetchOptions) -> Result<Self, FetchOptionsError> {
        Ok(Self { ways: Ways::new(options)?, options: options.clone() })
    }
}

impl OpenError {
    /// Whether another attempt can end differently.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Status { status, retry_after } => {
                retry_after.is_some()
                    || status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
                    )
            }
            Self::Transport(error) => matches!(
                error,
                ureq::Error::Io(_)
                    | ureq::Error::Timeout(_)
                    | ureq::Error::ConnectionFailed
                    | ureq::Error::Protocol(_)
            ),
            Self::Encoding { .. }
            | Self::Range { .. }
            | Self::Unencrypted { .. }
            | Self::Redirect { .. }
            | Self::TooManyRedirects
            | Self::Address { .. }
            | Self::File(_) => false,
        }
    }
}

fn describe(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(source) => source.to_string(),
        ureq::Error::HostNotFound => "the host is not known".to_owned(),
        other => other.to_string(),
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("offset", &self.offset)
            .field("announced_bytes", &self.announced_bytes)
            .finish_non_exhaustive()
    }
}
