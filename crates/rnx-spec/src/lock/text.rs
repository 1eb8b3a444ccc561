//! The text of a lock file: JSON whose objects in lists stand on one line each.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};
use serde_json::ser::Formatter;

use super::{LockFile, PlatformLock, SCHEMA_VERSION};
use crate::Platform;

/// A text that is no lock file of this program.
#[derive(Debug, thiserror::Error)]
pub enum ParseLockError {
    #[error("it is no JSON document with a `schema_version`")]
    Json { source: serde_json::Error },
    #[error(
        "it has format {found}, and this program knows format {SCHEMA_VERSION}; use a newer program"
    )]
    Newer { found: u32 },
    #[error("it is no lock file of format {SCHEMA_VERSION}")]
    Shape { source: serde_json::Error },
}

#[derive(Deserialize)]
struct Head {
    schema_version: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentV1 {
    #[serde(rename = "schema_version")]
    _schema_version: u32,
    platforms: BTreeMap<Platform, PlatformLock>,
}

/// Reads a lock file.
pub fn parse(text: &str) -> Result<LockFile, ParseLockError> {
    let head: Head =
        serde_json::from_str(text).map_err(|source| ParseLockError::Json { source })?;
    if head.schema_version != SCHEMA_VERSION {
        return Err(ParseLockError::Newer { found: head.schema_version });
    }
    let document: DocumentV1 =
        serde_json::from_str(text).map_err(|source| ParseLockError::Shape { source })?;
    Ok(LockFile { platforms: document.platforms })
}

/// Writes a lock file: the same contents give the same bytes, in whatever order they were found.
pub fn write(lock: &LockFile) -> String {
    let mut out = format!("{{\n  \"schema_version\": {SCHEMA_VERSION},\n  \"platforms\": {{");
    for (index, (platform, section)) in lock.platforms.iter().enumerate() {
        let mut section = section.clone();
        section.sort();
        out.push_str(if index == 0 { "\n" } else { ",\n" });
        let fields = [
            ("base", line(&section.base)),
            ("sources", list(&section.sources)),
            ("distro", list(&section.distro)),
            ("language", list(&section.language)),
        ]
        .map(|(name, value)| format!("      \"{name}\": {value}"));
        out.extend([format!("    \"{platform}\": {{\n"), fields.join(",\n"), "\n    }".to_owned()]);
    }
    out.push_str("\n  }\n}\n");
    out
}

fn list<T: Serialize>(items: &[T]) -> String {
    if items.is_empty() {
        return "[]".to_owned();
    }
    let lines: Vec<String> = items.iter().map(|item| format!("\n        {}", line(item))).collect();
    format!("[{}\n      ]", lines.join(","))
}

/// One object on one line, with spaces where a person would put them.
fn line<T: Serialize>(value: &T) -> String {
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, Spaced);
    // Structures of texts and numbers always have a JSON form, and a vector takes all bytes.
    let written = value.serialize(&mut serializer).is_ok();
    debug_assert!(written, "plain values have a JSON form");
    String::from_utf8_lossy(&bytes).into_owned()
}

struct Spaced;

impl Formatter for Spaced {
    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}
