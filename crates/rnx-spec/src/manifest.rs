//! `runtimes/<name>/manifest.yaml`: what an author says about a runtime.

mod bump;
mod document;
mod entries;
mod lower;
mod read;
mod report;
mod rules;
mod syntax;

use std::collections::BTreeMap;

pub use self::bump::{Bump, BumpError, with_version};
use crate::diagnostic::{Parsed, Span, codes};
use crate::manifest::report::Report;
use crate::manifest::syntax::Value;
use crate::{Arch, Digest, Distro, Platform, RuntimeName, RuntimeSpec, SourceUrl, Version};

/// A manifest that passed every check that needs no other file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub name: RuntimeName,
    pub version: Version,
    pub description: String,
    pub platforms: Vec<Platform>,
    /// Documentation of what is inside, for example `numpy==1.26.2`.
    pub packages: Vec<String>,
    pub license: Option<String>,
    pub homepage: Option<String>,
    pub base: BaseChoice,
    /// These distros are served by another distro's build of the same architecture.
    pub reuse: BTreeMap<Distro, Distro>,
    pub sources: Vec<Source>,
    pub environment: BTreeMap<String, String>,
    pub tests: Vec<RuntimeTest>,
    pub limits: Limits,
    pub network: BuildNetwork,
    /// Packages whose versions differ between the platforms, each with the reason.
    pub parity: BTreeMap<String, String>,
}

/// Which base rootfs a build starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseChoice {
    /// The default base of each platform, from `bases.yaml`.
    Default,
    /// One base for all platforms.
    Named(String),
    /// A base per distro; the default for those not listed.
    PerDistro(BTreeMap<Distro, String>),
}

/// A file that is fetched and verified before a build, and stands in `/joblet/sources`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub url: SourceUrl,
    pub sha256: Digest,
    /// The exact size, where the manifest names it.
    pub size_bytes: Option<u64>,
    /// The name in `/joblet/sources`; the URL's last segment by default.
    pub file: String,
    /// The platforms that need it; all if empty.
    pub platforms: Vec<Platform>,
}

/// A command that is run inside the finished runtime, by the job runner itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeTest {
    pub name: String,
    /// The argument vector; never empty.
    pub run: Vec<String>,
    /// A regular expression that standard output must match, trailing newlines removed.
    pub stdout: Option<String>,
    /// The expected exit status; 0 by default.
    pub status: u8,
    pub needs: Option<Need>,
    /// How long the test may take; 300 seconds by default.
    pub timeout_s: u64,
}

/// What a test needs that not every host has; it is skipped by name there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Gpu,
}

/// Size and time budgets; over budget fails the build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub unpacked_bytes_max: Option<u64>,
    pub archive_bytes_max: Option<u64>,
    /// How long the setup script may take; 30 minutes by default.
    pub build_minutes_max: u64,
    /// How much disk the chroot may take while the setup script runs; 32 GiB by default.
    pub build_disk_bytes_max: u64,
    /// How many processes and threads the setup script may have at once; 8192 by default.
    pub build_processes_max: u64,
}

/// The network that a setup script sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildNetwork {
    /// The build host's.
    Host,
    /// None: `network: none` in the manifest.
    None,
}

impl Manifest {
    /// Returns `name@version`.
    pub fn spec(&self) -> RuntimeSpec {
        RuntimeSpec { name: self.name.clone(), version: self.version }
    }

    /// Returns the platform whose build serves `platform`, following `reuse`.
    pub fn built_as(&self, platform: Platform) -> Platform {
        let distro = self.reuse.get(&platform.distro).copied().unwrap_or(platform.distro);
        Platform { distro, arch: platform.arch }
    }

    /// Returns the sources that a build for `platform` needs.
    pub fn sources_for(&self, platform: Platform) -> impl Iterator<Item = &Source> {
        self.sources
            .iter()
            .filter(move |s| s.platforms.is_empty() || s.platforms.contains(&platform))
    }

    /// Returns the architectures among the manifest's platforms.
    pub fn archs(&self) -> Vec<Arch> {
        let mut archs: Vec<Arch> = self.platforms.iter().map(|p| p.arch).collect();
        archs.sort_unstable();
        archs.dedup();
        archs
    }
}

/// Reads a manifest and reports everything that is wrong with it.
///
/// Total: any text gives a value or at least one error, never a panic.
pub fn parse(text: &str) -> Parsed<Manifest> {
    let mut report = Report::new(text);
    let root = syntax::parse(text, &mut report);
    if root.is_none() && !report.has_errors() {
        report.file_error(codes::MANIFEST_EMPTY, "the manifest is empty");
    }
    let value = root.and_then(|root| lower::lower(&root, &mut report));
    let mut diagnostics = report.diagnostics;
    diagnostics.sort_by_key(|d| d.span.as_ref().map_or(usize::MAX, |Span(range)| range.start));
    Parsed { value, diagnostics }
}

/// Returns the JSON Schema of manifests.
pub fn schema() -> serde_json::Value {
    document::schema()
}

/// Returns where a value stands: keys from the root, the last of which may be an item of a list.
///
/// `locate(text, &["platforms", "rhel-amd64"])` is the place of that item, quotes included.
pub fn locate(text: &str, path: &[&str]) -> Option<Span> {
    let mut node = &syntax::parse(text, &mut Report::new(text))?;
    for step in path {
        node = match &node.value {
            Value::Map(entries) => {
                entries.iter().find(|(key, _)| key.text == *step).map(|(_, node)| node)?
            }
            Value::List(items) => items.iter().find(
                |item| matches!(&item.value, Value::Text(t) | Value::Plain(_, t) if t == step),
            )?,
            Value::Text(_) | Value::Plain(..) => return None,
        };
    }
    Some(Span(node.span.clone()))
}
