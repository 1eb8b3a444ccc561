//! What commands print with `--json`. The JSON Schemas in `schemas/` are generated from these types: a field is added,
//! never renamed or removed.

mod receipt;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

pub use self::receipt::{LimitsSet, Receipt, ReceiptRuntime, Used};

/// An installed runtime, in `rnx runtime list --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Installed {
    pub name: String,
    pub version: String,
    /// The folder of its `runtime.yml`.
    pub path: PathBuf,
    /// Who laid it: `rnx`, or a Joblet `daemon`.
    pub origin: Origin,
    /// The platform that it was built for, where that is known.
    pub platform: Option<String>,
    /// In RFC 3339.
    pub installed_at: Option<String>,
    pub unpacked_bytes: Option<u64>,
}

/// Who laid an install.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    Rnx,
    Daemon,
}

/// A published version, in `rnx runtime list --available --json` and `rnx runtime search --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Available {
    pub name: String,
    pub version: String,
    pub description: String,
    /// The registry's configured name, or what `--registry` said.
    pub registry: String,
    /// Those that it is built for; none if the registry has its definition alone.
    pub platforms: Vec<String>,
    /// Whether this version is installed.
    pub installed: bool,
}

/// A runtime, in `rnx runtime info --json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Info {
    pub name: String,
    pub version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// An SPDX expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// In RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub released_at: Option<String>,
    /// The commit that it was built from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_commit: Option<String>,
    /// Why it was withdrawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<String>,
    /// The install of this version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub installed: Option<InstalledInfo>,
    /// All installed versions of the runtime, the highest first.
    pub installed_versions: Vec<String>,
    /// The registry that has this version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry: Option<RegistryName>,
    /// All versions that the registry has, the newest first.
    pub versions: Vec<String>,
    /// What is built, by platform; none if the registry has the definition alone.
    pub artifacts: Vec<Artifact>,
    /// What is inside, with `--contents`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contents: Option<Vec<Component>>,
}

/// The install of a runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct InstalledInfo {
    pub path: PathBuf,
    pub origin: Origin,
    /// What is known of an install of this program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<InstalledRecord>,
}

/// Where an install came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct InstalledRecord {
    pub platform: String,
    /// The `registry.json` that named it.
    pub registry: String,
    /// The digest of the archive: `sha256:` and 64 digits.
    pub archive: String,
    pub unpacked_bytes: u64,
    pub entries: u64,
    /// In RFC 3339.
    pub installed_at: String,
}

/// A registry, as it is named and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RegistryName {
    pub name: String,
    /// Its `registry.json`.
    pub url: String,
}

/// A built runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Artifact {
    pub platform: String,
    /// The digest of the archive, 64 digits.
    pub sha256: String,
    /// What is downloaded.
    pub size_bytes: u64,
    /// What it takes when it is installed.
    pub unpacked_bytes: u64,
    pub entries: u64,
    /// How many pieces the archive is cut in; 1 where it is whole.
    pub parts: usize,
    /// The x86-64 level or Arm architecture that it needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requires_cpu: Option<String>,
    /// The lowest kernel version that it runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requires_kernel: Option<String>,
    /// Whether there is a list of what is inside.
    pub has_sbom: bool,
}

/// Something inside a runtime, as its SBOM names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Component {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where it comes from, for example `pypi` or `deb`; the type of its package URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// SPDX expressions or names.
    pub licenses: Vec<String>,
}

/// An installed runtime that a registry has newer, or that was withdrawn, in `rnx runtime outdated --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Outdated {
    pub name: String,
    /// The highest installed version.
    pub installed: String,
    /// The newest version for its platform, where that is higher.
    pub available: Option<String>,
    pub platform: String,
    /// The registry's configured name, or what `--registry` said.
    pub registry: String,
    /// Why the installed version was withdrawn, where it was.
    pub withdrawn: Option<String>,
}

/// A registry, in `rnx registry list --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Registry {
    pub name: String,
    /// As it is configured.
    pub url: String,
    /// The `registry.json` that is read.
    pub document: String,
    pub enabled: bool,
    /// Where its token comes from; never the token.
    pub auth: Option<String>,
    /// How many seconds ago its server last confirmed the copy that is kept; none if there is no copy.
    pub copy_age_s: Option<u64>,
    /// How many runtimes the copy has.
    pub runtimes: Option<usize>,
}

/// The folder of a runtime, in `rnx runtime path --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RuntimePath {
    pub name: String,
    pub version: String,
    /// The folder of its `runtime.yml`.
    pub path: PathBuf,
}

/// A runtime that was to be installed, in `rnx runtime install --json` and `rnx runtime update --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct InstallResult {
    pub name: String,
    pub version: String,
    pub platform: String,
    /// The folder of its `runtime.yml`.
    pub path: PathBuf,
    pub outcome: InstallOutcome,
}

/// How an install ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InstallOutcome {
    Installed,
    AlreadyInstalled,
}

/// An install that was looked at, in `rnx runtime verify --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Verified {
    pub name: String,
    pub version: String,
    /// What differed from what was unpacked.
    pub differences: Vec<String>,
    /// Whether that was put right.
    pub repaired: bool,
}

/// What was kept or removed, in `rnx runtime gc --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Cleaned {
    /// `NAME@VERSION`, or the path of a download.
    pub item: String,
    /// `install` or `download`.
    pub kind: &'static str,
    /// `keep` or `remove`.
    pub verdict: &'static str,
    pub reason: String,
    /// What the disk gets back.
    pub freed_bytes: u64,
}

/// Returns the JSON Schema of each command's output, by the name of its file.
pub fn schemas() -> Vec<(&'static str, Value)> {
    fn of<T: JsonSchema>() -> Value {
        schemars::schema_for!(T).to_value()
    }
    vec![
        ("rnx-runtime-list", of::<Vec<Installed>>()),
        ("rnx-runtime-available", of::<Vec<Available>>()),
        ("rnx-runtime-info", of::<Info>()),
        ("rnx-runtime-outdated", of::<Vec<Outdated>>()),
        ("rnx-runtime-path", of::<RuntimePath>()),
        ("rnx-runtime-install", of::<Vec<InstallResult>>()),
        ("rnx-runtime-verify", of::<Vec<Verified>>()),
        ("rnx-runtime-gc", of::<Vec<Cleaned>>()),
        ("rnx-registry-list", of::<Vec<Registry>>()),
        ("rnx-job-receipt", of::<Receipt>()),
        ("rnx-doctor", of::<Vec<crate::doctor::Check>>()),
    ]
}
