//! Where bytes come from: `https://`, `http://` and `file://` URLs.

use std::fmt;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
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
    #[error("`{text}` is neither a URL nor a relative path without `.` and `..`")]
    Relative { text: String },
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

impl SourceUrl {
    /// Returns the `file://` URL of an absolute path; `None` if it is relative.
    pub fn from_path(path: &Path) -> Option<Self> {
        if !path.is_absolute() {
            return None;
        }
        let mut text = "file://".to_owned();
        for &byte in path.as_os_str().as_encoded_bytes() {
            if byte.is_ascii_alphanumeric() || b"/-._~+@=:,".contains(&byte) {
                text.push(char::from(byte));
            } else {
                // Writing to a string cannot fail.
                write!(text, "%{byte:02X}").ok();
            }
        }
        Some(Self(text))
    }

    /// Returns the path of a `file://` URL, percent-decoded.
    pub fn to_path(&self) -> Option<PathBuf> {
        let mut bytes = Vec::new();
        let mut rest = self.file_path()?.as_bytes();
        while let [first, tail @ ..] = rest {
            let digit = |at: usize| char::from(*tail.get(at)?).to_digit(16);
            if let (b'%', Some(high), Some(low)) = (first, digit(0), digit(1)) {
                bytes.push(u8::try_from(high * 16 + low).ok()?);
                rest = tail.get(2..)?;
            } else {
                bytes.push(*first);
                rest = tail;
            }
        }
        #[cfg(unix)]
        let path =
            PathBuf::from(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(bytes));
        #[cfg(not(unix))]
        let path = PathBuf::from(String::from_utf8(bytes).ok()?);
        Some(path)
    }

    /// Returns `scheme://host:port`, which is what a browser calls the origin; `file://` for files.
    pub fn origin(&self) -> &str {
        let Some(host) = self.0.find("://").map(|at| at + 3) else { return &self.0 };
        let end = self.0[host..].find(['/', '?', '#']).map_or(self.0.len(), |at| host + at);
        &self.0[..end]
    }
}

/// Where a document says that bytes are: a URL, or a path relative to the document itself.
///
/// A folder of artifacts with relative references in its `registry.json` can be moved and served from anywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UrlReference(Reference);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Reference {
    Absolute(SourceUrl),
    Relative(String),
}

impl UrlReference {
    /// Returns the URL that is meant in the document at `document`.
    pub fn resolve(&self, document: &SourceUrl) -> SourceUrl {
        match &self.0 {
            Reference::Absolute(url) => url.clone(),
            Reference::Relative(path) => {
                let document = document.as_str().split(['?', '#']).next().unwrap_or_default();
                let folder = document.rsplit_once('/').map_or(document, |(folder, _file)| folder);
                SourceUrl(format!("{folder}/{path}"))
            }
        }
    }
}

impl From<SourceUrl> for UrlReference {
    fn from(url: SourceUrl) -> Self {
        Self(Reference::Absolute(url))
    }
}

impl FromStr for UrlReference {
    type Err = ParseUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains("://") {
            return Ok(Self(Reference::Absolute(text.parse()?)));
        }
        if text.chars().any(|c| c.is_control() || c == ' ') {
            return Err(ParseUrlError::Character { text: text.to_owned() });
        }
        let plain = |segment: &str| !segment.is_empty() && segment != "." && segment != "..";
        let encoded_dot = text.to_ascii_lowercase().contains("%2e") || text.contains(['\\', ':']);
        if !text.split('/').all(plain) || encoded_dot || text.to_ascii_lowercase().contains("%2f") {
            return Err(ParseUrlError::Relative { text: text.to_owned() });
        }
        Ok(Self(Reference::Relative(text.to_owned())))
    }
}

impl TryFrom<String> for UrlReference {
    type Error = ParseUrlError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<UrlReference> for String {
    fn from(reference: UrlReference) -> Self {
        reference.to_string()
    }
}

impl fmt::Display for UrlReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Reference::Absolute(url) => f.pad(url.as_str()),
            Reference::Relative(path) => f.pad(path),
        }
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

    #[test]
    fn paths_become_urls_and_back() {
        let path = Path::new("/srv/a b/ü%41.json");
        let url = SourceUrl::from_path(path).unwrap();
        assert_eq!(url.as_str(), "file:///srv/a%20b/%C3%BC%2541.json");
        assert_eq!(url.to_path().as_deref(), Some(path));
        assert_eq!(SourceUrl::from_path(Path::new("a")), None);
        assert_eq!("https://a/b".parse::<SourceUrl>().unwrap().to_path(), None);
    }

    #[test]
    fn references_resolve_against_their_document() {
        let document: SourceUrl = "https://h:8/r/registry.json?x=/1".parse().unwrap();
        assert_eq!(document.origin(), "https://h:8");
        for (reference, expected) in [
            ("a.gz", "https://h:8/r/a.gz"),
            ("d/a", "https://h:8/r/d/a"),
            ("http://o/a", "http://o/a"),
        ] {
            let parsed: UrlReference = reference.parse().unwrap();
            assert_eq!(parsed.resolve(&document).as_str(), expected);
            assert_eq!(parsed.to_string(), reference);
        }
        for bad in ["", "/a", "../a", "a/../b", "./a", "a//b", "%2e%2e/a", "a b", "javascript:x"] {
            assert!(bad.parse::<UrlReference>().is_err(), "{bad}");
        }
    }
}
