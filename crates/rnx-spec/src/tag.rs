//! Git tags of releases: `name@version` for one runtime, `vX.Y.Z` for all of a repository.

use std::fmt;
use std::str::FromStr;

use crate::name::ParseSpecError;
use crate::version::ParseVersionError;
use crate::{RuntimeName, RuntimeSpec, Version};

/// The tag that a release is made from, and the name of the release on a forge.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tag {
    /// `name@version`: one runtime.
    One(RuntimeSpec),
    /// `vX.Y.Z`: every runtime of the repository, at this version.
    All(Version),
}

/// Why a text is not a [`Tag`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseTagError {
    #[error("`{text}` is no tag of a release: those are `name@X.Y.Z` and `vX.Y.Z`")]
    Shape { text: String },
    #[error("`{text}` is no tag of a runtime's release")]
    Spec { text: String, source: ParseSpecError },
    #[error("`{text}` is no tag of a release of all runtimes")]
    Version { text: String, source: ParseVersionError },
}

impl Tag {
    /// Returns the version that the tagged runtimes have.
    pub fn version(&self) -> Version {
        match self {
            Self::One(spec) => spec.version,
            Self::All(version) => *version,
        }
    }

    /// Returns the runtime that the tag releases, if it has the name `name`, or releases all.
    pub fn covers(&self, name: &RuntimeName) -> Option<RuntimeSpec> {
        match self {
            Self::One(spec) => (spec.name == *name).then(|| spec.clone()),
            Self::All(version) => Some(RuntimeSpec { name: name.clone(), version: *version }),
        }
    }

    /// Returns the full name of the git reference: `refs/tags/…`.
    pub fn reference(&self) -> String {
        format!("refs/tags/{self}")
    }
}

impl FromStr for Tag {
    type Err = ParseTagError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let owned = || text.to_owned();
        if text.contains('@') {
            let spec = text.parse();
            return spec
                .map(Self::One)
                .map_err(|source| ParseTagError::Spec { text: owned(), source });
        }
        let Some(version) = text.strip_prefix('v') else {
            return Err(ParseTagError::Shape { text: owned() });
        };
        version
            .parse()
            .map(Self::All)
            .map_err(|source| ParseTagError::Version { text: owned(), source })
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(spec) => f.pad(&spec.to_string()),
            Self::All(version) => f.pad(&format!("v{version}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_of_one_runtime_or_of_all() {
        for good in ["python-3.11-ml@1.3.3", "v1.4.0", "v@1.0.0", "9p@0.0.1"] {
            assert_eq!(good.parse::<Tag>().unwrap().to_string(), good);
        }
        let one: Tag = "a@1.2.3".parse().unwrap();
        assert_eq!(one.covers(&"a".parse().unwrap()), Some("a@1.2.3".parse().unwrap()));
        assert_eq!(one.covers(&"b".parse().unwrap()), None);
        let all: Tag = "v1.2.3".parse().unwrap();
        assert_eq!(all.covers(&"b".parse().unwrap()), Some("b@1.2.3".parse().unwrap()));
        assert_eq!(all.reference(), "refs/tags/v1.2.3");
        for bad in
            ["1.2.3", "v1.2", "v1.2.3-rc1", "A@1.2.3", "a@1", "a@b@1.2.3", "", "refs/tags/v1.2.3"]
        {
            assert!(bad.parse::<Tag>().is_err(), "{bad}");
        }
    }
}
