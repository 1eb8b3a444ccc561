//! Reading URLs: `https://`, `http://` and `file://`, with limits on everything.

mod ask;

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::time::Duration;

use rnx_spec::SourceUrl;
use ureq::http::{Response, StatusCode, header};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};
use ureq::{Agent, Body};

pub use ask::Answer;

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
    /// Sent to the token's own origin alone, and never along a redirect.
    pub token: Option<OriginToken>,
}

/// A secret that one origin may see.
#[derive(Clone)]
pub struct OriginToken {
    /// For example `https://raw.githubusercontent.com`.
    pub origin: String,
    pub token: String,
}

/// Reads URLs, and keeps connections open between them.
#[derive(Debug, Clone)]
pub struct Fetcher {
    agent: Agent,
    https_only: Agent,
    token: Option<OriginToken>,
}

/// The options of a [`Fetcher`] are unusable.
#[derive(Debug, thiserror::Error)]
pub enum FetchOptionsError {
    #[error("the CA certificates are not valid PEM")]
    Pem(#[source] ureq::Error),
    #[error("the CA certificates file holds no certificate")]
    NoCertificates,
}

/// The bytes of a URL, from some offset on.
pub struct Opened {
    pub reader: Box<dyn Read>,
    /// Where the bytes start: the offset asked for, or 0 where the server knows no ranges.
    pub offset: u64,
    /// How many bytes the sender says will follow.
    pub announced_bytes: Option<u64>,
}

/// A URL that could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the server answered {status}")]
    Status { status: StatusCode },
    #[error("the server sent the bytes in the encoding `{encoding}`, which nobody asked for")]
    Encoding { encoding: String },
    #[error("the server answered a range request with the wrong range `{range}`")]
    Range { range: String },
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
    /// Returns a fetcher. Proxies come from the usual variables (`https_proxy`, `no_proxy`, …).
    pub fn new(options: &FetchOptions) -> Result<Self, FetchOptionsError> {
        let root_certs = match &options.ca_certificates {
            Some(pem) => RootCerts::new_with_certs(&certificates(pem)?),
            None => RootCerts::WebPki,
        };
        let agent = |https_only: bool| {
            let read_timeout = options.read_timeout.unwrap_or(READ_TIMEOUT);
            Agent::config_builder()
                .tls_config(TlsConfig::builder().root_certs(root_certs.clone()).build())
                .https_only(https_only)
                .max_redirects(REDIRECTS_MAX)
                .http_status_as_error(false)
                .accept_encoding("identity")
                .user_agent(concat!("rnx/", env!("CARGO_PKG_VERSION")))
                .timeout_connect(Some(CONNECT_TIMEOUT))
                .timeout_recv_response(Some(read_timeout))
                .timeout_per_read(Some(read_timeout))
                .build()
                .new_agent()
        };
        Ok(Self { agent: agent(false), https_only: agent(true), token: options.token.clone() })
    }

    /// Opens `url` from byte `offset` on, if the server can; see [`Opened::offset`].
    ///
    /// What starts with `https://` never continues with `http://`.
    pub fn open(&self, url: &SourceUrl, offset: u64) -> Result<Opened, OpenError> {
        if let Some(path) = url.to_path() {
            return open_file(&path, offset).map_err(OpenError::File);
        }
        let https = url.as_str().starts_with("https://");
        let agent = if https { &self.https_only } else { &self.agent };
        let mut request = agent.get(url.as_str());
        if offset > 0 {
            request = request.header(header::RANGE, format!("bytes={offset}-"));
        }
        if let Some(OriginToken { origin, token }) = &self.token
            && origin == url.origin()
        {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let response = request.call().map_err(OpenError::Transport)?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE && offset > 0 {
            return self.open(url, 0);
        }
        opened(response, offset)
    }

    /// Reads a small document as a whole.
    pub fn read_all(&self, url: &SourceUrl, size_bytes_max: u64) -> Result<Vec<u8>, ReadAllError> {
        let opened =
            self.open(url, 0).map_err(|source| ReadAllError::Open { url: url.clone(), source })?;
        let too_large = || ReadAllError::TooLarge { url: url.clone(), size_bytes_max };
        if opened.announced_bytes.is_some_and(|announced| announced > size_bytes_max) {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        opened
            .reader
            .take(size_bytes_max + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| ReadAllError::Read { url: url.clone(), source })?;
        let got = bytes.len() as u64;
        if got > size_bytes_max {
            return Err(too_large());
        }
        match opened.announced_bytes {
            Some(announced) if announced != got => {
                Err(ReadAllError::Truncated { url: url.clone(), got, announced })
            }
            _ => Ok(bytes),
        }
    }
}

impl OpenError {
    /// Whether another attempt can end differently.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Status { status } => {
                status.is_server_error()
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
            Self::Encoding { .. } | Self::Range { .. } | Self::File(_) => false,
        }
    }
}

fn opened(response: Response<Body>, asked: u64) -> Result<Opened, OpenError> {
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let status = response.status();
    if status != StatusCode::OK && status != StatusCode::PARTIAL_CONTENT {
        return Err(OpenError::Status { status });
    }
    if let Some(encoding) = header(header::CONTENT_ENCODING).filter(|e| *e != "identity") {
        return Err(OpenError::Encoding { encoding: encoding.to_owned() });
    }
    let offset = if status == StatusCode::PARTIAL_CONTENT {
        let range = header(header::CONTENT_RANGE).unwrap_or_default();
        let start = range
            .strip_prefix("bytes ")
            .and_then(|range| range.split_once('-'))
            .and_then(|(start, _)| start.parse().ok());
        if asked == 0 || start != Some(asked) {
            return Err(OpenError::Range { range: range.to_owned() });
        }
        asked
    } else {
        0
    };
    let body = response.into_body();
    let announced_bytes = body.content_length();
    Ok(Opened { reader: Box::new(body.into_reader()), offset, announced_bytes })
}

fn open_file(path: &std::path::Path, offset: u64) -> io::Result<Opened> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    // A FIFO or a device would never end.
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let offset = if offset <= metadata.len() { offset } else { 0 };
    file.seek(SeekFrom::Start(offset))?;
    let announced_bytes = Some(metadata.len() - offset);
    Ok(Opened { reader: Box::new(file), offset, announced_bytes })
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate<'static>>, FetchOptionsError> {
    let mut found = Vec::new();
    for item in ureq::tls::parse_pem(pem) {
        if let PemItem::Certificate(certificate) = item.map_err(FetchOptionsError::Pem)? {
            found.push(certificate);
        }
    }
    if found.is_empty() { Err(FetchOptionsError::NoCertificates) } else { Ok(found) }
}

fn describe(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(source) => source.to_string(),
        ureq::Error::HostNotFound => "the host is not known".to_owned(),
        ureq::Error::RequireHttpsOnly(to) => {
            format!("an `https://` address redirects to `{to}`, which is not encrypted")
        }
        other => other.to_string(),
    }
}

impl fmt::Debug for OriginToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OriginToken").field("origin", &self.origin).finish_non_exhaustive()
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
