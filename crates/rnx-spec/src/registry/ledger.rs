//! A whole registry as its text, of which a change touches the runtimes that it is about and nothing else.
//!
//! A registry of many thousand versions is changed by one of them at a time. What is not changed stays a range of the
//! text that was read; only what is changed becomes a [`Registry`], and text again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{ParseRegistryError, Registry, form, v1};
use crate::RuntimeName;

/// The sections whose members are runtimes.
pub(super) const SECTIONS: [&str; 2] = ["runtimes", "yanked"];

/// Names and versions stand this deep in the document.
pub(super) const NAME_LEVEL: usize = 2;

/// What only the flat form of one version has in the written form: `version` where versions stand.
const FLAT_MARK: &str = "\n      \"version\": \"";

/// A registry's text, and where each runtime stands in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Ledger {
    text: String,
    /// Everything but the sections.
    head: Map<String, Value>,
    sections: [BTreeMap<String, Chunk>; 2],
}

/// What a section says of one runtime.
#[derive(Debug, Clone, PartialEq)]
enum Chunk {
    Read(Range<usize>),
    Changed(String),
}

impl Ledger {
    /// Returns a registry without runtimes. `updated_at` is in RFC 3339.
    pub fn empty(updated_at: &str) -> Result<Self, ParseRegistryError> {
        Self::read(v1::write(&Registry::empty(updated_at)?))
    }

    /// Takes a registry's text.
    ///
    /// What stands inside of runtimes is not looked at yet: [`Ledger::check`] and [`Ledger::registry`] do.
    pub fn read(text: String) -> Result<Self, ParseRegistryError> {
        let json = ParseRegistryError::Json;
        // A document that is no object is told as such, and not as one without fields.
        if text.trim_start().starts_with('[') {
            return Err(ParseRegistryError::NotAnObject);
        }
        let fields: BTreeMap<String, &RawValue> = serde_json::from_str(&text).map_err(json)?;
        let mut head = Map::new();
        let mut sections = [BTreeMap::new(), BTreeMap::new()];
        for (key, raw) in fields {
            if let Some(section) = SECTIONS.iter().position(|section| *section == key) {
                let expected = "an object";
                let names: BTreeMap<String, &RawValue> =
                    serde_json::from_str(raw.get()).map_err(|_other| {
                        ParseRegistryError::Field { field: SECTIONS[section], expected }
                    })?;
                for (name, raw) in names {
                    sections[section].insert(name, Chunk::Read(range(&text, raw.get())));
                }
            } else {
                head.insert(key, serde_json::from_str(raw.get()).map_err(json)?);
            }
        }
        let mut document = head.clone();
        for section in SECTIONS {
            document.insert(section.to_owned(), Value::Object(Map::new()));
        }
        v1::from_value(Value::Object(document))?;
        Ok(Self { text, head, sections })
    }

    /// Returns the registry of some runtimes, as if it had no others.
    pub fn registry<'a>(
        &self,
        names: impl IntoIterator<Item = &'a RuntimeName>,
    ) -> Result<Registry, ParseRegistryError> {
        let names: BTreeSet<&str> = names.into_iter().map(RuntimeName::as_str).collect();
        let mut document = self.head.clone();
        for (section, chunks) in SECTIONS.into_iter().zip(&self.sections) {
            let mut members = Map::new();
            for name in &names {
                if let Some(chunk) = chunks.get(*name) {
                    let value = serde_json::from_str(self.chunk(chunk));
                    members.insert((*name).to_owned(), value.map_err(ParseRegistryError::Json)?);
                }
            }
            document.insert(section.to_owned(), Value::Object(members));
        }
        v1::from_value(Value::Object(document))
    }

    /// Takes over what `changed` says of some runtimes, and when it was changed.
    pub fn replace<'a>(
        &mut self,
        names: impl IntoIterator<Item = &'a RuntimeName>,
        changed: &Registry,
    ) {
        for name in names {
            for (section, chunks) in SECTIONS.into_iter().zip(&mut self.sections) {
                let value = changed.document.get(section).and_then(|all| all.get(name.as_str()));
                match value {
                    Some(value) => {
                        let text = form::written(value, NAME_LEVEL);
                        chunks.insert(name.to_string(), Chunk::Changed(text));
                    }
                    None => drop(chunks.remove(name.as_str())),
                }
            }
        }
        let head = changed.document.iter().filter(|(key, _)| !SECTIONS.contains(&key.as_str()));
        self.head = head.map(|(key, value)| (key.clone(), value.clone())).collect();
    }

    /// Returns all names of runtimes that are published or were withdrawn.
    pub fn names(&self) -> BTreeSet<RuntimeName> {
        let names = self.sections.iter().flat_map(BTreeMap::keys);
        names.filter_map(|name| name.parse().ok()).collect()
    }

    /// Returns the text that it was read from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the registry in the written form: sorted keys, two spaces, a final newline.
    pub fn write(&self) -> String {
        let mut keys: BTreeSet<&str> = self.head.keys().map(String::as_str).collect();
        keys.extend(SECTIONS);
        let mut out = String::with_capacity(self.text.len() + 16 * 1024);
        for (number, key) in keys.into_iter().enumerate() {
            out.push_str(if number == 0 { "{\n  " } else { ",\n  " });
            out.push_str(&quoted(key));
            out.push_str(": ");
            match SECTIONS.iter().position(|section| *section == key) {
                Some(section) => self.write_section(section, &mut out),
                None => out.push_str(&form::written(&self.head[key], 1)),
            }
        }
        out.push_str("\n}\n");
        out
    }

    fn write_section(&self, section: usize, out: &mut String) {
        for (number, (name, text)) in self.members(section).enumerate() {
            out.push_str(if number == 0 { "{\n    " } else { ",\n    " });
            out.push_str(&quoted(name));
            out.push_str(": ");
            if form::is_written(text, NAME_LEVEL) && !text.contains(FLAT_MARK) {
                out.push_str(text);
            } else {
                let value = serde_json::from_str(text).unwrap_or_default();
                out.push_str(&form::written(&nested(value), NAME_LEVEL));
            }
        }
        out.push_str(if self.sections[section].is_empty() { "{}" } else { "\n  }" });
    }

    /// Returns the top-level fields that are no sections.
    pub(super) fn head(&self) -> &Map<String, Value> {
        &self.head
    }

    /// Returns what a section says of each of its names, as text.
    pub(super) fn members(&self, section: usize) -> impl Iterator<Item = (&str, &str)> {
        self.sections[section].iter().map(|(name, chunk)| (name.as_str(), self.chunk(chunk)))
    }

    /// Returns what a section says of a name, as text.
    pub(super) fn member(&self, section: usize, name: &str) -> Option<&str> {
        self.sections[section].get(name).map(|chunk| self.chunk(chunk))
    }

    fn chunk<'a>(&'a self, chunk: &'a Chunk) -> &'a str {
        match chunk {
            Chunk::Read(range) => &self.text[range.clone()],
            Chunk::Changed(text) => text,
        }
    }
}

/// Returns the versions of a runtime; what is one version in the old flat form becomes the only one.
fn nested(value: Value) -> Value {
    match value {
        Value::Object(fields) => match v1::flat_version(&fields).map(str::to_owned) {
            Some(version) => Value::Object(Map::from_iter([(version, Value::Object(fields))])),
            None => Value::Object(fields),
        },
        other => other,
    }
}

/// Returns where `part` stands in `text`, of which it is a slice.
fn range(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr() - text.as_ptr().addr();
    start..start + part.len()
}

fn quoted(key: &str) -> String {
    form::written(&Value::String(key.to_owned()), 0)
}
