//! An index of a registry: what a list shows, and where in the document's bytes each runtime stands.
//!
//! A registry of thousands of runtimes is many megabytes, of which a command needs one runtime. The index is made once
//! when a document arrives, and kept beside it as text; afterwards only the bytes of the runtime that is asked for are
//! parsed, by the same parser as the whole.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::v1::{self, ParseRegistryError};
use super::{Registry, Unreadable};
use crate::{Platform, RuntimeName, Version};

const FIRST_LINE: &str = "rnx-registry-index 1";

/// What a registry has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    pub updated_at: String,
    pub runtimes: BTreeMap<RuntimeName, IndexedRuntime>,
    /// The entries that this program does not understand.
    pub unreadable: Vec<Unreadable>,
}

/// A runtime in an [`Index`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexedRuntime {
    /// Its versions, the lowest first; none if all were withdrawn.
    pub releases: Vec<IndexedRelease>,
    published: Range<u64>,
    withdrawn: Range<u64>,
}

/// A version in an [`Index`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedRelease {
    pub version: Version,
    /// Those that it is built for; none if the registry has its definition alone.
    pub platforms: Vec<Platform>,
    pub description: String,
}

/// The bytes of one runtime in a document, as far as there are any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    pub published: Range<u64>,
    pub withdrawn: Range<u64>,
}

/// A text that is no [`Index`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the index is not as it was written")]
pub struct ParseIndexError {
    pub line: usize,
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(default)]
    version: Value,
    #[serde(default)]
    updated_at: Value,
    #[serde(borrow)]
    runtimes: &'a RawValue,
    #[serde(borrow, default)]
    yanked: Option<&'a RawValue>,
}

type Members<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

impl Index {
    /// Reads a registry, one runtime after the other, and notes where each stands.
    pub fn build(bytes: &[u8]) -> Result<Self, ParseRegistryError> {
        let document: Document<'_> = match serde_json::from_slice(bytes) {
            Ok(document) => document,
            // Not JSON, no object, or no `runtimes`: the parser of the whole says which.
            Err(error) => {
                v1::parse(bytes)?;
                return Err(ParseRegistryError::Json(error));
            }
        };
        let empty = serde_json::json!({
            "version": document.version, "updated_at": document.updated_at, "runtimes": {},
        });
        let updated_at = v1::from_value(empty)?.updated_at().to_owned();
        let mut index = Self { updated_at, runtimes: BTreeMap::new(), unreadable: Vec::new() };
        let sections = [("runtimes", Some(document.runtimes)), ("yanked", document.yanked)];
        for (section, raw) in sections.into_iter().filter_map(|(name, raw)| Some((name, raw?))) {
            let field = |_not_an_object| ParseRegistryError::Field {
                field: if section == "runtimes" { "runtimes" } else { "yanked" },
                expected: "an object",
            };
            let members: Members<'_> = serde_json::from_str(raw.get()).map_err(field)?;
            for (name, raw) in members {
                index.add(bytes, section, &name, raw)?;
            }
        }
        Ok(index)
    }

    fn add(
        &mut self,
        bytes: &[u8],
        section: &'static str,
        name: &str,
        raw: &RawValue,
    ) -> Result<(), ParseRegistryError> {
        let key = Value::from(name).to_string();
        let part = splice(&self.updated_at, &[(section, &key, raw.get().as_bytes())]);
        let registry = v1::parse(&part)?;
        self.unreadable.extend(registry.unreadable().iter().cloned());
        let Ok(name) = name.parse::<RuntimeName>() else { return Ok(()) };
        let start = raw.get().as_ptr().addr() - bytes.as_ptr().addr();
        let place = start as u64..(start + raw.get().len()) as u64;
        if section == "yanked" {
            if registry.yanked().contains_key(&name) {
                self.runtimes.entry(name).or_default().withdrawn = place;
            }
            return Ok(());
        }
        if let Some(releases) = registry.runtimes().get(&name) {
            let releases = releases.values().map(|release| IndexedRelease {
                version: release.spec.version,
                platforms: release.artifacts.keys().copied().collect(),
                description: release.description.clone(),
            });
            let releases = releases.collect();
            self.runtimes.insert(
                name,
                IndexedRuntime { releases, published: place, withdrawn: Range::default() },
            );
        }
        Ok(())
    }

    /// Returns where a runtime stands in the document.
    pub fn places(&self, name: &RuntimeName) -> Option<Places> {
        let runtime = self.runtimes.get(name)?;
        let (published, withdrawn) = (runtime.published.clone(), runtime.withdrawn.clone());
        Some(Places { published, withdrawn })
    }

    /// Reads one runtime, given the bytes at its [`Places`]. The result is a registry with this runtime alone.
    pub fn parse_one(
        &self,
        name: &RuntimeName,
        published: &[u8],
        withdrawn: &[u8],
    ) -> Result<Registry, ParseRegistryError> {
        let key = Value::from(name.as_str()).to_string();
        let sections: Vec<_> = [("runtimes", published), ("yanked", withdrawn)]
            .into_iter()
            .filter(|(_, bytes)| !bytes.is_empty())
            .map(|(section, bytes)| (section, key.as_str(), bytes))
            .collect();
        v1::parse(&splice(&self.updated_at, &sections))
    }

    /// Returns the index as text.
    pub fn write(&self) -> String {
        let mut text = format!("{FIRST_LINE}\t{}\n", self.updated_at);
        let mut line = |fields: std::fmt::Arguments<'_>| {
            // Writing to a string cannot fail.
            text.write_fmt(fields).ok();
            text.push('\n');
        };
        for (name, runtime) in &self.runtimes {
            let (p, w) = (&runtime.published, &runtime.withdrawn);
            line(format_args!("r\t{name}\t{}\t{}\t{}\t{}", p.start, p.end, w.start, w.end));
            let mut last = None;
            for release in &runtime.releases {
                let bits = platform_bits(&release.platforms);
                let description = release.description.as_str();
                // Versions of a runtime are mostly described alike.
                if last == Some(description) {
                    line(format_args!("v\t{}\t{bits}", release.version));
                } else {
                    let description = escaped(description);
                    line(format_args!("v\t{}\t{bits}\t{description}", release.version));
                }
                last = Some(description);
            }
        }
        for Unreadable { place, reason } in &self.unreadable {
            line(format_args!("u\t{}\t{}", escaped(place), escaped(reason)));
        }
        text
    }

    /// Reads what [`Index::write`] wrote.
    pub fn parse(text: &str) -> Result<Self, ParseIndexError> {
        let error = |line| ParseIndexError { line };
        let mut lines = text.lines();
        let first = lines.next().and_then(|line| line.strip_prefix(FIRST_LINE)?.strip_prefix('\t'));
        let updated_at = first.ok_or(error(1))?.to_owned();
        let mut runtimes: Vec<(RuntimeName, IndexedRuntime)> = Vec::new();
        let mut unreadable = Vec::new();
        for (number, line) in lines.enumerate() {
            let read = match line.split_once('\t') {
                Some(("r", rest)) => runtime_line(rest).map(|runtime| runtimes.push(runtime)),
                Some(("v", rest)) => runtimes.last_mut().and_then(|(_, runtime)| {
                    let release = release_line(rest, runtime.releases.last())?;
                    runtime.releases.push(release);
                    Some(())
                }),
                Some(("u", rest)) => rest.split_once('\t').map(|(place, reason)| {
                    let (place, reason) = (unescaped(place), unescaped(reason));
                    unreadable.push(Unreadable { place, reason });
                }),
                _ => None,
            };
            read.ok_or(error(number + 2))?;
        }
        Ok(Self { updated_at, runtimes: runtimes.into_iter().collect(), unreadable })
    }
}

/// Returns a document with some members alone.
fn splice(updated_at: &str, members: &[(&str, &str, &[u8])]) -> Vec<u8> {
    let head = format!(
        "{{\"version\":{},\"updated_at\":{}",
        Value::from(super::FORMAT_VERSION),
        Value::from(updated_at)
    );
    let mut bytes = head.into_bytes();
    for (section, key, value) in members {
        bytes.extend_from_slice(format!(",\"{section}\":{{{key}:").as_bytes());
        bytes.extend_from_slice(value);
        bytes.push(b'}');
    }
    if !members.iter().any(|(section, ..)| *section == "runtimes") {
        bytes.extend_from_slice(b",\"runtimes\":{}");
    }
    bytes.push(b'}');
    bytes
}

fn runtime_line(rest: &str) -> Option<(RuntimeName, IndexedRuntime)> {
    let mut fields = rest.split('\t');
    let name = fields.next()?.parse().ok()?;
    let mut number = || fields.next()?.parse::<u64>().ok();
    let published = number()?..number()?;
    let withdrawn = number()?..number()?;
    Some((name, IndexedRuntime { releases: Vec::new(), published, withdrawn }))
}

fn release_line(rest: &str, before: Option<&IndexedRelease>) -> Option<IndexedRelease> {
    let mut fields = rest.splitn(3, '\t');
    let version = fields.next()?.parse().ok()?;
    let bits: u8 = fields.next()?.parse().ok()?;
    let description = match fields.next() {
        Some(description) => unescaped(description),
        None => before?.description.clone(),
    };
    let platforms = Platform::ALL
        .into_iter()
        .enumerate()
        .filter(|(bit, _)| bits & (1 << bit) != 0)
        .map(|(_, platform)| platform);
    let mut platforms: Vec<Platform> = platforms.collect();
    platforms.sort_unstable();
    Some(IndexedRelease { version, platforms, description })
}

fn platform_bits(platforms: &[Platform]) -> u8 {
    let bit = |(bit, platform): (usize, Platform)| u8::from(platforms.contains(&platform)) << bit;
    Platform::ALL.into_iter().enumerate().map(bit).sum()
}

fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['\\', '\t', '\n', '\r']) {
        return Cow::Borrowed(text);
    }
    let text = text.replace('\\', "\\\\").replace('\t', "\\t");
    Cow::Owned(text.replace('\n', "\\n").replace('\r', "\\r"))
}

fn unescaped(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match if c == '\\' { chars.next() } else { Some(c) } {
            Some('t') if c == '\\' => out.push('\t'),
            Some('n') if c == '\\' => out.push('\n'),
            Some('r') if c == '\\' => out.push('\r'),
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::write;

    /// A registry with everything that an index has to tell apart.
    const DOCUMENT: &str = r#"{
      "yanked": {"gone": {"1.0.0": {"reason": "bad"}}, "python": {"0.9.0": {"reason": "worse"}}},
      "updated_at": "2026-11-23T10:00:00Z", "version": "1", "stars": [1, {"a": "}"}],
      "runtimes": {
        "python": {
          "1.10.0": {"version": "1.10.0", "description": "a\tb\\n\"ü\"", "download_url": "p.tar.gz"},
          "1.9.0": {"version": "1.9.0", "description": "a\tb\\n\"ü\"", "download_url": "p.tar.gz",
            "artifacts": {"rhel-arm64": {"url": "x", "sha256": "0000000000000000000000000000000000000000000000000000000000000000",
              "size_bytes": 1, "unpacked_bytes": 2, "entries": 3}}},
          "latest": {}
        },
        "flat": {"version": "0.1.0", "download_url": "f.tar.gz"},
        "Bad Name": {}, "node": "none"
      }
    }"#;

    #[test]
    fn an_index_says_what_the_whole_says() {
        let index = Index::build(DOCUMENT.as_bytes()).unwrap();
        let whole = v1::parse(DOCUMENT.as_bytes()).unwrap();
        let published: Vec<_> =
            index.runtimes.iter().filter(|(_, runtime)| !runtime.releases.is_empty()).collect();
        assert_eq!(published.len(), whole.runtimes().len());
        let sorted = |unreadable: &[Unreadable]| {
            let mut places: Vec<_> =
                unreadable.iter().map(|u| (u.place.clone(), u.reason.clone())).collect();
            places.sort();
            places
        };
        assert_eq!(sorted(&index.unreadable), sorted(whole.unreadable()));
        assert_eq!(Index::parse(&index.write()), Ok(index.clone()));
        for name in ["python", "flat", "gone"] {
            let name: RuntimeName = name.parse().unwrap();
            let places = index.places(&name).unwrap();
            let at = |range: Range<u64>| {
                &DOCUMENT.as_bytes()[range.start.try_into().unwrap()..range.end.try_into().unwrap()]
            };
            let one = index.parse_one(&name, at(places.published), at(places.withdrawn)).unwrap();
            assert_eq!(one.runtimes().get(&name), whole.runtimes().get(&name), "{name}");
            assert_eq!(one.yanked().get(&name), whole.yanked().get(&name), "{name}");
        }
        let python = &index.runtimes[&"python".parse().unwrap()];
        assert_eq!(python.releases[0].platforms, ["rhel-arm64".parse().unwrap()]);
        assert_eq!(python.releases[1].description, "a\tb\\n\"ü\"");
        assert!(write(&whole).contains("stars"));
    }

    #[test]
    fn what_is_no_registry_has_no_index() {
        for text in [
            "<html>",
            "[]",
            "{}",
            r#"{"version": "2", "updated_at": "2026-11-23T10:00:00Z", "runtimes": {}}"#,
            r#"{"version": "1", "updated_at": "today", "runtimes": {}}"#,
            r#"{"version": "1", "updated_at": "2026-11-23T10:00:00Z", "runtimes": []}"#,
            r#"{"version": "1", "updated_at": "2026-11-23T10:00:00Z", "runtimes": {}, "yanked": 1}"#,
        ] {
            let whole = v1::parse(text.as_bytes()).unwrap_err().to_string();
            assert_eq!(Index::build(text.as_bytes()).unwrap_err().to_string(), whole, "{text}");
        }
        let index = Index::build(DOCUMENT.as_bytes()).unwrap().write();
        let cut = &index[..index.len() - 3];
        assert!(Index::parse(&index.replace("v\t", "w\t")).is_err());
        assert!(Index::parse("").is_err());
        assert_ne!(Index::parse(cut).ok(), Index::parse(&index).ok());
    }
}
