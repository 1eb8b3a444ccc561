//! Versions of runtimes: exactly `MAJOR.MINOR.PATCH`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A runtime's version: three decimal numbers without leading zeros.
///
/// Pre-release and build suffixes of SemVer are refused: the registry's old readers sort plain triples only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    pub major: u64,
    pub minor: u64,
    pub patch: u64,
}

/// Why a text is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseVersionError {
    #[error("expected `MAJOR.MINOR.PATCH`, for example `1.2.3`, got `{text}`")]
    Shape { text: String },
    #[error("`{part}` in `{text}` has a leading zero")]
    LeadingZero { text: String, part: String },
    #[error("`{text}` has a pre-release or build suffix; versions are plain `MAJOR.MINOR.PATCH`")]
    Suffix { text: String },
    #[error("`{part}` in `{text}` is too large")]
    TooLarge { text: String, part: String },
}

impl FromStr for Version {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shape = || ParseVersionError::Shape { text: text.to_owned() };
        if text.starts_with(|c: char| c.is_ascii_digit()) && text.contains(['-', '+']) {
            return Err(ParseVersionError::Suffix { text: text.to_owned() });
        }
        let parts: Vec<&str> = text.split('.').collect();
        let [major, minor, patch] = parts[..] else { return Err(shape()) };
        let number = |part: &str| {
            if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
                return Err(shape());
            }
            if part.len() > 1 && part.starts_with('0') {
                return Err(ParseVersionError::LeadingZero {
                    text: text.to_owned(),
                    part: part.to_owned(),
                });
            }
            part.parse().map_err(|_overflow: std::num::ParseIntError| ParseVersionError::TooLarge {
                text: text.to_owned(),
                part: part.to_owned(),
            })
        };
        Ok(Self { major: number(major)?, minor: number(minor)?, patch: number(patch)? })
    }
}

impl TryFrom<String> for Version {
    type Error = ParseVersionError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_triples_are_versions() {
        assert_eq!("1.20.3".parse(), Ok(Version { major: 1, minor: 20, patch: 3 }));
        for (bad, why) in [
            ("1.2", "expected `MAJOR.MINOR.PATCH`, for example `1.2.3`, got `1.2`"),
            ("v1.2.3", "expected `MAJOR.MINOR.PATCH`, for example `1.2.3`, got `v1.2.3`"),
            ("1..3", "expected `MAJOR.MINOR.PATCH`, for example `1.2.3`, got `1..3`"),
            ("01.2.3", "`01` in `01.2.3` has a leading zero"),
            (
                "1.2.3-rc1",
                "`1.2.3-rc1` has a pre-release or build suffix; versions are plain `MAJOR.MINOR.PATCH`",
            ),
            (
                "1.2.99999999999999999999",
                "`99999999999999999999` in `1.2.99999999999999999999` is too large",
            ),
        ] {
            assert_eq!(bad.parse::<Version>().unwrap_err().to_string(), why);
        }
    }

    #[test]
    fn versions_sort_by_number() {
        let mut versions: Vec<Version> =
            ["1.10.0", "1.9.0", "1.2.10", "1.2.9"].iter().map(|v| v.parse().unwrap()).collect();
        versions.sort();
        let sorted: Vec<String> = versions.iter().map(ToString::to_string).collect();
        assert_eq!(sorted, ["1.2.9", "1.2.10", "1.9.0", "1.10.0"]);
    }
}
