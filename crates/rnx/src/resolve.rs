//! Which registry a text means, and which bytes a request means in it. Pure.

use std::path::{Component, Path, PathBuf};

use rnx_spec::registry::{Registry, Request, SelectError, Yank, near_names, select};
use rnx_spec::{Digest, Platform, RuntimeSpec, SourceUrl};
use rnx_store::blob::{BlobRequest, SizeBound};

use crate::config::{Auth, RegistryConfig, github_document};
use crate::github::{self, LocateError};
use crate::install::INDEX_BYTES_MAX;
use crate::registry::{LoadRegistryError, OpenRegistry};

/// Where a registry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryLocation {
    /// As the user knows it.
    pub name: String,
    /// Its `registry.json`.
    pub document: SourceUrl,
    /// How to be let in.
    pub auth: Option<Auth>,
    /// Whether it is a repository on GitHub, whose API has what its pages show to nobody with a token.
    pub on_github: bool,
}

impl RegistryLocation {
    /// Returns the location that stands for a file that is installed without a registry.
    pub fn of_file(file: SourceUrl) -> Self {
        Self { name: "a file".to_owned(), document: file, auth: None, on_github: false }
    }
}

/// A text that means no registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    #[error(
        "`{text}` is no registry: neither a configured name, nor `owner/repo`, nor a URL, nor a folder such as `./{text}`"
    )]
    Unknown { text: String, configured: Vec<String> },
    #[error("`{text}` is no usable URL")]
    Url { text: String, source: rnx_spec::source::ParseUrlError },
}

/// Everything that is known about an install before anything is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    pub spec: RuntimeSpec,
    pub platform: Platform,
    pub registry: RegistryLocation,
    /// What is downloaded: the archive, or its parts in order.
    pub pieces: Vec<BlobRequest>,
    /// The index of the archive, where the registry names one.
    pub index: Option<BlobRequest>,
    pub digest: Digest,
    pub size_bytes: u64,
    pub unpacked_bytes: u64,
    pub entries: u64,
    /// Why the version was withdrawn: it was asked for by its number.
    pub yank: Option<Yank>,
}

/// Returns the registry that `text` means: a configured name, `owner/repo`, a URL, or a folder or file; a relative one
/// starts with `.` and is below `folder`.
pub fn location(
    text: &str,
    configured: &[RegistryConfig],
    folder: &Path,
) -> Result<RegistryLocation, LocationError> {
    if let Some(known) = configured.iter().find(|known| known.name == text) {
        return configured_location(known, folder);
    }
    let found = unnamed(text, configured, folder)?;
    // Whoever writes out where a configured registry is means that one, with its way in.
    let same = configured.iter().find(|known| {
        unnamed(&known.url, &[], folder).is_ok_and(|known| known.document == found.document)
    });
    Ok(RegistryLocation { auth: same.and_then(|known| known.auth.clone()), ..found })
}

fn unnamed(
    text: &str,
    configured: &[RegistryConfig],
    folder: &Path,
) -> Result<RegistryLocation, LocationError> {
    let named = |document: SourceUrl| RegistryLocation {
        name: text.to_owned(),
        on_github: document.as_str().starts_with(github::RAW),
        document,
        auth: None,
    };
    let unknown = || LocationError::Unknown {
        text: text.to_owned(),
        configured: configured.iter().map(|known| known.name.clone()).collect(),
    };
    if text.contains("://") {
        return Ok(named(document_of_url(text)?));
    }
    if text.starts_with(['/', '.']) {
        let document = SourceUrl::from_path(&document_of_path(&folder.join(text)));
        return Ok(named(document.ok_or_else(unknown)?));
    }
    let (owner, repo) = text.split_once('/').ok_or_else(unknown)?;
    Ok(named(github_document(owner, repo).ok_or_else(unknown)?))
}

/// Returns where a configured registry is.
pub fn configured_location(
    registry: &RegistryConfig,
    folder: &Path,
) -> Result<RegistryLocation, LocationError> {
    Ok(RegistryLocation {
        name: registry.name.clone(),
        auth: registry.auth.clone(),
        ..unnamed(&registry.url, &[], folder)?
    })
}

/// A request that a registry does not answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error(transparent)]
    Select(SelectError),
    #[error(transparent)]
    Load(Box<LoadRegistryError>),
}

/// Returns what to install for `request` from `open`. What a copy of the registry misses, its server is asked for once.
pub fn ask(
    open: &OpenRegistry,
    request: &Request,
    platforms: &[Platform],
) -> Result<Resolved, AskError> {
    let once = || {
        let registry = open.only(&request.name).map_err(|error| AskError::Load(error.into()))?;
        resolve(&registry, &open.location, request, platforms).map_err(|error| {
            AskError::Select(match error {
                SelectError::UnknownRuntime { name, .. } => {
                    let near = near_names(&name, open.index().runtimes.keys());
                    SelectError::UnknownRuntime { name, near }
                }
                error => error,
            })
        })
    };
    match once() {
        Err(AskError::Select(missed)) => match open.look_again() {
            Ok(true) => once(),
            // The copy's answer stands where its server cannot be asked.
            Ok(false) | Err(_) => Err(AskError::Select(missed)),
        },
        answer => answer,
    }
}

/// Lets everything that `resolved` downloads be asked for where a token is known.
pub fn locate(open: &OpenRegistry, resolved: &mut Resolved) -> Result<(), LocateError> {
    if !open.by_api() {
        return Ok(());
    }
    let fetcher = open.fetcher().map_err(LocateError::Access)?;
    for piece in resolved.pieces.iter_mut().chain(&mut resolved.index) {
        piece.url = github::locate(fetcher, &piece.url)?;
    }
    Ok(())
}

/// Returns what to install for `request` on a host that can use `platforms`, the best first.
pub fn resolve(
    registry: &Registry,
    location: &RegistryLocation,
    request: &Request,
    platforms: &[Platform],
) -> Result<Resolved, SelectError> {
    let selected = select(registry, request, platforms)?;
    let artifact = selected.artifact;
    let blob = |url: &rnx_spec::source::UrlReference, digest, size_bytes| BlobRequest {
        url: url.resolve(&location.document),
        digest,
        size: SizeBound::Exactly(size_bytes),
    };
    let pieces = if artifact.parts.is_empty() {
        vec![blob(&artifact.url, artifact.digest, artifact.size_bytes)]
    } else {
        artifact.parts.iter().map(|part| blob(&part.url, part.digest, part.size_bytes)).collect()
    };
    Ok(Resolved {
        spec: selected.release.spec.clone(),
        platform: selected.platform,
        registry: location.clone(),
        pieces,
        index: artifact.files.as_ref().map(|files| BlobRequest {
            url: files.url.resolve(&location.document),
            digest: files.digest,
            size: SizeBound::AtMost(INDEX_BYTES_MAX),
        }),
        digest: artifact.digest,
        size_bytes: artifact.size_bytes,
        unpacked_bytes: artifact.unpacked_bytes,
        entries: artifact.entries,
        yank: selected.yank.cloned(),
    })
}

fn document_of_url(text: &str) -> Result<SourceUrl, LocationError> {
    let parse = |text: &str| {
        text.parse::<SourceUrl>()
            .map_err(|source| LocationError::Url { text: text.to_owned(), source })
    };
    let url = parse(text)?;
    if let Some(path) = url.to_path() {
        return Ok(SourceUrl::from_path(&document_of_path(&path)).unwrap_or(url));
    }
    let trimmed = text.trim_end_matches('/');
    let repository = trimmed.strip_prefix("https://github.com/").and_then(|path| {
        let (owner, repo) = path.split_once('/')?;
        github_document(owner, repo.strip_suffix(".git").unwrap_or(repo))
    });
    match repository {
        Some(document) => Ok(document),
        None if is_json(Path::new(url.file_name())) => Ok(url),
        None => parse(&format!("{trimmed}/registry.json")),
    }
}

/// A path that ends in `.json` is the registry itself, any other one its folder.
fn document_of_path(path: &Path) -> PathBuf {
    if is_json(path) {
        return path.to_owned();
    }
    let mut document: PathBuf =
        path.components().filter(|part| *part != Component::CurDir).collect();
    document.push("registry.json");
    document
}

fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_a_name_a_repository_a_url_or_a_folder() {
        let configured = [RegistryConfig {
            name: "company".to_owned(),
            url: "https://github.com/mycompany/joblet-runtimes".to_owned(),
            enabled: true,
            auth: Some(Auth { token_env: Some("T".to_owned()), ..Auth::default() }),
        }];
        let raw = "https://raw.githubusercontent.com/mycompany/joblet-runtimes/HEAD/registry.json";
        for (text, expected) in [
            ("company", raw),
            ("mycompany/joblet-runtimes", raw),
            ("https://github.com/mycompany/joblet-runtimes.git", raw),
            ("https://github.com/mycompany/joblet-runtimes/", raw),
            ("https://h/x/registry.json?a=b", "https://h/x/registry.json?a=b"),
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000/registry.json"),
            ("https://h/x/", "https://h/x/registry.json"),
            ("file:///srv/r", "file:///srv/r/registry.json"),
            ("/srv/r", "file:///srv/r/registry.json"),
            ("./r", "file:///here/r/registry.json"),
            (".", "file:///here/registry.json"),
            ("../a b/x.json", "file:///here/../a%20b/x.json"),
        ] {
            let found = location(text, &configured, Path::new("/here")).unwrap();
            assert_eq!(found.document.as_str(), expected, "{text}");
        }
        for same in ["company", "mycompany/joblet-runtimes"] {
            let company = location(same, &configured, Path::new("/")).unwrap();
            assert_eq!(company.auth, configured[0].auth, "{same}");
            assert!(company.on_github);
        }
        let other = location("other/joblet-runtimes", &configured, Path::new("/")).unwrap();
        assert_eq!(other.auth, None);
        for bad in ["compani", "a/b/c", "ftp://x/y", "a/../b", "../"] {
            let found = location(bad, &configured, Path::new("relative"));
            assert!(found.is_err(), "{bad}: {found:?}");
        }
    }
}
