//! `runtimes/bases.yaml`: where the base root filesystems of builds come from.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::diagnostic::codes::{BASES_SOURCE, BASES_UNKNOWN_DEFAULT, BASES_UNREADABLE};
use crate::diagnostic::{Code, Diagnostic, Parsed, Severity, Span};
use crate::manifest::BaseChoice;
use crate::{Arch, Digest, Platform};

/// The bases that builds start from, and the default of each platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bases {
    pub bases: BTreeMap<String, Base>,
    pub defaults: BTreeMap<Platform, String>,
}

/// One base: a source per architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    pub by_arch: BTreeMap<Arch, BaseSource>,
}

/// How a base rootfs is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseSource {
    /// From the packages of a Debian suite.
    Debootstrap {
        suite: String,
        /// The tool's own default mirror if `None`.
        mirror: Option<String>,
        /// `main` if empty.
        components: Vec<String>,
        /// A timestamp of a snapshot archive, for example `20260901T000000Z`.
        snapshot: Option<String>,
        /// The package selection, for example `minbase`; `apt`, the smallest that can install packages, if `None`.
        variant: Option<String>,
        /// Packages besides those of the variant.
        include: Vec<String>,
    },
    /// From a tar archive: a URL, or a path relative to the repository.
    Rootfs { url: String, sha256: Digest },
    /// From an OCI image, pulled by its digest.
    Oci { image: String, digest: Digest },
}

/// Why no base serves a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChooseBaseError {
    #[error("`runtimes/bases.yaml` has no default base for `{platform}`")]
    NoDefault { platform: Platform },
    #[error("`runtimes/bases.yaml` has no base `{name}`; it has {}", list(known))]
    Unknown { name: String, known: Vec<String> },
    #[error("the base `{name}` has no source for `{}`", arch.as_str())]
    NoArch { name: String, arch: Arch },
}

impl Bases {
    /// Returns the name and the source of the base that a build for `platform` starts from.
    pub fn for_platform(
        &self,
        choice: &BaseChoice,
        platform: Platform,
    ) -> Result<(&str, &BaseSource), ChooseBaseError> {
        let named = match choice {
            BaseChoice::Default => None,
            BaseChoice::Named(name) => Some(name),
            BaseChoice::PerDistro(names) => names.get(&platform.distro),
        };
        let name = named
            .or_else(|| self.defaults.get(&platform))
            .ok_or(ChooseBaseError::NoDefault { platform })?;
        let (name, base) = self.bases.get_key_value(name).ok_or_else(|| {
            let known = self.bases.keys().cloned().collect();
            ChooseBaseError::Unknown { name: name.clone(), known }
        })?;
        let source = base
            .by_arch
            .get(&platform.arch)
            .ok_or_else(|| ChooseBaseError::NoArch { name: name.clone(), arch: platform.arch })?;
        Ok((name, source))
    }
}

/// Returns the JSON Schema of `runtimes/bases.yaml`.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(BasesDocument).to_value()
}

/// Reads `runtimes/bases.yaml` and reports what is wrong with it.
pub fn parse(text: &str) -> Parsed<Bases> {
    let document: BasesDocument = match serde_saphyr::from_str(text) {
        Ok(document) => document,
        Err(error) => return unreadable(text, &error),
    };
    let mut diagnostics = Vec::new();
    for (platform, name) in &document.defaults {
        if !document.bases.contains_key(name) {
            let message = format!("the default of `{platform}` is `{name}`, which is no base here");
            diagnostics.push(error(BASES_UNKNOWN_DEFAULT, message, find(text, name)));
        }
    }
    let mut bases = BTreeMap::new();
    for (name, base) in document.bases {
        match base.resolve() {
            Ok(base) => {
                bases.insert(name, base);
            }
            Err(why) => {
                let message = format!("the base `{name}` {why}");
                diagnostics.push(error(BASES_SOURCE, message, find(text, &name)));
            }
        }
    }
    let value = diagnostics.is_empty().then_some(Bases { bases, defaults: document.defaults });
    Parsed { value, diagnostics }
}

/// `runtimes/bases.yaml`: where the base root filesystems of builds come from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Joblet runtime bases")]
struct BasesDocument {
    /// The bases by name.
    #[schemars(with = "BTreeMap<String, BaseDocument>")]
    bases: BTreeMap<String, BaseDocument>,
    /// The base of each platform whose runtimes name none.
    #[schemars(with = "BTreeMap<String, String>")]
    #[serde(default)]
    defaults: BTreeMap<Platform, String>,
}

/// One base: a source for all architectures, or one per architecture.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BaseDocument {
    debootstrap: Option<DebootstrapDocument>,
    rootfs: Option<RootfsDocument>,
    oci: Option<OciDocument>,
    amd64: Option<SourceDocument>,
    arm64: Option<SourceDocument>,
}

/// Exactly one of the three.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SourceDocument {
    debootstrap: Option<DebootstrapDocument>,
    rootfs: Option<RootfsDocument>,
    oci: Option<OciDocument>,
}

/// A Debian suite, installed by `mmdebstrap`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DebootstrapDocument {
    suite: String,
    /// The tool's own default mirror if absent.
    mirror: Option<String>,
    #[serde(default)]
    components: Vec<String>,
    /// A timestamp of a snapshot archive, for example `20260901T000000Z`.
    snapshot: Option<String>,
    /// The package selection, for example `minbase`.
    variant: Option<String>,
    /// Packages besides those of the variant.
    #[serde(default)]
    include: Vec<String>,
}

/// A tar archive of a root filesystem.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RootfsDocument {
    /// A URL, or a path relative to the repository.
    url: String,
    #[schemars(with = "String", regex(pattern = "^(sha256:)?[0-9a-fA-F]{64}$"))]
    sha256: Digest,
}

/// An OCI image, pulled by digest.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OciDocument {
    /// For example `docker.io/library/debian`.
    image: String,
    #[schemars(with = "String", regex(pattern = "^(sha256:)?[0-9a-fA-F]{64}$"))]
    digest: Digest,
}

impl BaseDocument {
    fn resolve(self) -> Result<Base, String> {
        let mut by_arch = BTreeMap::new();
        let common =
            SourceDocument { debootstrap: self.debootstrap, rootfs: self.rootfs, oci: self.oci };
        let common = common.resolve()?;
        for (arch, own) in [(Arch::Amd64, self.amd64), (Arch::Arm64, self.arm64)] {
            let own = match own {
                Some(source) => Some(
                    source.resolve()?.ok_or_else(|| format!("has an empty `{}`", arch.as_str()))?,
                ),
                None => common.clone(),
            };
            by_arch.extend(own.map(|source| (arch, source)));
        }
        if by_arch.is_empty() {
            return Err("has no source: write `debootstrap`, `rootfs` or `oci`".to_owned());
        }
        Ok(Base { by_arch })
    }
}

impl SourceDocument {
    fn resolve(self) -> Result<Option<BaseSource>, String> {
        let debootstrap = self.debootstrap.map(|d| BaseSource::Debootstrap {
            suite: d.suite,
            mirror: d.mirror,
            components: d.components,
            snapshot: d.snapshot,
            variant: d.variant,
            include: d.include,
        });
        let rootfs = self.rootfs.map(|r| BaseSource::Rootfs { url: r.url, sha256: r.sha256 });
        let oci = self.oci.map(|o| BaseSource::Oci { image: o.image, digest: o.digest });
        let mut sources = [debootstrap, rootfs, oci].into_iter().flatten();
        let first = sources.next();
        if sources.next().is_some() {
            return Err("has more than one of `debootstrap`, `rootfs` and `oci`".to_owned());
        }
        Ok(first)
    }
}

fn unreadable(text: &str, cause: &serde_saphyr::Error) -> Parsed<Bases> {
    let span = cause.location().and_then(|location| {
        let start = usize::try_from(location.span().byte_offset()?).ok()?;
        let end = start.saturating_add(usize::try_from(location.span().byte_len()?).ok()?);
        text.get(start..end).map(|_| Span(start..end))
    });
    let message = cause.without_snippet().to_string();
    Parsed { value: None, diagnostics: vec![error(BASES_UNREADABLE, message, span)] }
}

fn error(code: Code, message: String, span: Option<Span>) -> Diagnostic {
    Diagnostic { code, severity: Severity::Error, message, span, help: None, fix: None }
}

/// Returns where `name` stands: near enough for a file of a few lines.
fn find(text: &str, name: &str) -> Option<Span> {
    text.rfind(name).map(|start| Span(start..start + name.len()))
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
