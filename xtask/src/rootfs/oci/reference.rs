//! `server/repository`: where an image is, pure.

use std::fmt;
use std::str::FromStr;

use rnx_spec::source::ParseUrlError;
use rnx_spec::{Digest, SourceUrl};

/// An image's server and its repository there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    server: String,
    repository: String,
}

/// A text that names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseReferenceError {
    #[error("the image `{text}` names no server: write `server/repository`")]
    NoServer { text: String },
    #[error("the image `{text}` has a tag or digest: the digest stands in its own key")]
    Tag { text: String },
    #[error("the image `{text}` has the repository `{repository}`, which no server can have")]
    Repository { text: String, repository: String },
}

impl Reference {
    /// Returns the server's address. Loopback servers are asked without encryption, as other tools do.
    pub(crate) fn origin(&self) -> String {
        let host = match self.server.strip_prefix('[') {
            Some(rest) => rest.split(']').next(),
            None => self.server.split(':').next(),
        };
        let is_loopback = matches!(host, Some("localhost" | "127.0.0.1" | "::1"));
        format!("{}://{}", if is_loopback { "http" } else { "https" }, self.server)
    }

    /// Returns the address of an image manifest or index.
    pub(crate) fn manifest(&self, digest: Digest) -> Result<SourceUrl, ParseUrlError> {
        format!("{}/v2/{}/manifests/{digest}", self.origin(), self.repository).parse()
    }

    /// Returns the address of a blob.
    pub(crate) fn blob(&self, digest: Digest) -> Result<SourceUrl, ParseUrlError> {
        format!("{}/v2/{}/blobs/{digest}", self.origin(), self.repository).parse()
    }

    /// Returns what a token must allow (distribution's `scope.md`).
    pub(crate) fn scope(&self) -> String {
        format!("repository:{}:pull", self.repository)
    }
}

impl FromStr for Reference {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let no_server = || ParseReferenceError::NoServer { text: text.to_owned() };
        let (server, repository) = text.split_once('/').ok_or_else(no_server)?;
        // The rule by which `docker` tells a server from the first part of a repository.
        if !(server.contains(['.', ':']) || server == "localhost") {
            return Err(no_server());
        }
        if repository.contains([':', '@']) {
            return Err(ParseReferenceError::Tag { text: text.to_owned() });
        }
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        let good = |part: &str| {
            part.chars().all(allowed) && part.starts_with(|c: char| c.is_ascii_alphanumeric())
        };
        if !repository.split('/').all(good) {
            return Err(ParseReferenceError::Repository {
                text: text.to_owned(),
                repository: repository.to_owned(),
            });
        }
        Ok(Self { server: server.to_owned(), repository: repository.to_owned() })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.server, self.repository)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_have_a_server_and_a_repository() {
        let origin = |text: &str| text.parse::<Reference>().map(|image| image.origin());
        assert_eq!(origin("images.test/team/tiny"), Ok("https://images.test".into()));
        assert_eq!(origin("127.0.0.1:5000/tiny"), Ok("http://127.0.0.1:5000".into()));
        assert_eq!(origin("[::1]:5000/tiny"), Ok("http://[::1]:5000".into()));
        assert_eq!(origin("127.0.0.1.evil.test/x"), Ok("https://127.0.0.1.evil.test".into()));
        for bad in [
            "debian",
            "library/debian",
            "images.test/debian:12",
            "images.test/debian@sha256:0",
            "images.test/../x",
            "images.test/a//b",
            "images.test/",
            "images.test/A?b",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }
}
