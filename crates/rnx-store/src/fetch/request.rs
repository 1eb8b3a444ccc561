//! Sending a request: mirrors, proxies, certificates, tokens, and redirects, which are followed here so that each step is
//! decided anew.

use std::path::PathBuf;

use rnx_spec::SourceUrl;
use ureq::http::{HeaderName, Response, StatusCode, header};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy};

use super::access::{self, Origin};
use super::{
    CONNECT_TIMEOUT, FetchOptions, FetchOptionsError, Fetcher, OpenError, READ_TIMEOUT,
    REDIRECTS_MAX,
};

/// The ways to a server.
#[derive(Debug, Clone)]
pub(super) struct Ways {
    direct: Agent,
    /// Through the proxy for `http://` URLs.
    http: Option<Agent>,
    /// Through the proxy for `https://` URLs.
    https: Option<Agent>,
}

impl Ways {
    pub(super) fn new(options: &FetchOptions) -> Result<Self, FetchOptionsError> {
        let roots = match &options.ca_certificates {
            Some(pem) => RootCerts::new_with_certs(&certificates(pem)?),
            None => RootCerts::WebPki,
        };
        let through = |proxy: &Option<String>, scheme| {
            let proxy = proxy.as_deref().map(Proxy::new).transpose();
            let proxy = proxy.map_err(|source| FetchOptionsError::Proxy { scheme, source })?;
            Ok(proxy.map(|proxy| agent(options, &roots, Some(proxy))))
        };
        Ok(Self {
            direct: agent(options, &roots, None),
            http: through(&options.proxies.http, "http")?,
            https: through(&options.proxies.https, "https")?,
        })
    }
}

impl Fetcher {
    /// Returns the path that `url` means, perhaps after a rewrite, if it is a file's.
    pub(super) fn file(&self, url: &SourceUrl) -> Option<PathBuf> {
        access::rewritten(url, &self.options.rewrites).to_path()
    }

    /// Asks for `url` and returns the answer after all redirects, whatever its status.
    ///
    /// `authorization` is shown to the URL's own server alone; a token of [`FetchOptions`] to its origins. What starts
    /// with `https://` never continues with `http://`.
    pub(super) fn send(
        &self,
        url: &SourceUrl,
        headers: &[(HeaderName, &str)],
        authorization: Option<&str>,
    ) -> Result<Response<Body>, OpenError> {
        let mut at = access::rewritten(url, &self.options.rewrites);
        let mut own = authorization;
        for _ in 0..=REDIRECTS_MAX {
            let response = self.ask_once(&at, headers, own)?;
            let Some(location) = location(&response) else { return Ok(response) };
            let next = access::redirected(&at, &location).ok_or_else(|| OpenError::Redirect {
                to: access::without_query(&location).to_owned(),
            })?;
            if at.as_str().starts_with("https://") && !next.as_str().starts_with("https://") {
                let to = access::without_query(next.as_str()).to_owned();
                return Err(OpenError::Unencrypted { to });
            }
            at = next;
            own = None;
        }
        Err(OpenError::TooManyRedirects)
    }

    fn ask_once(
        &self,
        url: &SourceUrl,
        headers: &[(HeaderName, &str)],
        authorization: Option<&str>,
    ) -> Result<Response<Body>, OpenError> {
        let origin = Origin::of(url.as_str()).ok_or_else(|| OpenError::Address {
            host: url.origin().rsplit('@').next().unwrap_or_default().to_owned(),
        })?;
        let ways = &self.ways;
        let proxied = if origin.is_https() { &ways.https } else { &ways.http };
        let agent = match proxied {
            Some(proxied) if !self.options.proxies.spare(&origin) => proxied,
            _ => &ways.direct,
        };
        let mut request = agent.get(url.as_str());
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        } else if let Some(token) = access::token(&origin, &self.options.tokens) {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        request.call().map_err(OpenError::Transport)
    }
}

fn agent(options: &FetchOptions, roots: &RootCerts, proxy: Option<Proxy>) -> Agent {
    let read_timeout = options.read_timeout.unwrap_or(READ_TIMEOUT);
    Agent::config_builder()
        .tls_config(TlsConfig::builder().root_certs(roots.clone()).build())
        .proxy(proxy)
        .max_redirects(0)
        .http_status_as_error(false)
        .accept_encoding("identity")
        .user_agent(concat!("rnx/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(read_timeout))
        .timeout_per_read(Some(read_timeout))
        .build()
        .new_agent()
}

/// Returns where an answer sends us on to.
fn location(response: &Response<Body>) -> Option<String> {
    let redirects = [
        StatusCode::MOVED_PERMANENTLY,
        StatusCode::FOUND,
        StatusCode::SEE_OTHER,
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ];
    if !redirects.contains(&response.status()) {
        return None;
    }
    let value = response.headers().get(header::LOCATION)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
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
