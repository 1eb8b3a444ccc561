//! Format 1 of `registry.json`: reading, and deterministic writing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::form;
use super::{
    Artifact, Definition, FORMAT_VERSION, Part, Registry, Release, Requires, SideFile, Unreadable,
    Yank,
};
use crate::source::UrlReference;
use crate::{Digest, RuntimeName, RuntimeSpec, Version};

/// Bytes that are no registry.
#[derive(Debug, thiserror::Error)]
pub enum ParseRegistryError {
    #[error("not valid JSON")]
    Json(#[source] serde_json::Error),
    #[error("the document is not a JSON object")]
    NotAnObject,
    #[error("`{field}` is missing or is not {expected}")]
    Field { field: &'static str, expected: &'static str },
    #[error("the registry has format {found}, this program reads format {FORMAT_VERSION}")]
    Format { found: String },
    #[error(
        "`updated_at` is `{found}`, which is not an RFC 3339 time such as `2026-01-31T10:00:00Z`"
    )]
    UpdatedAt { found: String },
}

/// A version object, as readers of the format decode it.
#[derive(Debug, Deserialize, Serialize)]
struct Entry {
    version: Version,
    #[serde(default)]
    description: String,
    download_url: UrlReference,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    checksum: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(default)]
    platforms: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    released_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source_commit: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    license: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    artifacts: BTreeMap<String, ArtifactEntry>,
}

#[derive(Debug, Deserialize, Serialize)]
struct ArtifactEntry {
    url: UrlReference,
    #[serde(default)]
    parts: Vec<PartEntry>,
    #[serde(with = "hex_digest")]
    sha256: Digest,
    size_bytes: u64,
    unpacked_bytes: u64,
    entries: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    files: Option<SideFileEntry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sbom: Option<SideFileEntry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requires: Option<RequiresEntry>,
}

#[derive(Debug, Deserialize, Serialize)]
struct PartEntry {
    url: UrlReference,
    #[serde(with = "hex_digest")]
    sha256: Digest,
    size_bytes: u64,
}

#[derive(Debug, Deserialize, Serialize)]
struct SideFileEntry {
    url: UrlReference,
    #[serde(with = "hex_digest")]
    sha256: Digest,
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct RequiresEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cpu: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kernel: Option<String>,
}

#[derive(Debug, Deserialize)]
struct YankEntry {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    replacement: Option<Version>,
    #[serde(default)]
    entry: Value,
}

/// Fields named `sha256` hold the digits alone.
mod hex_digest {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::Digest;

    pub(super) fn serialize<S: Serializer>(digest: &Digest, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&digest.hex())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(text: D) -> Result<Digest, D::Error> {
        Digest::deserialize(text)
    }
}

/// Reads a registry. Entries that cannot be understood are listed in [`Registry::unreadable`], the rest is usable.
pub fn parse(bytes: &[u8]) -> Result<Registry, ParseRegistryError> {
    from_value(serde_json::from_slice(bytes).map_err(ParseRegistryError::Json)?)
}

/// Writes a registry: sorted keys, two spaces, a final newline. The same registry gives the same bytes.
pub fn write(registry: &Registry) -> String {
    format!("{}\n", form::written(&Value::Object(registry.document.clone()), 0))
}

pub(super) fn from_value(document: Value) -> Result<Registry, ParseRegistryError> {
    let Value::Object(document) = document else { return Err(ParseRegistryError::NotAnObject) };
    match document.get("version") {
        Some(Value::String(version)) if version == FORMAT_VERSION => {}
        Some(found @ (Value::String(_) | Value::Number(_))) => {
            return Err(ParseRegistryError::Format { found: found.to_string() });
        }
        _ => {
            return Err(ParseRegistryError::Field {
                field: "version",
                expected: "the string \"1\"",
            });
        }
    }
    match document.get("updated_at") {
        Some(Value::String(time)) if is_rfc3339(time) => {}
        Some(Value::String(time)) => {
            return Err(ParseRegistryError::UpdatedAt { found: time.clone() });
        }
        _ => return Err(ParseRegistryError::Field { field: "updated_at", expected: "a string" }),
    }
    let mut registry = Registry {
        document,
        runtimes: BTreeMap::new(),
        yanked: BTreeMap::new(),
        unreadable: Vec::new(),
    };
    let mut unreadable = Vec::new();
    for (name, version, place, value) in members(&registry.document, "runtimes", &mut unreadable)? {
        match release(&name, version, value) {
            Ok(release) => {
                let versions = registry.runtimes.entry(name).or_default();
                versions.insert(release.spec.version, release);
            }
            Err(reason) => unreadable.push(Unreadable { place, reason }),
        }
    }
    if registry.document.contains_key("yanked") {
        for (name, version, place, value) in members(&registry.document, "yanked", &mut unreadable)?
        {
            match YankEntry::deserialize(value) {
                Ok(YankEntry { reason, replacement, entry }) => {
                    // A registry may keep nothing of what it withdrew.
                    let release = release(&name, version, &entry).ok();
                    let versions = registry.yanked.entry(name).or_default();
                    versions.insert(version, Yank { reason, replacement, release });
                }
                Err(error) => unreadable.push(Unreadable { place, reason: error.to_string() }),
            }
        }
    }
    registry.unreadable = unreadable;
    Ok(registry)
}

/// Returns the JSON object of a release, as new tools write it.
pub(super) fn to_value(release: &Release) -> Value {
    let artifacts = release
        .artifacts
        .iter()
        .map(|(platform, artifact)| (platform.to_string(), artifact_entry(artifact)))
        .collect();
    let entry = Entry {
        version: release.spec.version,
        description: release.description.clone(),
        download_url: release.definition.url.clone(),
        checksum: release.definition.digest.map(|d| d.to_string()).unwrap_or_default(),
        size: release.definition.size_bytes,
        platforms: release.platforms.iter().map(ToString::to_string).collect(),
        released_at: release.released_at.clone(),
        source_commit: release.source_commit.clone(),
        license: release.license.clone(),
        artifacts,
    };
    // Maps with string keys and plain values always have a JSON form.
    serde_json::to_value(entry).unwrap_or(Value::Null)
}

type Member<'a> = (RuntimeName, Version, String, &'a Value);

/// Lists the version objects under `section`, of which a flat entry is one.
fn members<'a>(
    document: &'a Map<String, Value>,
    section: &'static str,
    unreadable: &mut Vec<Unreadable>,
) -> Result<Vec<Member<'a>>, ParseRegistryError> {
    let Some(Value::Object(names)) = document.get(section) else {
        return Err(ParseRegistryError::Field { field: section, expected: "an object" });
    };
    let mut found = Vec::new();
    for (name, value) in names {
        let place = format!("{section}/{name}");
        let name: RuntimeName = match name.parse() {
            Ok(name) => name,
            Err(error) => {
                unreadable.push(Unreadable { place, reason: error.to_string() });
                continue;
            }
        };
        let Value::Object(versions) = value else {
            unreadable.push(Unreadable { place, reason: "not an object".to_owned() });
            continue;
        };
        if let Some(version) = flat_version(versions) {
            match version.parse() {
                Ok(version) => found.push((name, version, place, value)),
                Err(error) => {
                    let reason = format!("`version`: {error}");
                    unreadable.push(Unreadable { place, reason });
                }
            }
            continue;
        }
        for (version, value) in versions {
            let place = format!("{place}/{version}");
            match version.parse() {
                Ok(version) => found.push((name.clone(), version, place, value)),
                Err(error) => {
                    unreadable.push(Unreadable { place, reason: format!("{error}") });
                }
            }
        }
    }
    Ok(found)
}

/// Returns the version of an entry in the flat form, which holds the version's fields themselves.
pub(super) fn flat_version(entry: &Map<String, Value>) -> Option<&str> {
    entry.get("version").and_then(Value::as_str)
}

fn release(name: &RuntimeName, version: Version, value: &Value) -> Result<Release, String> {
    let entry = Entry::deserialize(value).map_err(|error| error.to_string())?;
    from_entry(name, version, entry)
}

/// Reads a version object, as readers of the format decode it.
pub(super) fn release_from_str(
    name: &RuntimeName,
    version: Version,
    text: &str,
) -> Result<Release, String> {
    let entry: Entry = serde_json::from_str(text).map_err(|error| error.to_string())?;
    from_entry(name, version, entry)
}

/// Reads what a withdrawn version is replaced by.
pub(super) fn replacement_from_str(version: &str, text: &str) -> Result<Option<Version>, String> {
    version.parse::<Version>().map_err(|error| error.to_string())?;
    let entry: YankEntry = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok(entry.replacement)
}

fn from_entry(name: &RuntimeName, version: Version, entry: Entry) -> Result<Release, String> {
    if entry.version != version {
        return Err(format!("`version` is `{}`, its key is `{version}`", entry.version));
    }
    let digest = match entry.checksum.as_str() {
        "" => None,
        text => {
            Some(text.parse().map_err(|error: crate::digest::ParseDigestError| error.to_string())?)
        }
    };
    let artifacts = entry
        .artifacts
        .into_iter()
        .filter_map(|(platform, artifact)| {
            Some((platform.parse().ok()?, domain_artifact(artifact)))
        })
        .collect();
    Ok(Release {
        spec: RuntimeSpec { name: name.clone(), version },
        description: entry.description,
        definition: Definition { url: entry.download_url, digest, size_bytes: entry.size },
        platforms: entry.platforms.iter().filter_map(|platform| platform.parse().ok()).collect(),
        released_at: entry.released_at,
        source_commit: entry.source_commit,
        license: entry.license,
        artifacts,
    })
}

fn domain_artifact(entry: ArtifactEntry) -> Artifact {
    let requires = entry.requires.unwrap_or_default();
    let side = |file: SideFileEntry| SideFile { url: file.url, digest: file.sha256 };
    let part =
        |part: PartEntry| Part { url: part.url, digest: part.sha256, size_bytes: part.size_bytes };
    Artifact {
        url: entry.url,
        parts: entry.parts.into_iter().map(part).collect(),
        digest: entry.sha256,
        size_bytes: entry.size_bytes,
        unpacked_bytes: entry.unpacked_bytes,
        entries: entry.entries,
        files: entry.files.map(side),
        sbom: entry.sbom.map(side),
        requires: Requires { cpu: requires.cpu, kernel: requires.kernel },
    }
}

fn artifact_entry(artifact: &Artifact) -> ArtifactEntry {
    let side = |file: &SideFile| SideFileEntry { url: file.url.clone(), sha256: file.digest };
    let part = |part: &Part| PartEntry {
        url: part.url.clone(),
        sha256: part.digest,
        size_bytes: part.size_bytes,
    };
    let Requires { cpu, kernel } = artifact.requires.clone();
    ArtifactEntry {
        url: artifact.url.clone(),
        parts: artifact.parts.iter().map(part).collect(),
        sha256: artifact.digest,
        size_bytes: artifact.size_bytes,
        unpacked_bytes: artifact.unpacked_bytes,
        entries: artifact.entries,
        files: artifact.files.as_ref().map(side),
        sbom: artifact.sbom.as_ref().map(side),
        requires: (cpu.is_some() || kernel.is_some()).then_some(RequiresEntry { cpu, kernel }),
    }
}

pub(super) fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let by_key: BTreeMap<&String, &Value> = map.iter().collect();
            by_key.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// Whether `text` is an RFC 3339 time: existing readers decode the field strictly and give up otherwise.
pub(super) fn is_rfc3339(text: &str) -> bool {
    let number = |range: std::ops::Range<usize>| -> Option<u32> {
        let digits = text.get(range)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if !separators.iter().all(|&(at, byte)| text.as_bytes().get(at) == Some(&byte)) {
        return false;
    }
    let in_range = |range, from, to| number(range).is_some_and(|n| (from..=to).contains(&n));
    if number(0..4).is_none()
        || !in_range(5..7, 1, 12)
        || !in_range(8..10, 1, 31)
        || !in_range(11..13, 0, 23)
        || !in_range(14..16, 0, 59)
        || !in_range(17..19, 0, 59)
    {
        return false;
    }
    if !day_exists(number(0..4), number(5..7), number(8..10)) {
        return false;
    }
    let Some(rest) = text.get(19..) else { return false };
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            if zone.len() == fraction.len() {
                return false;
            }
            zone
        }
        None => rest,
    };
    zone == "Z"
        || (zone.len() == 6
            && zone.starts_with(['+', '-'])
            && zone.as_bytes()[3] == b':'
            && zone[1..3].parse().is_ok_and(|h: u8| h < 24)
            && zone[4..6].parse().is_ok_and(|m: u8| m < 60))
}

/// Whether a month of a year has a day: strict readers know 30 February as none.
fn day_exists(year: Option<u32>, month: Option<u32>, day: Option<u32>) -> bool {
    let (Some(year), Some(month), Some(day)) = (year, month, day) else { return false };
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    day <= match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
