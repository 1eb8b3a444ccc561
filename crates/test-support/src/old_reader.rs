//! How programs older than this repository decode a registry: a Go struct, and no mercy.
//!
//! ```go
//! type Registry struct {
//!     Version   string                        `json:"version"`
//!     UpdatedAt time.Time                     `json:"updated_at"`
//!     Runtimes  map[string]map[string]Version `json:"runtimes"`
//! }
//! type Version struct {
//!     Version     string   `json:"version"`
//!     Description string   `json:"description"`
//!     DownloadURL string   `json:"download_url"`
//!     Checksum    string   `json:"checksum"`
//!     Size        int64    `json:"size"`
//!     Platforms   []string `json:"platforms"`
//! }
//! ```
//!
//! As `encoding/json` does, names match without regard to case, the last field that matches counts, and one value of
//! another kind makes the whole document unreadable. `null` is refused as well, where Go would keep a zero value.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A registry as old readers have it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OldRegistry {
    pub version: String,
    pub runtimes: BTreeMap<String, BTreeMap<String, OldVersion>>,
}

/// A version as old readers have it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OldVersion {
    pub version: String,
    pub description: String,
    pub download_url: String,
    pub checksum: String,
    pub size: i64,
    pub platforms: Vec<String>,
}

/// Decodes a registry, or says what an old reader would give up on.
pub fn decode(text: &str) -> Result<OldRegistry, String> {
    let document: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut registry = OldRegistry::default();
    let mut updated_at = String::new();
    for (key, value) in object("the document", &document)? {
        match folded(key).as_str() {
            "version" => registry.version = string(key, value)?,
            "updated_at" => updated_at = string(key, value)?,
            "runtimes" => registry.runtimes = runtimes(object(key, value)?)?,
            _ => {}
        }
    }
    if !is_time(&updated_at) {
        return Err(format!("updated_at: `{updated_at}` is no time"));
    }
    Ok(registry)
}

type Runtimes = BTreeMap<String, BTreeMap<String, OldVersion>>;

fn runtimes(names: &Map<String, Value>) -> Result<Runtimes, String> {
    let mut found = BTreeMap::new();
    for (name, value) in names {
        let mut versions = BTreeMap::new();
        for (version, value) in object(name, value)? {
            versions.insert(version.clone(), entry(object(version, value)?)?);
        }
        found.insert(name.clone(), versions);
    }
    Ok(found)
}

fn entry(fields: &Map<String, Value>) -> Result<OldVersion, String> {
    let mut entry = OldVersion::default();
    for (key, value) in fields {
        match folded(key).as_str() {
            "version" => entry.version = string(key, value)?,
            "description" => entry.description = string(key, value)?,
            "download_url" => entry.download_url = string(key, value)?,
            "checksum" => entry.checksum = string(key, value)?,
            "size" => {
                entry.size = value.as_i64().ok_or_else(|| format!("{key}: {value} is no int64"))?;
            }
            "platforms" => {
                let items = value.as_array().ok_or_else(|| format!("{key}: {value} is no list"))?;
                let items = items.iter().map(|item| string(key, item));
                entry.platforms = items.collect::<Result<_, _>>()?;
            }
            _ => {}
        }
    }
    Ok(entry)
}

fn object<'a>(place: &str, value: &'a Value) -> Result<&'a Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("{place}: {value} is no object"))
}

fn string(place: &str, value: &Value) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| format!("{place}: {value} is no string"))
}

/// `unicode.SimpleFold` takes two letters beyond ASCII to ASCII ones.
fn folded(key: &str) -> String {
    key.replace('\u{17f}', "s").replace('\u{212a}', "k").to_ascii_lowercase()
}

/// Go's `parseStrictRFC3339`: `2006-01-02T15:04:05[.fraction](Z|±hh:mm)`, every number in its range.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let number = |at: usize, digits: usize| -> Option<u32> {
        let part = text.get(at..at + digits)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let fixed = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if fixed.iter().any(|&(at, byte)| bytes.get(at) != Some(&byte)) {
        return false;
    }
    let date = (number(0, 4), number(5, 2), number(8, 2));
    let time = (number(11, 2), number(14, 2), number(17, 2));
    let ((Some(year), Some(month), Some(day)), (Some(hour), Some(minute), Some(second))) =
        (date, time)
    else {
        return false;
    };
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        _ => return false,
    };
    if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return false;
    }
    let rest = &text[19..];
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
    let at = text.len() - zone.len();
    zone == "Z"
        || (zone.len() == 6
            && zone.starts_with(['+', '-'])
            && zone.as_bytes()[3] == b':'
            && number(at + 1, 2).is_some_and(|hour| hour < 24)
            && number(at + 4, 2).is_some_and(|minute| minute < 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_entry(fields: &str) -> String {
        format!(
            r#"{{"version": "1", "updated_at": "2026-11-24T10:00:00Z", "runtimes": {{"a": {{"1.0.0": {fields}}}}}}}"#
        )
    }

    #[test]
    fn the_reader_is_as_strict_as_the_struct() {
        let good =
            with_entry(r#"{"version": "1.0.0", "size": 5, "platforms": ["x"], "Other": {}}"#);
        let read = decode(&good).unwrap();
        assert_eq!(read.runtimes["a"]["1.0.0"].size, 5);
        let cased = decode(&with_entry(r#"{"size": 5, "\u017fiZe": 6}"#)).unwrap();
        assert_eq!(cased.runtimes["a"]["1.0.0"].size, 6, "the last one counts");
        for bad in [
            r#"{"size": 5.0}"#,
            r#"{"size": "5"}"#,
            r#"{"Size": {}}"#,
            r#"{"size": 9223372036854775808}"#,
            r#"{"platforms": [1]}"#,
            r#"{"VERSION": 1}"#,
            "null",
            r#""1.0.0""#,
        ] {
            assert!(decode(&with_entry(bad)).is_err(), "{bad}");
        }
        for time in [
            "2026-02-29T10:00:00Z",
            "2026-11-24T24:00:00Z",
            "2026-11-24 10:00:00Z",
            "2026-11-24T10:00:00",
        ] {
            assert!(!is_time(time), "{time}");
        }
        for time in ["2028-02-29T10:00:00Z", "2026-11-24T10:00:00.5+01:30"] {
            assert!(is_time(time), "{time}");
        }
    }
}
