//! Names of runtimes, and `name@version`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::version::{ParseVersionError, Version};

/// The longest runtime name in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// A runtime's name, for example `python-3.11-ml`.
///
/// It matches `^[a-z0-9][a-z0-9.-]*$`, has at most [`NAME_BYTES_MAX`] bytes, holds no `..`, ends in neither `-` nor
/// `.`, and does not end in `-X.Y.Z`: the install folder of a runtime is `<name>-<version>`, which must not be the
/// folder of another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RuntimeName(String);

/// Why a text is not a runtime name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseNameError {
    #[error("a runtime name cannot be empty")]
    Empty,
    #[error("a runtime name has at most {NAME_BYTES_MAX} characters, this one has {length}")]
    TooLong { length: usize },
    #[error("a runtime name starts with `a-z` or `0-9`, not `{found}`")]
    Start { found: char },
    #[error("a runtime name has only `a-z`, `0-9`, `.` and `-`, not `{found}`")]
    Character { found: char },
    #[error("a runtime name cannot contain `..`")]
    DotDot,
    #[error("a runtime name cannot end in `{found}`")]
    End { found: char },
    #[error(
        "a runtime name cannot end in a version (`-{version}`): `{name}` would be the install folder of `{stem}`"
    )]
    EndsInVersion { name: String, stem: String, version: Version },
}

impl RuntimeName {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RuntimeName {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let first = text.chars().next().ok_or(ParseNameError::Empty)?;
        if text.len() > NAME_BYTES_MAX {
            return Err(ParseNameError::TooLong { length: text.len() });
        }
        if !matches!(first, 'a'..='z' | '0'..='9') {
            return Err(ParseNameError::Start { found: first });
        }
        if let Some(found) = text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '.' | '-'))
        {
            return Err(ParseNameError::Character { found });
        }
        if text.contains("..") {
            return Err(ParseNameError::DotDot);
        }
        if let Some(found) = text.chars().last().filter(|c| matches!(c, '-' | '.')) {
            return Err(ParseNameError::End { found });
        }
        if let Some((stem, tail)) = text.rsplit_once('-')
            && let Ok(version) = tail.parse()
        {
            return Err(ParseNameError::EndsInVersion {
                name: text.to_owned(),
                stem: stem.to_owned(),
                version,
            });
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for RuntimeName {
    type Error = ParseNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RuntimeName> for String {
    fn from(name: RuntimeName) -> Self {
        name.0
    }
}

impl fmt::Display for RuntimeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One published runtime: `name@version`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuntimeSpec {
    pub name: RuntimeName,
    pub version: Version,
}

/// Why a text is not a `name@version`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseSpecError {
    #[error("expected `name@version`, got `{text}`")]
    NoVersion { text: String },
    #[error("`{text}` has no valid runtime name before the `@`")]
    Name { text: String, source: ParseNameError },
    #[error("`{text}` has no valid version after the `@`")]
    Version { text: String, source: ParseVersionError },
}

impl RuntimeSpec {
    /// Returns the name of the install folder, and the stem of artifact file names: `<name>-<version>`.
    pub fn folder(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }
}

impl FromStr for RuntimeSpec {
    type Err = ParseSpecError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, version) = text
            .split_once('@')
            .ok_or_else(|| ParseSpecError::NoVersion { text: text.to_owned() })?;
        let name = name
            .parse()
            .map_err(|source| ParseSpecError::Name { text: text.to_owned(), source })?;
        let version = version
            .parse()
            .map_err(|source| ParseSpecError::Version { text: text.to_owned(), source })?;
        Ok(Self { name, version })
    }
}

impl fmt::Display for RuntimeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules() {
        for good in ["a", "python-3.11-ml", "openjdk-21", "r-4.5", "9p", "a-1.2"] {
            assert_eq!(good.parse::<RuntimeName>().map(String::from).as_deref(), Ok(good));
        }
        for (bad, why) in [
            ("", ParseNameError::Empty),
            ("-a", ParseNameError::Start { found: '-' }),
            ("Python", ParseNameError::Start { found: 'P' }),
            ("pYthon", ParseNameError::Character { found: 'Y' }),
            ("a/b", ParseNameError::Character { found: '/' }),
            ("a..b", ParseNameError::DotDot),
            ("a-", ParseNameError::End { found: '-' }),
            ("a.", ParseNameError::End { found: '.' }),
        ] {
            assert_eq!(bad.parse::<RuntimeName>(), Err(why), "{bad}");
        }
        assert_eq!(
            "python-3.11-1.2.3".parse::<RuntimeName>(),
            Err(ParseNameError::EndsInVersion {
                name: "python-3.11-1.2.3".into(),
                stem: "python-3.11".into(),
                version: Version { major: 1, minor: 2, patch: 3 },
            })
        );
        assert_eq!(
            "a".repeat(65).parse::<RuntimeName>(),
            Err(ParseNameError::TooLong { length: 65 })
        );
    }
}
