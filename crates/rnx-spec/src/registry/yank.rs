//! Withdrawing a published version, and taking that back.

use serde_json::{Map, Value, json};

use super::Registry;
use super::merge::versions_of;
use super::v1::{self, is_rfc3339};
use crate::{RuntimeSpec, Version};

/// A version could not be withdrawn, or brought back. The registry is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum YankError {
    #[error("the registry has no `{spec}`")]
    Unknown { spec: RuntimeSpec },
    #[error("`{spec}` cannot replace it: that version is not published")]
    Replacement { spec: RuntimeSpec },
    #[error("`{spec}` is not withdrawn")]
    NotYanked { spec: RuntimeSpec },
    #[error("`{spec}` cannot be brought back: the registry kept no entry of it")]
    NoEntry { spec: RuntimeSpec },
    #[error("`{time}` is not an RFC 3339 time such as `2026-01-31T10:00:00Z`")]
    Time { time: String },
    #[error("`{place}` of the registry is not what this program can change")]
    Shape { place: String },
}

/// Returns the registry with a version moved from `runtimes` to `yanked`, where old readers do not look.
///
/// A version that is withdrawn already stays as it is, `reason` included, so a step that is repeated changes nothing.
/// `now` is in RFC 3339.
pub fn yank(
    registry: &Registry,
    spec: &RuntimeSpec,
    (reason, replacement): (&str, Option<Version>),
    now: &str,
) -> Result<Registry, YankError> {
    check_time(now)?;
    if registry.yanked().get(&spec.name).is_some_and(|v| v.contains_key(&spec.version)) {
        return Ok(registry.clone());
    }
    if registry.get(spec).is_none() {
        return Err(YankError::Unknown { spec: spec.clone() });
    }
    if let Some(version) = replacement {
        let other = RuntimeSpec { name: spec.name.clone(), version };
        if registry.get(&other).is_none() || other == *spec {
            return Err(YankError::Replacement { spec: other });
        }
    }
    let shape = || YankError::Shape { place: format!("runtimes/{}", spec.name) };
    let mut document = registry.document.clone();
    let versions = versions_of(&mut document, "runtimes", &spec.name).ok_or_else(shape)?;
    let entry = versions.remove(&spec.version.to_string()).ok_or_else(shape)?;
    drop_if_empty(&mut document, "runtimes", spec);
    let mut withdrawn = json!({"at": now, "entry": entry, "reason": reason});
    if let Some(version) = replacement {
        withdrawn["replacement"] = Value::String(version.to_string());
    }
    let yanked = versions_of(&mut document, "yanked", &spec.name).ok_or_else(shape)?;
    yanked.insert(spec.version.to_string(), withdrawn);
    changed_at(document, now).ok_or_else(shape)
}

/// Returns the registry with a withdrawn version back in `runtimes`, as it was published.
pub fn undo_yank(
    registry: &Registry,
    spec: &RuntimeSpec,
    now: &str,
) -> Result<Registry, YankError> {
    check_time(now)?;
    let shape = || YankError::Shape { place: format!("yanked/{}", spec.name) };
    let mut document = registry.document.clone();
    let yanked = versions_of(&mut document, "yanked", &spec.name).ok_or_else(shape)?;
    let Some(withdrawn) = yanked.remove(&spec.version.to_string()) else {
        return Err(YankError::NotYanked { spec: spec.clone() });
    };
    let entry = withdrawn
        .get("entry")
        .filter(|entry| entry.as_object().is_some_and(|entry| !entry.is_empty()))
        .ok_or_else(|| YankError::NoEntry { spec: spec.clone() })?
        .clone();
    drop_if_empty(&mut document, "yanked", spec);
    let versions = versions_of(&mut document, "runtimes", &spec.name).ok_or_else(shape)?;
    if versions.insert(spec.version.to_string(), entry).is_some() {
        return Err(shape());
    }
    let restored = changed_at(document, now).ok_or_else(shape)?;
    // An entry that cannot be read would be no version that anyone can install.
    restored.get(spec).is_some().then_some(restored).ok_or_else(shape)
}

fn check_time(now: &str) -> Result<(), YankError> {
    if is_rfc3339(now) { Ok(()) } else { Err(YankError::Time { time: now.to_owned() }) }
}

/// A name without versions says nothing, and old readers would list it.
fn drop_if_empty(document: &mut Map<String, Value>, section: &str, spec: &RuntimeSpec) {
    let Some(names) = document.get_mut(section).and_then(Value::as_object_mut) else { return };
    let name = spec.name.as_str();
    if names.get(name).and_then(Value::as_object).is_some_and(Map::is_empty) {
        names.remove(name);
    }
}

fn changed_at(mut document: Map<String, Value>, now: &str) -> Option<Registry> {
    document.insert("updated_at".to_owned(), Value::String(now.to_owned()));
    v1::from_value(Value::Object(document)).ok()
}
