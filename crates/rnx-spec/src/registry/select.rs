//! Which release, and which of its artifacts, a request means.

use std::fmt;

use super::request::{Request, VersionRequest};
use super::{Artifact, Registry, Release, Yank};
use crate::{Platform, RuntimeName, RuntimeSpec, Version};

/// How many versions a message lists at most.
pub const LISTED_MAX: usize = 10;

/// A release and the artifact of it that a host can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selected<'a> {
    pub release: &'a Release,
    pub platform: Platform,
    pub artifact: &'a Artifact,
    /// Why it was withdrawn: such a version is selected only where it is asked for by its number.
    pub yank: Option<&'a Yank>,
}

/// A registry has nothing that answers a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    #[error("the registry has no runtime `{name}`")]
    UnknownRuntime { name: RuntimeName, near: Vec<RuntimeName> },
    #[error("the registry has no version {} of `{}`; it has {}", request.version, request.name, some(available))]
    UnknownVersion { request: Request, available: Vec<Version> },
    #[error("`{spec}` was withdrawn: {}", yank.reason)]
    Yanked { spec: RuntimeSpec, yank: Box<Yank> },
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
    if let VersionRequest::Exact(version) = request.version
        && let Some(yank) = registry.yanked().get(name).and_then(|yanked| yanked.get(&version))
    {
        return withdrawn(RuntimeSpec { name: name.clone(), version }, yank, platforms);
    }
    let Some(versions) = registry.runtimes().get(name).filter(|versions| !versions.is_empty())
    else {
        if registry.yanked().contains_key(name) {
            return Err(SelectError::AllYanked { name: name.clone() });
        }
        let near = near_names(name, registry.runtimes().keys());
        return Err(SelectError::UnknownRuntime { name: name.clone(), near });
    };
    let asked = |version: &Version| request.version.allows(*version);
    let asked: Vec<&Release> =
        versions.iter().rev().filter(|(v, _)| asked(v)).map(|(_, release)| release).collect();
    let usable = asked.iter().find_map(|release| usable(release, platforms));
    let newest = asked.iter().find(|release| !release.artifacts.is_empty()).or(asked.first());
    match (usable, newest) {
        (Some(selected), _) => Ok(selected),
        (None, Some(release)) => Err(unusable(release, platforms)),
        (None, None) => Err(SelectError::UnknownVersion {
            request: request.clone(),
            available: versions.keys().rev().copied().collect(),
        }),
    }
}

/// Selects a version that was withdrawn, if the registry kept what it was.
fn withdrawn<'a>(
    spec: RuntimeSpec,
    yank: &'a Yank,
    platforms: &[Platform],
) -> Result<Selected<'a>, SelectError> {
    let Some(release) = &yank.release else {
        return Err(SelectError::Yanked { spec, yank: Box::new(yank.clone()) });
    };
    let selected = usable(release, platforms).ok_or_else(|| unusable(release, platforms))?;
    Ok(Selected { yank: Some(yank), ..selected })
}

fn usable<'a>(release: &'a Release, platforms: &[Platform]) -> Option<Selected<'a>> {
    platforms.iter().find_map(|&platform| {
        let artifact = release.artifacts.get(&platform)?;
        Some(Selected { release, platform, artifact, yank: None })
    })
}

fn unusable(release: &Release, platforms: &[Platform]) -> SelectError {
    let spec = release.spec.clone();
    if release.artifacts.is_empty() {
        return SelectError::DefinitionOnly { spec };
    }
    SelectError::NoArtifact {
        spec,
        platforms: platforms.to_vec(),
        available: release.artifacts.keys().copied().collect(),
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

fn some(versions: &[Version]) -> String {
    match versions.len().checked_sub(LISTED_MAX) {
        Some(more @ 1..) => format!("{} and {more} more", list(&versions[..LISTED_MAX])),
        _ => list(versions),
    }
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
