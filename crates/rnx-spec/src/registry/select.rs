//! Which release, and which of its artifacts, a request means.

use std::fmt;
use std::str::FromStr;

use super::{Artifact, Registry, Release, Yank};
use crate::name::ParseNameError;
use crate::version::ParseVersionError;
use crate::{Platform, RuntimeName, RuntimeSpec, Version};

/// What a user asks for: `name`, `name@latest` or `name@1.2.3`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    pub name: RuntimeName,
    pub version: VersionRequest,
}

/// Which version of a runtime is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum VersionRequest {
    Latest,
    Exact(Version),
}

/// Why a text is not a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseRequestError {
    #[error("`{text}` names no runtime")]
    Name { text: String, source: ParseNameError },
    #[error("`{text}` has no valid version after the `@`")]
    Version { text: String, source: ParseVersionError },
}

/// A release and the artifact of it that a host can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selected<'a> {
    pub release: &'a Release,
    pub platform: Platform,
    pub artifact: &'a Artifact,
}

/// A registry has nothing that answers a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    #[error("the registry has no runtime `{name}`")]
    UnknownRuntime { name: RuntimeName, near: Vec<RuntimeName> },
    #[error("the registry has no version {} of `{}`; it has {}", spec.version, spec.name, list(available))]
    UnknownVersion { spec: RuntimeSpec, available: Vec<Version> },
    #[error("`{spec}` was withdrawn: {}", yank.reason)]
    Yanked { spec: RuntimeSpec, yank: Yank },
    #[error("all versions of `{name}` were withdrawn")]
    AllYanked { name: RuntimeName },
    #[error("`{spec}` is not built for {}; it is built for {}", list(platforms), list(available))]
    NoArtifact { spec: RuntimeSpec, platforms: Vec<Platform>, available: Vec<Platform> },
    #[error(
        "the registry has only the definition of `{spec}`, and no built runtime for any platform"
    )]
    DefinitionOnly { spec: RuntimeSpec },
}

/// Returns the release and artifact that `request` means on a host that can use `platforms`, the best first.
///
/// Without a version, that is the newest one that is built for such a platform.
pub fn select<'a>(
    registry: &'a Registry,
    request: &Request,
    platforms: &[Platform],
) -> Result<Selected<'a>, SelectError> {
    let name = &request.name;
    let Some(versions) = registry.runtimes().get(name).filter(|versions| !versions.is_empty())
    else {
        if let (Some(yanked), VersionRequest::Exact(version)) =
            (registry.yanked().get(name), request.version)
            && let Some(yank) = yanked.get(&version)
        {
            let spec = RuntimeSpec { name: name.clone(), version };
            return Err(SelectError::Yanked { spec, yank: yank.clone() });
        }
        if registry.yanked().contains_key(name) {
            return Err(SelectError::AllYanked { name: name.clone() });
        }
        let near = near_names(name, registry.runtimes().keys());
        return Err(SelectError::UnknownRuntime { name: name.clone(), near });
    };
    let asked: Vec<&Release> = match request.version {
        VersionRequest::Latest => versions.values().rev().collect(),
        VersionRequest::Exact(version) => {
            let spec = RuntimeSpec { name: name.clone(), version };
            let yank = registry.yanked().get(name).and_then(|yanked| yanked.get(&version));
            if let Some(yank) = yank {
                return Err(SelectError::Yanked { spec, yank: yank.clone() });
            }
            let available = versions.keys().rev().copied().collect();
            let unknown = SelectError::UnknownVersion { spec, available };
            vec![versions.get(&version).ok_or(unknown)?]
        }
    };
    let usable = asked.iter().find_map(|release| {
        platforms.iter().find_map(|&platform| {
            let artifact = release.artifacts.get(&platform)?;
            Some(Selected { release, platform, artifact })
        })
    });
    // `versions` is not empty, and neither is `asked`.
    let newest = asked.iter().find(|release| !release.artifacts.is_empty()).or(asked.first());
    match (usable, newest) {
        (Some(selected), _) => Ok(selected),
        (None, Some(release)) if !release.artifacts.is_empty() => Err(SelectError::NoArtifact {
            spec: release.spec.clone(),
            platforms: platforms.to_vec(),
            available: release.artifacts.keys().copied().collect(),
        }),
        (None, Some(release)) => Err(SelectError::DefinitionOnly { spec: release.spec.clone() }),
        (None, None) => Err(SelectError::UnknownRuntime { name: name.clone(), near: Vec::new() }),
    }
}

/// Returns the names that a user may have meant, the nearest first, at most three.
pub fn near_names<'a>(
    name: &RuntimeName,
    names: impl IntoIterator<Item = &'a RuntimeName>,
) -> Vec<RuntimeName> {
    let wanted = name.as_str();
    let mut near: Vec<(usize, &RuntimeName)> = names
        .into_iter()
        .filter_map(|known| {
            let distance = distance(wanted, known.as_str());
            let close = distance <= wanted.len().max(known.as_str().len()) / 3;
            let begins = known.as_str().starts_with(wanted) || wanted.starts_with(known.as_str());
            (close || begins).then_some((distance, known))
        })
        .collect();
    near.sort();
    near.into_iter().take(3).map(|(_, name)| name.clone()).collect()
}

/// The number of bytes to insert, delete, replace or swap with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl FromStr for Request {
    type Err = ParseRequestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, version) = match text.split_once('@') {
            Some((name, version)) => (name, version),
            None => (text, "latest"),
        };
        let name = name
            .parse()
            .map_err(|source| ParseRequestError::Name { text: text.to_owned(), source })?;
        let version =
            match version {
                "latest" => VersionRequest::Latest,
                version => VersionRequest::Exact(version.parse().map_err(|source| {
                    ParseRequestError::Version { text: text.to_owned(), source }
                })?),
            };
        Ok(Self { name, version })
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            VersionRequest::Latest => write!(f, "{}", self.name),
            VersionRequest::Exact(version) => write!(f, "{}@{version}", self.name),
        }
    }
}
