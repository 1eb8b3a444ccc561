//! `registry.json`: which runtimes are published, and where their bytes are.
//!
//! A [`Registry`] keeps the document as it was read beside the typed view of it. Changes are made in the document, so
//! that what this program does not know survives a rewrite and what it does not change stays the same bytes.

mod check;
mod form;
mod index;
mod ledger;
mod merge;
mod request;
mod select;
mod v1;
mod yank;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub use self::check::check;
pub use self::index::{Index, IndexedRelease, IndexedRuntime, ParseIndexError, Places};
pub use self::ledger::Ledger;
pub use self::merge::{InsertError, MergeError, insert, merge};
pub use self::request::{
    ParseRequestError, ParseVersionRequestError, Request, VersionRange, VersionRequest,
};
pub use self::select::{LISTED_MAX, SelectError, Selected, near_names, select};
pub use self::v1::{ParseRegistryError, parse, write};
pub use self::yank::{YankError, undo_yank, yank};
use crate::source::UrlReference;
use crate::{Digest, Platform, RuntimeName, RuntimeSpec, Version};

/// The top-level `version` of the only format there is.
pub const FORMAT_VERSION: &str = "1";

/// A registry: the document, and what this program understands of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Registry {
    document: Map<String, Value>,
    runtimes: BTreeMap<RuntimeName, BTreeMap<Version, Release>>,
    yanked: BTreeMap<RuntimeName, BTreeMap<Version, Yank>>,
    unreadable: Vec<Unreadable>,
}

/// One published version of a runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    pub spec: RuntimeSpec,
    pub description: String,
    /// The archive of the definition, which is what existing readers download.
    pub definition: Definition,
    /// The platforms it is for, in the author's order; those that this program does not know are left out.
    pub platforms: Vec<Platform>,
    /// When it was published, in RFC 3339.
    pub released_at: Option<String>,
    pub source_commit: Option<String>,
    pub license: Option<String>,
    /// The built runtimes; empty in registries of old tools.
    pub artifacts: BTreeMap<Platform, Artifact>,
}

/// The archive of a definition: manifest, scripts, lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    pub url: UrlReference,
    pub digest: Option<Digest>,
    pub size_bytes: Option<u64>,
}

/// A built runtime for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    pub url: UrlReference,
    /// The same bytes, cut; empty where the archive is one file.
    pub parts: Vec<Part>,
    pub digest: Digest,
    pub size_bytes: u64,
    pub unpacked_bytes: u64,
    pub entries: u64,
    pub files: Option<SideFile>,
    pub sbom: Option<SideFile>,
    pub requires: Requires,
}

/// One piece of an archive that is too large for one release asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub url: UrlReference,
    pub digest: Digest,
    pub size_bytes: u64,
}

/// A file beside an archive: its index or its SBOM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SideFile {
    pub url: UrlReference,
    pub digest: Digest,
}

/// What a host needs in order to run an artifact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requires {
    /// The x86-64 level or the Arm architecture, for example `x86-64-v2`.
    pub cpu: Option<String>,
    /// The lowest kernel version, for example `4.18`.
    pub kernel: Option<String>,
}

/// A version that was withdrawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Yank {
    pub reason: String,
    pub replacement: Option<Version>,
    /// What it was, where the registry keeps it.
    pub release: Option<Release>,
}

/// An entry that this program does not understand. It is kept when the registry is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Where it stands, for example `runtimes/python/latest`.
    pub place: String,
    pub reason: String,
}

impl Registry {
    /// Returns a registry without runtimes. `updated_at` is in RFC 3339.
    pub fn empty(updated_at: &str) -> Result<Self, ParseRegistryError> {
        let document = serde_json::json!({
            "_comment": "AUTO-GENERATED FILE - DO NOT EDIT MANUALLY",
            "version": FORMAT_VERSION,
            "updated_at": updated_at,
            "runtimes": {},
            "yanked": {},
        });
        v1::from_value(document)
    }

    /// Returns every published version by name.
    pub fn runtimes(&self) -> &BTreeMap<RuntimeName, BTreeMap<Version, Release>> {
        &self.runtimes
    }

    /// Returns the withdrawn versions by name.
    pub fn yanked(&self) -> &BTreeMap<RuntimeName, BTreeMap<Version, Yank>> {
        &self.yanked
    }

    /// Returns the entries that this program does not understand.
    pub fn unreadable(&self) -> &[Unreadable] {
        &self.unreadable
    }

    /// Returns one published version.
    pub fn get(&self, spec: &RuntimeSpec) -> Option<&Release> {
        self.runtimes.get(&spec.name)?.get(&spec.version)
    }

    /// Returns when the registry was last changed, as it is written in the document.
    pub fn updated_at(&self) -> &str {
        self.document.get("updated_at").and_then(Value::as_str).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
