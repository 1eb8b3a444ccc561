//! Whether every reader understands a registry, and whether what was published stayed as it was.

use std::collections::BTreeMap;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::ledger::{Ledger, SECTIONS};
use super::{Registry, Release, undo_yank, v1};
use crate::artifact::PART_BYTES_MAX;
use crate::diagnostic::{Code, Diagnostic, Severity, codes};
use crate::{RuntimeName, RuntimeSpec, Version};

/// The fields that old readers decode, by name and without regard to case.
const OLD_TOP: [&str; 3] = ["version", "updated_at", "runtimes"];
const OLD_ENTRY: [&str; 6] =
    ["version", "description", "download_url", "checksum", "size", "platforms"];

/// Checks a registry's text by itself.
pub fn check(text: &str) -> (Option<Ledger>, Vec<Diagnostic>) {
    match Ledger::read(text.to_owned()) {
        Ok(ledger) => {
            let mut found = ledger.check();
            if ledger.write() != text {
                let help = "`cargo xtask registry check --fix` writes it so";
                let message = "the registry is not in the written form: sorted keys, two spaces, a final newline";
                found.push(finding(codes::REGISTRY_FORM, message.to_owned(), help));
            }
            (Some(ledger), found)
        }
        Err(error) => {
            let mut message = error.to_string();
            if let super::ParseRegistryError::Json(source) = &error {
                message.extend([format!(": {source}")]);
            }
            let help = "take the last commit's, and let the program write it";
            (None, vec![finding(codes::REGISTRY_INVALID, message, help)])
        }
    }
}

impl Ledger {
    /// Returns everything that a reader of today or of old would stumble over.
    pub fn check(&self) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        other_case("the registry", self.head().keys().map(String::as_str), &OLD_TOP, &mut found);
        for (name, text) in self.members(0) {
            let place = format!("{}/{name}", SECTIONS[0]);
            if let Some(versions) = versions(name, text, &place, &mut found) {
                for (version, raw) in versions {
                    let place = format!("{place}/{version}");
                    entry(raw.get(), (&version, &place), &mut found);
                }
            }
        }
        for (name, text) in self.members(1) {
            let place = format!("{}/{name}", SECTIONS[1]);
            let Some(versions) = versions(name, text, &place, &mut found) else { continue };
            for (version, raw) in versions {
                withdrawn(self, name, (&version, raw.get()), &mut found);
            }
        }
        found
    }

    /// Returns what was published or withdrawn in `old` and is otherwise or gone here.
    pub fn check_unchanged(&self, old: &Self) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        for name in old.names() {
            let same =
                |section| self.member(section, name.as_str()) == old.member(section, name.as_str());
            if same(0) && same(1) {
                continue;
            }
            // What cannot be read is told by `check`.
            let (Ok(before), Ok(after)) = (old.registry([&name]), self.registry([&name])) else {
                continue;
            };
            for release in before.runtimes().get(&name).into_iter().flat_map(BTreeMap::values) {
                unchanged(release, &after, &mut found);
            }
            for version in before.yanked().get(&name).into_iter().flat_map(BTreeMap::keys) {
                let spec = RuntimeSpec { name: name.clone(), version: *version };
                match undo_yank(&before, &spec, "2000-01-01T00:00:00Z") {
                    Ok(restored) => {
                        if let Some(release) = restored.get(&spec) {
                            unchanged(release, &after, &mut found);
                        }
                    }
                    // It had no entry that could come back.
                    Err(_) if is_withdrawn(&after, &spec) => {}
                    Err(_) => found.push(gone(&spec)),
                }
            }
        }
        found
    }
}

/// Returns the members of a runtime by version, in the order they are written.
fn versions<'a>(
    name: &str,
    text: &'a str,
    place: &str,
    found: &mut Vec<Diagnostic>,
) -> Option<BTreeMap<String, &'a RawValue>> {
    if let Err(error) = name.parse::<RuntimeName>() {
        found.push(invalid(place, &error.to_string()));
        return None;
    }
    match serde_json::from_str::<BTreeMap<String, &RawValue>>(text) {
        // The flat form of one version: readers accept it, and the written form has it no more.
        Ok(fields) if fields.get("version").is_some_and(|raw| raw.get().starts_with('"')) => None,
        Ok(versions) => Some(versions),
        Err(_other) => {
            found.push(invalid(place, "it is not an object with a version object per version"));
            None
        }
    }
}

fn entry(text: &str, (version, place): (&str, &str), found: &mut Vec<Diagnostic>) {
    let version: Version = match version.parse() {
        Ok(version) => version,
        Err(error) => return found.push(invalid(place, &error.to_string())),
    };
    if let Ok(Keys(keys)) = serde_json::from_str(text) {
        other_case(place, keys.iter().map(String::as_str), &OLD_ENTRY, found);
    }
    // The name is judged already; what is read is the entry.
    let name: RuntimeName = match "entry".parse() {
        Ok(name) => name,
        Err(_) => return,
    };
    match v1::release_from_str(&name, version, text) {
        Ok(release) => judge(&release, place, found),
        Err(reason) => found.push(invalid(place, &reason)),
    }
}

fn judge(release: &Release, place: &str, found: &mut Vec<Diagnostic>) {
    let definition = &release.definition;
    let url = definition.url.to_string();
    if !url.split(['?', '#']).next().unwrap_or_default().ends_with(".tar.gz") {
        let message = format!("{place}: `download_url` is not the definition's `.tar.gz`: `{url}`");
        let help =
            "prebuilt files belong into `artifacts`; old readers unpack what `download_url` names";
        found.push(finding(codes::REGISTRY_DOWNLOAD, message, help));
    }
    if definition.size_bytes.is_some_and(|size| i64::try_from(size).is_err()) {
        found.push(invalid(place, "`size` is larger than old readers can hold"));
    }
    for (platform, artifact) in &release.artifacts {
        let parts: u64 =
            artifact.parts.iter().map(|part| part.size_bytes).fold(0, u64::saturating_add);
        let too_large = artifact.parts.iter().any(|part| part.size_bytes > PART_BYTES_MAX);
        if !artifact.parts.is_empty() && (parts != artifact.size_bytes || too_large) {
            let message = format!(
                "{place}: the parts for {platform} have {parts} bytes together, and the archive {}; one has at most {PART_BYTES_MAX}",
                artifact.size_bytes
            );
            found.push(finding(codes::REGISTRY_PARTS, message, "build the runtime again"));
        }
    }
}

fn withdrawn(
    ledger: &Ledger,
    name: &str,
    (version, text): (&str, &str),
    found: &mut Vec<Diagnostic>,
) {
    let place = format!("{}/{name}/{version}", SECTIONS[1]);
    let published = ledger.member(0, name);
    let has = |version: &str| {
        let versions = published.and_then(|text| serde_json::from_str::<Keys>(text).ok());
        versions.is_some_and(|Keys(keys)| keys.iter().any(|key| key == version))
    };
    if has(version) {
        let message = format!("{name}@{version} is published and withdrawn at once");
        let help = "`cargo xtask yank` moves an entry from the one to the other";
        found.push(finding(codes::REGISTRY_BOTH, message, help));
    }
    match v1::replacement_from_str(version, text) {
        Ok(Some(replacement)) if !has(&replacement.to_string()) => {
            let message = format!("{place}: its replacement {replacement} is not published");
            let help = "withdraw it again with another `--replacement`, after `--undo`";
            found.push(finding(codes::REGISTRY_REPLACEMENT, message, help));
        }
        Ok(_) => {}
        Err(reason) => found.push(invalid(&place, &reason)),
    }
}

fn unchanged(old: &Release, after: &Registry, found: &mut Vec<Diagnostic>) {
    let spec = &old.spec;
    let Some(new) = after.get(spec) else {
        if !is_withdrawn(after, spec) {
            found.push(gone(spec));
        }
        return;
    };
    let mut changed = |what: String| {
        let message = format!("{what} of {spec} changed");
        let help = "what is published never changes: take it back, and release a higher version";
        found.push(finding(codes::PUBLISHED_CHANGED, message, help));
    };
    let (before, now) = (&old.definition, &new.definition);
    for (same, what) in [
        (before.url == now.url, "`download_url`"),
        (before.digest == now.digest, "`checksum`"),
        (before.size_bytes == now.size_bytes, "`size`"),
    ] {
        if !same {
            changed(what.to_owned());
        }
    }
    for (platform, artifact) in &old.artifacts {
        let same = new.artifacts.get(platform).is_some_and(|now| {
            let parts = |one: &super::Artifact| {
                one.parts.iter().map(|part| part.digest).collect::<Vec<_>>()
            };
            let sides = |one: &super::Artifact| {
                [&one.files, &one.sbom].map(|side| side.as_ref().map(|side| side.digest))
            };
            now.digest == artifact.digest
                && now.size_bytes == artifact.size_bytes
                && parts(now) == parts(artifact)
                && sides(now) == sides(artifact)
        });
        if !same {
            changed(format!("the artifact for {platform}"));
        }
    }
}

fn is_withdrawn(registry: &Registry, spec: &RuntimeSpec) -> bool {
    registry.yanked().get(&spec.name).is_some_and(|versions| versions.contains_key(&spec.version))
}

fn gone(spec: &RuntimeSpec) -> Diagnostic {
    let message = format!("{spec} is gone, and its number could be used again");
    let help = "put its entry back; `cargo xtask yank` is how a version is withdrawn";
    finding(codes::PUBLISHED_GONE, message, help)
}

/// Old readers match names without regard to case, and take the last of those that match.
fn other_case<'a>(
    place: &str,
    keys: impl Iterator<Item = &'a str>,
    known: &[&str],
    found: &mut Vec<Diagnostic>,
) {
    for key in keys {
        let folded = folded(key);
        if let Some(name) = known.iter().find(|name| **name == folded && **name != key) {
            let message = format!("{place}: `{key}` is read as `{name}` by old readers");
            let help = "a new field has a name of its own, whatever the case of its letters";
            found.push(finding(codes::REGISTRY_FIELD_CASE, message, help));
        }
    }
}

/// Folds as Go's `encoding/json` does: besides ASCII, two letters fold to `s` and `k`.
fn folded(key: &str) -> String {
    let letter = |c| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    key.chars().map(letter).collect()
}

fn invalid(place: &str, reason: &str) -> Diagnostic {
    let help = "old readers give up on the whole registry: take the member out, or put it right";
    finding(codes::REGISTRY_ENTRY, format!("{place}: {reason}"), help)
}

fn finding(code: Code, message: String, help: &str) -> Diagnostic {
    let help = Some(help.to_owned());
    Diagnostic { code, severity: Severity::Error, message, span: None, help, fix: None }
}

/// The keys of an object, whatever their values are.
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Keys;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                    keys.push(key);
                }
                Ok(Keys(keys))
            }
        }
        from.deserialize_map(Collect)
    }
}
