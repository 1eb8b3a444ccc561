//! How a registry's server is asked: certificates, proxies, mirrors, and the token with those who may see it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rnx_store::fetch::{FetchOptions, FetchOptionsError, Fetcher, OriginToken, Proxies, Rewrite};

use crate::config::{Auth, Mirror};
use crate::credentials::{self, CredentialError};
use crate::github;
use crate::resolve::RegistryLocation;

/// Where distributions keep the certificates that they, and their administrators, trust.
pub(crate) const SYSTEM_CERTIFICATES: [&str; 2] =
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
    let named = |name| (access.env)(name).filter(|path| !path.is_empty());
    let mut trusted = match (named("SSL_CERT_FILE"), named("SSL_CERT_DIR")) {
        (None, None) => SYSTEM_CERTIFICATES.iter().find_map(|path| fs::read(path).ok()),
        (file, folders) => {
            let file = file.map(|path| fs::read(PathBuf::from(path))).transpose()?;
            // Folders alone are enough.
            let mut trusted = file.unwrap_or_default();
            for folder in folders.iter().flat_map(std::env::split_paths) {
                add_folder(&folder, &mut trusted)?;
            }
            Some(trusted)
        }
    };
    if let Some(path) = &access.ca_bundle {
        let trusted = trusted.get_or_insert_default();
        trusted.push(b'\n');
        trusted.extend(fs::read(path)?);
    }
    Ok(trusted)
}

/// Adds the certificates of a folder that OpenSSL would find there: by names that `openssl rehash` makes, `0a1b2c3d.0`.
fn add_folder(folder: &Path, trusted: &mut Vec<u8>) -> io::Result<()> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if is_hashed(&entry.file_name()) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    for path in paths {
        match fs::read(&path) {
            Ok(pem) => {
                trusted.push(b'\n');
                trusted.extend(pem);
            }
            // A link whose certificate was removed from the host is no certificate.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_hashed(name: &OsStr) -> bool {
    let name = name.to_str().and_then(|name| name.split_once('.'));
    name.is_some_and(|(hash, number)| {
        hash.len() == 8
            && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
            && !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folders_certificates_are_those_with_names_of_hashes() {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in [
            ("0a1b2c3d.0", "first"),
            ("0a1b2c3d.1", "second"),
            ("0a1b2c3d.r0", "a list of revoked ones"),
            ("0a1b2c3d", "no number"),
            ("0a1b2c3x.0", "no hash"),
            ("README", "text"),
        ] {
            fs::write(folder.path().join(name), content).unwrap();
        }
        fs::os::unix::fs::symlink("removed.pem", folder.path().join("ffffffff.0")).unwrap();
        let mut trusted = b"file".to_vec();
        add_folder(folder.path(), &mut trusted).unwrap();
        assert_eq!(String::from_utf8(trusted).unwrap(), "file\nfirst\nsecond");
        assert!(add_folder(&folder.path().join("absent"), &mut Vec::new()).is_err());
    }

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
