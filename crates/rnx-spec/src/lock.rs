//! `versions.lock`: what a build was made from and what it put into the tree, per platform.
//!
//! JSON, one package a line, everything sorted: a changed package is one changed line of a diff. It names no time and
//! no host. Described in `docs/formats/lock.md`.

mod changes;
mod text;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::changes::{Change, changes};
pub use self::text::{ParseLockError, parse, write};
use crate::{Digest, Platform};

/// The file's name in a definition's folder.
pub const FILE: &str = "versions.lock";

/// The version of the format that this program reads and writes.
pub const SCHEMA_VERSION: u32 = 1;

/// A whole lock file: one section per platform that was built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LockFile {
    pub platforms: BTreeMap<Platform, PlatformLock>,
}

/// What one build was made from, and what is inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlatformLock {
    pub base: LockedBase,
    /// The declared sources of this platform, by file name.
    pub sources: Vec<LockedSource>,
    /// Every package that the chroot's package manager knew when the script had ended, by name and architecture.
    pub distro: Vec<DistroPackage>,
    /// Every package of a language's package manager in the tree, by kind, name and path.
    pub language: Vec<LanguagePackage>,
}

/// The base rootfs that a build started from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedBase {
    /// Its name in `runtimes/bases.yaml`.
    pub name: String,
    /// `ID` of its `os-release`, for example `debian`; empty where it has none.
    pub os: String,
    /// `VERSION_ID` of its `os-release`, for example `12`; empty where it has none.
    pub os_version: String,
    /// The digest of its tree.
    pub digest: Digest,
}

/// A source that the manifest declares.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedSource {
    pub file: String,
    pub url: String,
    pub sha256: Digest,
}

/// The format of a distro's packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DistroFormat {
    Deb,
    Rpm,
}

/// A package of the distro.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistroPackage {
    pub name: String,
    /// The architecture as the distro spells it, for example `amd64`, `all`, `x86_64`, `noarch`.
    pub arch: String,
    pub version: String,
    pub format: DistroFormat,
    /// Whether files of it are in the tree; otherwise it was in the chroot alone.
    pub in_tree: bool,
    /// Of the `.deb`, as the archive's index states it; of an rpm's header, as the rpm states it. Absent where nothing
    /// in the chroot knew it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
}

/// Whose package a [`LanguagePackage`] is; spelt as the types of package URLs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LanguageKind {
    Pypi,
    Npm,
    Maven,
}

/// A package of a language's package manager.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LanguagePackage {
    pub kind: LanguageKind,
    /// The name; of Maven `group:artifact`.
    pub name: String,
    /// What tells of it, in the tree: the `.dist-info` or `.egg-info`, the `package.json`, the jar.
    pub path: String,
    pub version: String,
    /// Of what the package's installer wrote down: `RECORD` (or `METADATA`, `PKG-INFO`), `package.json`, or the jar.
    pub sha256: Digest,
    /// Of the file that was downloaded, where the installer told: `sha256:…` of a wheel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download: Option<Digest>,
}

impl DistroFormat {
    /// Returns the name, which is the type of package URLs too.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Rpm => "rpm",
        }
    }
}

impl LanguageKind {
    /// Returns the name, which is the type of package URLs too.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pypi => "pypi",
            Self::Npm => "npm",
            Self::Maven => "maven",
        }
    }
}

impl PlatformLock {
    /// Puts everything into the order of the file.
    pub fn sort(&mut self) {
        self.sources.sort();
        self.distro.sort();
        self.distro.dedup();
        self.language.sort();
    }

    /// Returns the packages in the tree as `(kind, name, version)`, in the order of the file.
    pub fn contents(&self) -> impl Iterator<Item = (&'static str, &str, &str)> {
        let distro = self
            .distro
            .iter()
            .filter(|package| package.in_tree)
            .map(|one| (one.format.as_str(), one.name.as_str(), one.version.as_str()));
        let language = self
            .language
            .iter()
            .map(|one| (one.kind.as_str(), one.name.as_str(), one.version.as_str()));
        distro.chain(language)
    }
}

impl fmt::Display for DistroPackage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} {}", self.name, self.arch, self.version)
    }
}

#[cfg(test)]
mod tests;
