//! The SBOM of one artifact: CycloneDX 1.6 from what the build told and the licences in the tree.
//!
//! The same artifact gives the same bytes: there is no time in it, and the serial number comes from the archive's digest.

pub mod licenses;
pub mod purl;

use std::collections::BTreeMap;

use rnx_spec::lock::{DistroPackage, LanguagePackage, LockedSource};
use rnx_spec::manifest::Manifest;
use rnx_spec::{Digest, Platform};
use serde::{Deserialize, Serialize};

use crate::lock::Told;

/// `specVersion` of what is written.
const SPEC_VERSION: &str = "1.6";

/// A CycloneDX document; only what is used of the format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sbom {
    pub bom_format: String,
    pub spec_version: String,
    pub serial_number: String,
    pub version: u32,
    pub metadata: Metadata,
    pub components: Vec<Component>,
}

/// What the document is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    pub component: Component,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<Property>,
}

/// A name and a value of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Property {
    pub name: String,
    pub value: String,
}

/// The runtime itself, or one package in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Component {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(rename = "bom-ref")]
    pub bom_ref: String,
    pub name: String,
    pub version: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hashes: Vec<Hash>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub licenses: Vec<License>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purl: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub external_references: Vec<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

/// The digest of what was downloaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hash {
    pub alg: String,
    pub content: String,
}

/// A licence by SPDX identifier or by the name its author gave, or a whole SPDX expression.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum License {
    License(Named),
    Expression(String),
}

/// How a licence is named.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Named {
    Id(String),
    Name(String),
}

/// Where something comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    #[serde(rename = "type")]
    pub kind: String,
    pub url: String,
    pub hashes: Vec<Hash>,
}

/// Where in the archive a package was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    pub occurrences: Vec<Occurrence>,
}

/// One place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occurrence {
    pub location: String,
}

/// What an SBOM is made from.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub manifest: &'a Manifest,
    pub platform: Platform,
    pub told: &'a Told,
    /// The licences of distro packages by name, as the tree's copyright notices give them.
    pub licenses: &'a BTreeMap<String, Vec<License>>,
    pub archive: Digest,
}

/// Returns the document.
pub fn document(subject: &Subject<'_>) -> Sbom {
    let base = &subject.told.lock.base;
    let property = |name: &str, value: &str| Property {
        name: format!("joblet:{name}"),
        value: value.to_owned(),
    };
    let properties = vec![
        property("platform", &subject.platform.to_string()),
        property("base", &base.name),
        property("base:digest", &base.digest.to_string()),
    ];
    let distro = subject.told.lock.distro.iter().filter(|package| package.in_tree);
    let mut components: Vec<Component> = distro.map(|one| deb_or_rpm(one, subject)).collect();
    components.extend(subject.told.languages.iter().map(|found| {
        let licenses = found.license.as_deref().map(licenses::stated).unwrap_or_default();
        language(&found.package, licenses)
    }));
    Sbom {
        bom_format: "CycloneDX".to_owned(),
        spec_version: SPEC_VERSION.to_owned(),
        serial_number: serial_number(subject.archive),
        version: 1,
        metadata: Metadata { component: runtime(subject), properties },
        components,
    }
}

fn runtime(subject: &Subject<'_>) -> Component {
    let Manifest { name, version, description, license, .. } = subject.manifest;
    let source = |source: &LockedSource| Reference {
        kind: "distribution".to_owned(),
        url: source.url.clone(),
        hashes: vec![sha256(source.sha256)],
    };
    Component {
        kind: "container".to_owned(),
        bom_ref: format!("{name}@{version}"),
        name: name.to_string(),
        version: version.to_string(),
        description: description.clone(),
        hashes: vec![sha256(subject.archive)],
        licenses: license.iter().cloned().map(License::Expression).collect(),
        purl: None,
        external_references: subject.told.lock.sources.iter().map(source).collect(),
        evidence: None,
    }
}

fn deb_or_rpm(package: &DistroPackage, subject: &Subject<'_>) -> Component {
    let purl = purl::distro(package, &subject.told.lock.base);
    let own = subject.told.observed.packages.iter().find(|one| one.name == package.name);
    let licenses = match own.and_then(|one| one.license.as_deref()) {
        Some(license) => licenses::stated(license),
        None => subject.licenses.get(&package.name).cloned().unwrap_or_default(),
    };
    Component {
        kind: "library".to_owned(),
        bom_ref: purl.clone(),
        name: package.name.clone(),
        version: package.version.clone(),
        description: String::new(),
        hashes: package.sha256.map(sha256).into_iter().collect(),
        licenses,
        purl: Some(purl),
        external_references: Vec::new(),
        evidence: None,
    }
}

fn language(package: &LanguagePackage, licenses: Vec<License>) -> Component {
    let purl = purl::language(package);
    let location = package.path.clone();
    Component {
        kind: "library".to_owned(),
        // The same version may lie in two places: packages bring copies of others along.
        bom_ref: format!("{purl}#{location}"),
        name: package.name.clone(),
        version: package.version.clone(),
        description: String::new(),
        hashes: package.download.map(sha256).into_iter().collect(),
        licenses,
        purl: Some(purl),
        external_references: Vec::new(),
        evidence: Some(Evidence { occurrences: vec![Occurrence { location }] }),
    }
}

fn sha256(digest: Digest) -> Hash {
    Hash { alg: "SHA-256".to_owned(), content: digest.hex() }
}

/// A UUID of version 8 (RFC 9562: made as its maker likes) from the archive's digest.
fn serial_number(archive: Digest) -> String {
    let hex = archive.hex();
    format!(
        "urn:uuid:{}-{}-8{}-8{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..32]
    )
}
