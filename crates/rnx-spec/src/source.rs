//! Where bytes come from: `https://`, `http://` and `file://` URLs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A URL that bytes are fetched from: `https://…`, `http://…` or `file:///absolute/path`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SourceUrl(String);

/// Why a text is not a [`SourceUrl`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseUrlError {
    #[error("`{text}` is not an `https://`, `http://` or `file:///` URL")]
    Scheme { text: String },
    #[error("`{text}` has no host")]
    Host { text: String },
    #[error("`{text}` holds a space or a control character; percent-encode it")]
    Character { text: String },
}

impl SourceUrl {
    /// Returns the URL as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the absolute path of a `file://` URL, as it stands after `file://`.
    pub fn file_path(&self) -> Option<&str> {
        self.0.strip_prefix("file://")
    }

    /// Returns the last segment of the path, without query and fragment; empty if the path ends in `/`.
    pub fn file_name(&self) -> &str {
        let path = self.0.split(['?', '#']).next().unwrap_or_default();
        path.rsplit('/').next().unwrap_or_default()
    }
}

impl FromStr for SourceUrl {
    type Err = ParseUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.chars().any(|c| c.is_control() || c == ' ') {
            return Err(ParseUrlError::Character { text: text.to_owned() });
        }
        if let Some(path) = text.strip_prefix("file://") {
            if !path.starts_with('/') {
                return Err(ParseUrlError::Scheme { text: text.to_owned() });
            }
            return Ok(Self(text.to_owned()));
        }
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"))
            .ok_or_else(|| ParseUrlError::Scheme { text: text.to_owned() })?;
        if rest.is_empty() || rest.starts_with(['/', '?', '#']) {
            return Err(ParseUrlError::Host { text: text.to_owned() });
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for SourceUrl {
    type Error = ParseUrlError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SourceUrl> for String {
    fn from(url: SourceUrl) -> Self {
        url.0
    }
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_scheme_and_a_host() {
        for good in ["https://a/b.tar.gz?x=1", "http://127.0.0.1:80/x", "file:///srv/x"] {
            assert_eq!(good.parse::<SourceUrl>().map(String::from).as_deref(), Ok(good));
        }
        for bad in ["ftp://a/b", "a/b", "file://a/b", "https://", "http:///x", "https://a/b c"] {
            assert!(bad.parse::<SourceUrl>().is_err(), "{bad}");
        }
        let url: SourceUrl = "https://a/d/b.tar.gz?x=/1".parse().unwrap();
        assert_eq!(url.file_name(), "b.tar.gz");
    }
}
