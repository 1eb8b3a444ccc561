//! What changed between two artifacts: packages, files, sizes. Pure, but for [`load`].

pub mod load;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rnx_spec::Digest;
use rnx_spec::artifact::{EntryKind, FileIndex};
use serde::Serialize;

use crate::sbom::Sbom;

/// An artifact, as the files beside its archive describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// What it is called in messages.
    pub label: String,
    pub digest: Digest,
    pub index: FileIndex,
    /// Artifacts of old programs have none.
    pub sbom: Option<Sbom>,
}

/// Everything that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub packages: Vec<PackageChange>,
    pub files: Vec<FileChange>,
    pub size_bytes: Sizes,
    pub unpacked_bytes: Sizes,
    /// Whether the archives are the same bytes.
    pub identical: bool,
}

/// A size before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sizes {
    pub before: u64,
    pub after: u64,
}

/// The versions of a package before and after; none where it is not there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PackageChange {
    /// The type of its package URL: `deb`, `rpm`, `pypi`, `npm`, `maven`.
    pub kind: String,
    pub name: String,
    pub before: Vec<String>,
    pub after: Vec<String>,
}

/// One path that is new, gone, or otherwise; what stands there in words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FileChange {
    pub path: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// Returns what differs.
pub fn diff(before: &Artifact, after: &Artifact) -> Difference {
    let packed = |artifact: &Artifact| artifact.index.members.iter().map(|m| m.size_bytes).sum();
    let sizes = |size: fn(&Artifact) -> u64| Sizes { before: size(before), after: size(after) };
    Difference {
        packages: packages(before, after),
        files: files(&before.index, &after.index),
        size_bytes: Sizes { before: packed(before), after: packed(after) },
        unpacked_bytes: sizes(|artifact| unpacked(&artifact.index)),
        identical: before.digest == after.digest,
    }
}

fn unpacked(index: &FileIndex) -> u64 {
    let size = |kind: &EntryKind| match kind {
        EntryKind::File { size_bytes, .. } => *size_bytes,
        EntryKind::Dir | EntryKind::Symlink { .. } => 0,
    };
    index.entries.iter().map(|entry| size(&entry.kind)).sum()
}

type Versions<'a> = BTreeMap<(&'a str, &'a str), BTreeSet<&'a str>>;

fn versions(artifact: &Artifact) -> Versions<'_> {
    let mut versions = Versions::new();
    for component in artifact.sbom.iter().flat_map(|sbom| &sbom.components) {
        let purl = component.purl.as_deref().unwrap_or_default();
        let kind = purl.trim_start_matches("pkg:").split('/').next().unwrap_or_default();
        versions.entry((kind, &component.name)).or_default().insert(&component.version);
    }
    versions
}

fn packages(before: &Artifact, after: &Artifact) -> Vec<PackageChange> {
    let (was, is) = (versions(before), versions(after));
    let keys: BTreeSet<_> = was.keys().chain(is.keys()).collect();
    keys.into_iter()
        .filter(|key| was.get(*key) != is.get(*key))
        .map(|key| {
            let owned = |all: &Versions<'_>| -> Vec<String> {
                all.get(key).into_iter().flatten().map(ToString::to_string).collect()
            };
            PackageChange {
                kind: key.0.to_owned(),
                name: key.1.to_owned(),
                before: owned(&was),
                after: owned(&is),
            }
        })
        .collect()
}

fn files(before: &FileIndex, after: &FileIndex) -> Vec<FileChange> {
    fn entries(index: &FileIndex) -> BTreeMap<&str, &EntryKind> {
        index.entries.iter().map(|entry| (entry.path.as_str(), &entry.kind)).collect()
    }
    let (was, is) = (entries(before), entries(after));
    let paths: BTreeSet<&str> = was.keys().chain(is.keys()).copied().collect();
    paths
        .into_iter()
        .filter(|path| was.get(path) != is.get(path))
        .map(|path| FileChange {
            path: path.to_owned(),
            before: was.get(path).map(|kind| words(kind)),
            after: is.get(path).map(|kind| words(kind)),
        })
        .collect()
}

fn words(kind: &EntryKind) -> String {
    match kind {
        EntryKind::Dir => "folder".to_owned(),
        EntryKind::Symlink { target } => format!("link to {target}"),
        EntryKind::File { mode, size_bytes, sha256 } => {
            format!("{size_bytes} bytes, {mode}, {}", &sha256.hex()[..12])
        }
    }
}

impl fmt::Display for PackageChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, before, after } = self;
        match (&before[..], &after[..]) {
            ([], after) => write!(f, "+ {name} {} ({kind})", after.join(", ")),
            (before, []) => write!(f, "- {name} {} ({kind})", before.join(", ")),
            _ => write!(f, "  {name} {} → {} ({kind})", before.join(", "), after.join(", ")),
        }
    }
}

impl fmt::Display for FileChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, before, after } = self;
        match (before, after) {
            (None, Some(after)) => write!(f, "+ {path}: {after}"),
            (Some(before), None) => write!(f, "- {path}: {before}"),
            (before, after) => {
                let word = |side: &Option<String>| side.clone().unwrap_or_default();
                write!(f, "  {path}: {} → {}", word(before), word(after))
            }
        }
    }
}
