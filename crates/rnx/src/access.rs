//! How a registry's server is asked: certificates, proxies, mirrors, and the token with those who may see it.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use fs_err as fs;
use rnx_store::fetch::{FetchOptions, FetchOptionsError, Fetcher, OriginToken, Proxies, Rewrite};

use crate::config::{Auth, Mirror};
use crate::credentials::{self, CredentialError};
use crate::github;
use crate::resolve::RegistryLocation;

/// Where distributions keep the certificates that they, and their administrators, trust.
const SYSTEM_CERTIFICATES: [&str; 2] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// What is the same for all registries. It is read when a server is first asked, and not before.
#[derive(Debug, Clone)]
pub struct Access {
    /// Looks up a variable of the environment.
    pub env: fn(&str) -> Option<OsString>,
    pub mirrors: Vec<Mirror>,
    /// Certificates to trust besides the host's own.
    pub ca_bundle: Option<PathBuf>,
}

/// A server cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("failed to read the certificates to trust")]
    Certificates(#[source] io::Error),
    #[error("there is no usable way to a server")]
    Options(#[source] FetchOptionsError),
    #[error("there is no token for it")]
    Credential(#[source] CredentialError),
    #[error("its token would be sent unencrypted to `{origin}`")]
    Unencrypted { origin: String },
}

/// Returns what reads a registry and its artifacts.
pub fn fetcher(access: &Access, location: &RegistryLocation) -> Result<Fetcher, AccessError> {
    let rewrite = |mirror: &Mirror| Rewrite { from: mirror.from.clone(), to: mirror.to.clone() };
    let tokens = match &location.auth {
        Some(auth) if !is_local(location) => tokens(access, location, auth)?,
        _ => Vec::new(),
    };
    let by_api = location.on_github && !tokens.is_empty();
    let options = FetchOptions {
        ca_certificates: certificates(access).map_err(AccessError::Certificates)?,
        tokens,
        rewrites: access.mirrors.iter().map(rewrite).collect(),
        proxies: Proxies::from_env(&access.env),
        accept: by_api.then(|| github::ASSET_TYPE.to_owned()),
        ..FetchOptions::default()
    };
    Fetcher::new(&options).map_err(AccessError::Options)
}

/// Whether the registry is a file of this host, which needs no copy and no token.
pub(crate) fn is_local(location: &RegistryLocation) -> bool {
    location.document.file_path().is_some()
}

fn tokens(
    access: &Access,
    location: &RegistryLocation,
    auth: &Auth,
) -> Result<Vec<OriginToken>, AccessError> {
    let mut origins = vec![location.document.origin().to_owned()];
    if location.on_github {
        origins.push(github::API.to_owned());
    }
    let scheme = |host: &String| if host.contains("://") { "" } else { "https://" };
    origins.extend(auth.hosts.iter().map(|host| format!("{}{host}", scheme(host))));
    if let Some(origin) = origins.iter().find(|origin| !is_encrypted(origin)) {
        return Err(AccessError::Unencrypted { origin: origin.clone() });
    }
    let token = credentials::token(auth, &access.env).map_err(AccessError::Credential)?;
    let own = |origin| OriginToken { origin, token: token.clone() };
    Ok(origins.into_iter().map(own).collect())
}

/// Whether nobody on the way can read what is sent. Who listens to a loopback server is on this host already.
fn is_encrypted(origin: &str) -> bool {
    let local = |host: &str| {
        let rest = origin.strip_prefix("http://").and_then(|rest| rest.strip_prefix(host));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
    };
    origin.starts_with("https://") || ["127.0.0.1", "localhost", "[::1]"].iter().any(|h| local(h))
}

fn certificates(access: &Access) -> io::Result<Option<Vec<u8>>> {
    let mut trusted = match (access.env)("SSL_CERT_FILE").filter(|path| !path.is_empty()) {
        Some(path) => Some(fs::read(PathBuf::from(path))?),
        None => SYSTEM_CERTIFICATES.iter().find_map(|path| fs::read(path).ok()),
    };
    if let Some(path) = &access.ca_bundle {
        let trusted = trusted.get_or_insert_default();
        trusted.push(b'\n');
        trusted.extend(fs::read(path)?);
    }
    Ok(trusted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_not_sent_in_the_clear() {
        for (origin, expected) in [
            ("https://h", true),
            ("http://127.0.0.1:80", true),
            ("http://[::1]", true),
            ("http://h", false),
            ("http://127.0.0.1.example.org", false),
            ("http://localhost@example.org", false),
        ] {
            assert_eq!(is_encrypted(origin), expected, "{origin}");
        }
    }
}
