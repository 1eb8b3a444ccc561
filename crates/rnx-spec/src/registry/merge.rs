//! Adding releases to a registry: what is published once never changes.

use serde_json::{Map, Value};

use super::v1::{self, ParseRegistryError, is_rfc3339};
use super::{Registry, Release};
use crate::{Platform, RuntimeName, RuntimeSpec};

/// A release could not be added. The registry is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InsertError {
    #[error(
        "`{spec}` is already published with another {field}, and a published version never changes"
    )]
    Changed { spec: RuntimeSpec, field: &'static str },
    #[error(
        "`{spec}` is already published for {platform} with another archive, and a published version never changes"
    )]
    ArtifactChanged { spec: RuntimeSpec, platform: Platform },
    #[error("`{spec}` was withdrawn, and its number is not used again")]
    Yanked { spec: RuntimeSpec },
    #[error("`{time}` is not an RFC 3339 time such as `2026-01-31T10:00:00Z`")]
    Time { time: String },
    #[error("`{place}` of the registry is not what this program can change")]
    Shape { place: String },
}

/// Two registries could not become one.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    #[error("the registries contradict each other")]
    Conflict(#[source] InsertError),
    #[error("the merged registry cannot be read back")]
    Result(#[source] ParseRegistryError),
}

/// Returns the registry with a release added, last changed at `now` (RFC 3339).
///
/// A version that is there already is only completed: artifacts of further platforms are added, and anything that
/// would change what was published is refused. If nothing is new, the registry comes back as it was, so a step that is
/// repeated gives the same bytes.
pub fn insert(registry: &Registry, release: &Release, now: &str) -> Result<Registry, InsertError> {
    if !is_rfc3339(now) {
        return Err(InsertError::Time { time: now.to_owned() });
    }
    let spec = &release.spec;
    if registry.yanked().get(&spec.name).is_some_and(|v| v.contains_key(&spec.version)) {
        return Err(InsertError::Yanked { spec: spec.clone() });
    }
    let mut document = registry.document.clone();
    let shape = || InsertError::Shape { place: format!("runtimes/{}", spec.name) };
    let versions = versions_of(&mut document, "runtimes", &spec.name).ok_or_else(shape)?;
    match (registry.get(spec), versions.get_mut(&spec.version.to_string())) {
        (None, None) => {
            versions.insert(spec.version.to_string(), v1::to_value(release));
        }
        (Some(old), Some(Value::Object(entry))) => {
            let new = added_artifacts(old, release)?;
            if new.is_empty() {
                return Ok(registry.clone());
            }
            complete(entry, release, &new).ok_or_else(shape)?;
        }
        _ => return Err(shape()),
    }
    document.insert("updated_at".to_owned(), Value::String(now.to_owned()));
    v1::from_value(Value::Object(document)).map_err(|_unreadable| shape())
}

/// Returns `ours` with everything that only `theirs` has.
///
/// A version that either side withdrew is withdrawn. Unknown fields come from `ours` where both have them.
pub fn merge(ours: &Registry, theirs: &Registry) -> Result<Registry, MergeError> {
    let mut document = ours.document.clone();
    withdraw(&mut document, theirs);
    let later = ours.updated_at().max(theirs.updated_at()).to_owned();
    for (key, value) in &theirs.document {
        document.entry(key.clone()).or_insert_with(|| value.clone());
    }
    let mut merged = v1::from_value(Value::Object(document)).map_err(MergeError::Result)?;
    for release in theirs.runtimes.values().flat_map(|versions| versions.values()) {
        let yanked = merged.yanked.get(&release.spec.name);
        if yanked.is_some_and(|versions| versions.contains_key(&release.spec.version)) {
            continue;
        }
        merged = insert(&merged, release, &later).map_err(MergeError::Conflict)?;
    }
    merged.document.insert("updated_at".to_owned(), Value::String(later));
    Ok(merged)
}

/// Returns the version objects of a runtime in a section, after turning the flat form into the nested one.
pub(super) fn versions_of<'a>(
    document: &'a mut Map<String, Value>,
    section: &str,
    name: &RuntimeName,
) -> Option<&'a mut Map<String, Value>> {
    let names =
        document.entry(section).or_insert_with(|| Value::Object(Map::new())).as_object_mut()?;
    let entry = names
        .entry(name.to_string())
        .or_insert_with(|| Value::Object(Map::new()))
        .as_object_mut()?;
    if let Some(version) = v1::flat_version(entry).map(str::to_owned) {
        let flat = std::mem::take(entry);
        entry.insert(version, Value::Object(flat));
    }
    Some(entry)
}

/// Checks that nothing published changes, and returns the platforms whose artifacts are new.
fn added_artifacts(old: &Release, new: &Release) -> Result<Vec<Platform>, InsertError> {
    let changed = |field| Err(InsertError::Changed { spec: new.spec.clone(), field });
    if old.definition.url != new.definition.url {
        return changed("`download_url`");
    }
    if old.definition.digest != new.definition.digest {
        return changed("`checksum`");
    }
    if old.definition.size_bytes != new.definition.size_bytes {
        return changed("`size`");
    }
    let mut added = Vec::new();
    for (&platform, artifact) in &new.artifacts {
        match old.artifacts.get(&platform) {
            None => added.push(platform),
            Some(published) if published.digest == artifact.digest => {}
            Some(_) => {
                return Err(InsertError::ArtifactChanged { spec: new.spec.clone(), platform });
            }
        }
    }
    Ok(added)
}

fn complete(entry: &mut Map<String, Value>, release: &Release, new: &[Platform]) -> Option<()> {
    let written = v1::to_value(release);
    let artifacts =
        entry.entry("artifacts").or_insert_with(|| Value::Object(Map::new())).as_object_mut()?;
    for platform in new {
        let platform = platform.to_string();
        artifacts.insert(platform.clone(), written["artifacts"][&platform].clone());
    }
    let platforms =
        entry.entry("platforms").or_insert_with(|| Value::Array(Vec::new())).as_array_mut()?;
    for platform in &release.platforms {
        let platform = Value::String(platform.to_string());
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    Some(())
}

/// Takes over what `theirs` withdrew.
fn withdraw(document: &mut Map<String, Value>, theirs: &Registry) {
    for (name, versions) in &theirs.yanked {
        for version in versions.keys() {
            let (name, version) = (name.as_str(), version.to_string());
            let place = |section: &str| format!("/{section}/{name}/{version}");
            let whole = Value::Object(theirs.document.clone());
            let Some(yank) = whole.pointer(&place("yanked")).cloned() else { continue };
            if let Some(versions) = document
                .get_mut("runtimes")
                .and_then(|runtimes| runtimes.get_mut(name))
                .and_then(Value::as_object_mut)
            {
                versions.remove(&version);
            }
            let yanked = document.entry("yanked").or_insert_with(|| Value::Object(Map::new()));
            if let Some(yanked) = yanked.as_object_mut() {
                let versions = yanked.entry(name).or_insert_with(|| Value::Object(Map::new()));
                if let Some(versions) = versions.as_object_mut() {
                    versions.entry(version).or_insert(yank);
                }
            }
        }
    }
}
