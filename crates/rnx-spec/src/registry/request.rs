//! What a user asks for: a runtime's name, and which of its versions will do.

use std::fmt;
use std::str::FromStr;

use crate::name::ParseNameError;
use crate::{RuntimeName, Version};

/// What a user asks for: `name`, `name@latest`, `name@1.2.3`, or a range such as `name@1.2` or `name@^1.2`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    pub name: RuntimeName,
    pub version: VersionRequest,
}

/// Which version of a runtime is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum VersionRequest {
    Latest,
    Exact(Version),
    /// The newest within.
    Range(VersionRange),
}

/// Versions from one on and below another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionRange {
    from: Version,
    below: Option<Version>,
}

/// Why a text is not a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseRequestError {
    #[error("`{text}` names no runtime")]
    Name { text: String, source: ParseNameError },
    #[error("`{text}` has no valid version after the `@`")]
    Version { text: String, source: ParseVersionRequestError },
}

/// Why a text is not a [`VersionRequest`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseVersionRequestError {
    #[error(
        "expected a version such as `1.2.3`, `latest`, or a range such as `1.2`, `^1.2`, `~1.2.3` or `>=1.2,<2`, got `{text}`"
    )]
    Shape { text: String },
    #[error("`{number}` in `{text}` has a leading zero or is too large")]
    Number { text: String, number: String },
    #[error("no version can be in the range `{text}`")]
    Empty { text: String },
}

impl VersionRequest {
    /// Whether `version` is one that was asked for.
    pub fn allows(&self, version: Version) -> bool {
        match self {
            Self::Latest => true,
            Self::Exact(exact) => *exact == version,
            Self::Range(range) => range.contains(version),
        }
    }
}

impl VersionRange {
    const ALL: Self = Self { from: Version { major: 0, minor: 0, patch: 0 }, below: None };

    /// Whether `version` is within.
    pub fn contains(&self, version: Version) -> bool {
        version >= self.from && self.below.is_none_or(|below| version < below)
    }

    fn and(self, other: Self) -> Self {
        let below = match (self.below, other.below) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Self { from: self.from.max(other.from), below }
    }
}

/// One to three numbers; what is left out, or `x`, can be anything.
struct Partial {
    major: u64,
    minor: Option<u64>,
    patch: Option<u64>,
}

impl Partial {
    fn lowest(&self) -> Version {
        Version {
            major: self.major,
            minor: self.minor.unwrap_or(0),
            patch: self.patch.unwrap_or(0),
        }
    }

    /// Returns the first version after all that begin like this.
    fn after(&self) -> Option<Version> {
        match (self.minor, self.patch) {
            (Some(minor), Some(patch)) => after_patch(self.major, minor, patch),
            (Some(minor), None) => after_minor(self.major, minor),
            (None, _) => after_major(self.major),
        }
    }

    /// Returns the first version that is not compatible: where the leftmost number that is not zero changes.
    fn after_compatible(&self) -> Option<Version> {
        match (self.major, self.minor, self.patch) {
            (0, Some(0), Some(patch)) => after_patch(0, 0, patch),
            (0, Some(minor), _) => after_minor(0, minor),
            (major, ..) => after_major(major),
        }
    }
}

fn after_major(major: u64) -> Option<Version> {
    Some(Version { major: major.checked_add(1)?, minor: 0, patch: 0 })
}

fn after_minor(major: u64, minor: u64) -> Option<Version> {
    match minor.checked_add(1) {
        Some(minor) => Some(Version { major, minor, patch: 0 }),
        None => after_major(major),
    }
}

fn after_patch(major: u64, minor: u64, patch: u64) -> Option<Version> {
    match patch.checked_add(1) {
        Some(patch) => Some(Version { major, minor, patch }),
        None => after_minor(major, minor),
    }
}

/// Reads one condition, for example `^1.2`.
fn condition(part: &str, whole: &str) -> Result<VersionRange, ParseVersionRequestError> {
    let operators = ["^", "~", ">=", "<=", ">", "<", "="];
    let operator = operators.into_iter().find(|operator| part.starts_with(operator)).unwrap_or("");
    let text = part[operator.len()..].trim();
    if matches!(text, "*" | "x" | "X") && operator.is_empty() {
        return Ok(VersionRange::ALL);
    }
    let partial = partial(text, whole)?;
    let (from, below) = match operator {
        "^" => (partial.lowest(), partial.after_compatible()),
        "~" => {
            let below = match partial.minor {
                Some(minor) => after_minor(partial.major, minor),
                None => after_major(partial.major),
            };
            (partial.lowest(), below)
        }
        ">=" => (partial.lowest(), None),
        "<" => (VersionRange::ALL.from, Some(partial.lowest())),
        "<=" => (VersionRange::ALL.from, partial.after()),
        ">" => {
            let empty = || ParseVersionRequestError::Empty { text: whole.to_owned() };
            (partial.after().ok_or_else(empty)?, None)
        }
        _ => (partial.lowest(), partial.after()),
    };
    Ok(VersionRange { from, below })
}

fn partial(text: &str, whole: &str) -> Result<Partial, ParseVersionRequestError> {
    let shape = || ParseVersionRequestError::Shape { text: whole.to_owned() };
    let mut numbers = Vec::new();
    let mut open = false;
    for part in text.split('.') {
        if matches!(part, "x" | "X" | "*") {
            open = true;
            continue;
        }
        if open || part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
            return Err(shape());
        }
        let number =
            || ParseVersionRequestError::Number { text: whole.to_owned(), number: part.to_owned() };
        if part.len() > 1 && part.starts_with('0') {
            return Err(number());
        }
        numbers.push(part.parse().map_err(|_too_large: std::num::ParseIntError| number())?);
    }
    if text.split('.').count() > 3 {
        return Err(shape());
    }
    let major = *numbers.first().ok_or_else(shape)?;
    Ok(Partial { major, minor: numbers.get(1).copied(), patch: numbers.get(2).copied() })
}

impl FromStr for VersionRequest {
    type Err = ParseVersionRequestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "latest" {
            return Ok(Self::Latest);
        }
        if let Ok(version) = text.parse() {
            return Ok(Self::Exact(version));
        }
        let mut range = VersionRange::ALL;
        let conditions = text.split(',').map(str::trim);
        for part in conditions {
            range = range.and(condition(part, text)?);
        }
        match range.below {
            Some(below) if below <= range.from => {
                Err(ParseVersionRequestError::Empty { text: text.to_owned() })
            }
            Some(below)
                if after_patch(range.from.major, range.from.minor, range.from.patch)
                    == Some(below) =>
            {
                Ok(Self::Exact(range.from))
            }
            _ => Ok(Self::Range(range)),
        }
    }
}

impl FromStr for Request {
    type Err = ParseRequestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, version) = match text.split_once('@') {
            Some((name, version)) => (name, version),
            None => (text, "latest"),
        };
        let name = name
            .parse()
            .map_err(|source| ParseRequestError::Name { text: text.to_owned(), source })?;
        let version = version
            .parse()
            .map_err(|source| ParseRequestError::Version { text: text.to_owned(), source })?;
        Ok(Self { name, version })
    }
}

/// The shortest spelling that means the same.
impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Version { major, minor, patch } = self.from;
        let Some(end) = self.below else {
            return match self.from {
                from if from == Self::ALL.from => write!(f, "*"),
                from => write!(f, ">={from}"),
            };
        };
        let below = self.below;
        let compatible = Partial { major, minor: Some(minor), patch: Some(patch) };
        if patch == 0 && below == after_minor(major, minor) {
            write!(f, "{major}.{minor}")
        } else if minor == 0 && patch == 0 && below == after_major(major) {
            write!(f, "{major}")
        } else if below == compatible.after_compatible() {
            write!(f, "^{}", self.from)
        } else if below == after_minor(major, minor) {
            write!(f, "~{}", self.from)
        } else {
            write!(f, ">={},<{end}", self.from)
        }
    }
}

impl fmt::Display for VersionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => write!(f, "latest"),
            Self::Exact(version) => write!(f, "{version}"),
            Self::Range(range) => write!(f, "{range}"),
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            VersionRequest::Latest => write!(f, "{}", self.name),
            version => write!(f, "{}@{version}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_contain_what_other_tools_let_them_contain() {
        let all =
            ["0.0.3", "0.2.0", "0.2.9", "1.2.3", "1.3.0", "1.3.9", "1.10.0", "2.0.0", "3.1.4"];
        for (text, expected) in [
            ("1.3", "1.3.0 1.3.9"),
            ("1", "1.2.3 1.3.0 1.3.9 1.10.0"),
            ("1.x", "1.2.3 1.3.0 1.3.9 1.10.0"),
            ("1.3.*", "1.3.0 1.3.9"),
            ("^1.3", "1.3.0 1.3.9 1.10.0"),
            ("^0.2", "0.2.0 0.2.9"),
            ("^0.0.3", "0.0.3"),
            ("^0", "0.0.3 0.2.0 0.2.9"),
            ("~1.3.1", "1.3.9"),
            ("~1", "1.2.3 1.3.0 1.3.9 1.10.0"),
            (">=1.10", "1.10.0 2.0.0 3.1.4"),
            (">1", "2.0.0 3.1.4"),
            (">1.2.3,<=2", "1.3.0 1.3.9 1.10.0 2.0.0"),
            ("<1", "0.0.3 0.2.0 0.2.9"),
            (">=1.2, <2", "1.2.3 1.3.0 1.3.9 1.10.0"),
            ("=1.3.0", "1.3.0"),
            ("=1.3", "1.3.0 1.3.9"),
            ("*", "0.0.3 0.2.0 0.2.9 1.2.3 1.3.0 1.3.9 1.10.0 2.0.0 3.1.4"),
            ("^18446744073709551615", ""),
        ] {
            let request: VersionRequest = text.parse().unwrap();
            let within = |text: &&&str| request.allows(text.parse().unwrap());
            let found: Vec<&str> = all.iter().filter(within).copied().collect();
            assert_eq!(found.join(" "), expected, "{text}");
            assert_eq!(request.to_string().parse(), Ok(request), "{text} reads back: {request}");
        }
    }

    #[test]
    fn requests_are_spelled_in_one_way() {
        for (text, expected) in [
            ("a@latest", "a"),
            ("a@=1.2.3", "a@1.2.3"),
            ("a@1.x", "a@1"),
            ("a@^1.2", "a@^1.2.0"),
            ("a@~1.2", "a@1.2"),
            ("a@>=1.2,<3", "a@>=1.2.0,<3.0.0"),
        ] {
            assert_eq!(text.parse::<Request>().unwrap().to_string(), expected);
        }
        for bad in [
            "",
            "v1",
            "1.2.3.4",
            "1.2.3-rc1",
            "x.1",
            "1..2",
            "01.2",
            "^",
            ">2,<1",
            "1.x.2",
            "newest",
        ] {
            let error = bad.parse::<VersionRequest>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{bad}`")), "{error}");
        }
    }
}
