//! Which repository, where its API is, and the secret that opens it.

use std::fmt;
use std::str::FromStr;

use http::HeaderValue;
use rnx_spec::SourceUrl;
use rnx_spec::source::UrlReference;
use rnx_spec::tag::Tag;

use super::encoded;

/// `owner/name` of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    owner: String,
    name: String,
}

/// A text that names no repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not `OWNER/NAME` of a repository on GitHub, nor its address")]
pub struct ParseRepositoryError {
    pub text: String,
}

/// A secret. It prints as nothing but that.
#[derive(Clone)]
pub struct Token(String);

/// A repository and how it is reached.
#[derive(Debug, Clone)]
pub struct Account {
    pub repository: Repository,
    /// `https://api.github.com`, without a final `/`.
    pub api_url: String,
    /// `https://github.com`, without a final `/`.
    pub web_url: String,
    /// Without one, drafts are not seen and nothing can be changed.
    pub token: Option<Token>,
}

impl Token {
    /// Takes a secret; `None` if it is empty or has characters that no token has.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        plain.then(|| Self(text.to_owned()))
    }

    pub(super) fn header(&self) -> HeaderValue {
        // `new` let only characters pass that a header can have.
        let mut value = HeaderValue::try_from(format!("Bearer {}", self.0))
            .unwrap_or_else(|_impossible| HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }
}

impl Account {
    /// Returns the address that a file of a published release has.
    pub fn download_url(&self, tag: &Tag, file: &str) -> Option<UrlReference> {
        let tag = encoded(&tag.to_string());
        let place = format!("{}/{}/releases/download", self.web_url, self.repository);
        let url: SourceUrl = format!("{place}/{tag}/{}", encoded(file)).parse().ok()?;
        Some(url.into())
    }

    /// Whether a URL is one that may see the token: of the API's origin, or of the one that takes its uploads.
    pub(super) fn trusts(&self, url: &str) -> bool {
        let (api, origin) = (origin(&self.api_url), origin(url));
        let uploads = api.replacen("://api.", "://uploads.", 1);
        // A server on loopback has as many ports as it likes.
        let local = |origin: &str| origin.starts_with("http://127.0.0.1:");
        origin == api || origin == uploads || (local(api) && local(origin))
    }
}

fn origin(url: &str) -> &str {
    let Some(host) = url.find("://").map(|at| at + 3) else { return url };
    let end = url[host..].find(['/', '?', '#']).map_or(url.len(), |at| host + at);
    &url[..end]
}

impl FromStr for Repository {
    type Err = ParseRepositoryError;

    /// Takes `owner/name`, and what `git remote get-url` prints for a repository on GitHub.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseRepositoryError { text: text.to_owned() };
        let path = match text.split_once("://") {
            Some((_, rest)) => rest.split_once('/').map(|(_, path)| path),
            None => Some(text.split_once(':').map_or(text, |(_, path)| path)),
        };
        let path = path.ok_or_else(error)?.trim_end_matches('/');
        let (owner, name) =
            path.strip_suffix(".git").unwrap_or(path).split_once('/').ok_or_else(error)?;
        let plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        if !plain(owner) || !plain(name) {
            return Err(error());
        }
        Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
    }
}

impl Repository {
    /// Returns the account that the repository is in.
    pub fn owner(&self) -> &str {
        &self.owner
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_read_from_what_git_knows() {
        for text in [
            "owner/na.me",
            "https://github.com/owner/na.me.git",
            "https://github.com/owner/na.me/",
            "ssh://git@github.com/owner/na.me",
            "git@github.com:owner/na.me.git",
        ] {
            assert_eq!(text.parse::<Repository>().unwrap().to_string(), "owner/na.me", "{text}");
        }
        for bad in ["", "owner", "/srv/owner/name", "owner/..", "o/n?x=1", "https://github.com/o"] {
            assert!(bad.parse::<Repository>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_token_goes_to_the_api_and_its_uploads_alone() {
        let account = |api: &str| Account {
            repository: "o/n".parse().unwrap(),
            api_url: api.to_owned(),
            web_url: "https://github.com".to_owned(),
            token: Token::new("secret"),
        };
        let github = account("https://api.github.com");
        let enterprise = account("https://ghe.example.org/api/v3");
        let tenant = account("https://api.example.ghe.com");
        let local = account("http://127.0.0.1:1");
        for (account, url, expected) in [
            (&github, "https://api.github.com/repos/o/n", true),
            (&github, "https://uploads.github.com/repos/o/n/releases/1/assets", true),
            (&github, "https://uploads.github.com.example.org/", false),
            (&github, "http://api.github.com/", false),
            (&github, "https://objects.githubusercontent.com/x", false),
            (&enterprise, "https://ghe.example.org/api/uploads/x", true),
            (&enterprise, "https://uploads.github.com/x", false),
            (&tenant, "https://uploads.example.ghe.com/x", true),
            (&local, "http://127.0.0.1:2/x", true),
            (&github, "http://127.0.0.1:2/x", false),
        ] {
            assert_eq!(account.trusts(url), expected, "{url}");
        }
        assert_eq!(format!("{github:?}").matches("secret").count(), 0);
        assert!(Token::new("a b").is_none() && Token::new(" \n").is_none());
        let tag = "a@1.0.0".parse().unwrap();
        assert_eq!(
            github.download_url(&tag, "a-1.0.0.tar.gz").unwrap().to_string(),
            "https://github.com/o/n/releases/download/a%401.0.0/a-1.0.0.tar.gz"
        );
    }
}
