//! GitHub's releases, references and contents: the only asynchronous code, behind calls that wait. ⚡
//!
//! [octocrab](https://docs.rs/octocrab) carries requests, tokens and TLS; what is sent and how answers are read is
//! decided here. Its own retries are not even compiled: a `POST` whose answer was lost may have done its work. Its typed models are
//! not used either, since they refuse answers that lack a field nobody here asks for.

mod account;
mod contents;
mod upload;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use http::{HeaderMap, Method, Request, Uri, header};
use http_body_util::{BodyExt, Limited};
use octocrab::{OctoBody, Octocrab};
use rnx_spec::Digest;
use rnx_spec::tag::Tag;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

pub use self::account::{Account, ParseRepositoryError, Repository, Token};
pub use self::contents::Proposal;
use super::publish::forge::{Forge, ForgeError};
use super::publish::{File, RemoteAsset, RemoteRelease, Wanted};

/// How long GitHub may think about a request that carries no file.
const ANSWER_TIME_MAX: Duration = Duration::from_mins(1);
const CONNECT_TIME_MAX: Duration = Duration::from_secs(30);
/// Answers are small documents.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// GitHub's most, for lists.
const PER_PAGE: usize = 100;
/// Longer lists are not read to their end: 10,000 releases.
const PAGES_MAX: usize = 100;

/// A repository on GitHub, or on a server with its API.
pub struct GitHub {
    account: Account,
    runtime: Runtime,
    api: Octocrab,
    /// Where the files of a release go, by its number.
    upload_urls: BTreeMap<u64, String>,
}

/// A connection to GitHub could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("failed to start what waits for answers")]
    Runtime { source: std::io::Error },
    #[error("`{url}` is not the address of an API")]
    Url { url: String, source: TransportError },
    #[error("failed to set up encrypted connections")]
    Tls { source: TransportError },
}

/// Why a request got no answer: the messages of a chain of errors, and nothing of what was sent.
///
/// The errors of the libraries below print headers when they are debug-printed, so none of them goes further than here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportError(String);

/// A status, headers, and a whole body.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// A release, of which GitHub tells more than this.
#[derive(Debug, Deserialize)]
struct ReleaseJson {
    id: u64,
    draft: bool,
    #[serde(default)]
    immutable: Option<bool>,
    html_url: String,
    upload_url: String,
    #[serde(default)]
    assets: Vec<AssetJson>,
}

#[derive(Debug, Deserialize)]
struct AssetJson {
    id: u64,
    name: String,
    state: String,
    size: u64,
    #[serde(default)]
    digest: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ReferenceJson {
    object: ObjectJson,
}

#[derive(Debug, Deserialize)]
struct ObjectJson {
    #[serde(rename = "type")]
    kind: String,
    sha: String,
}

/// What GitHub says of a request that it refuses.
#[derive(Debug, Default, Deserialize)]
struct ProblemJson {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: Vec<Value>,
}

impl GitHub {
    /// Sets a connection up; nothing is sent yet.
    pub fn connect(account: Account) -> Result<Self, ConnectError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| ConnectError::Runtime { source })?;
        let uri: Uri = account.api_url.parse().map_err(|error: http::uri::InvalidUri| {
            ConnectError::Url { url: account.api_url.clone(), source: TransportError::of(&error) }
        })?;
        // A token that octocrab knew would go to one more authority than it should: it is put on requests here.
        let builder = Octocrab::builder()
            .set_connect_timeout(Some(CONNECT_TIME_MAX))
            .base_uri(uri)
            .map_err(|error| ConnectError::Url {
                url: account.api_url.clone(),
                source: TransportError::of(&error),
            })?;
        let inside = runtime.enter();
        let api = builder
            .build()
            .map_err(|error| ConnectError::Tls { source: TransportError::of(&error) })?;
        drop(inside);
        Ok(Self { account, runtime, api, upload_urls: BTreeMap::new() })
    }

    /// Reads all pages of a list.
    fn list(&self, doing: &str, path: &str) -> Result<Vec<Value>, ForgeError> {
        let mut all = Vec::new();
        for page in 1..=PAGES_MAX {
            let query = format!("{path}?per_page={PER_PAGE}&page={page}");
            let answer = self.call(doing, Method::GET, &query, None)?;
            let mut shown: Vec<Value> = answer.parsed(doing)?;
            let is_last = shown.len() < PER_PAGE;
            all.append(&mut shown);
            if is_last {
                break;
            }
        }
        Ok(all)
    }

    /// Sends a request about the repository, and takes only success for an answer. `path` begins after its name.
    fn call(
        &self,
        doing: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, ForgeError> {
        let mut request = self.request(method, &format!("{}{path}", self.repository_url()));
        let body = match body {
            Some(value) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                OctoBody::from(value.to_string())
            }
            None => OctoBody::empty(),
        };
        self.send(doing, request, body, ANSWER_TIME_MAX)?.succeeded(doing)
    }

    fn repository_url(&self) -> String {
        format!("{}/repos/{}", self.account.api_url, self.account.repository)
    }

    /// Begins a request with the token, which goes to the API's own origin and to that of its uploads alone.
    fn request(&self, method: Method, url: &str) -> http::request::Builder {
        let request = Request::builder()
            .method(method)
            .uri(url)
            .header(header::ACCEPT, "application/vnd.github+json")
            .header("X-GitHub-Api-Version", "2022-11-28");
        match &self.account.token {
            Some(token) if self.account.trusts(url) => {
                request.header(header::AUTHORIZATION, token.header())
            }
            _ => request,
        }
    }

    /// Sends a request and reads the whole answer, whatever its status.
    fn send(
        &self,
        doing: &str,
        request: http::request::Builder,
        body: OctoBody,
        time_max: Duration,
    ) -> Result<Answer, ForgeError> {
        let exchange = self.exchange(doing, request, body);
        let seconds = time_max.as_secs();
        self.runtime
            .block_on(async { tokio::time::timeout(time_max, exchange).await })
            .unwrap_or_else(|_| Err(ForgeError::Stalled { doing: doing.to_owned(), seconds }))
    }

    async fn exchange(
        &self,
        doing: &str,
        request: http::request::Builder,
        body: OctoBody,
    ) -> Result<Answer, ForgeError> {
        let unreachable = |error: &dyn Error| ForgeError::Unreachable {
            doing: doing.to_owned(),
            source: Box::new(TransportError::of(error)),
        };
        let request = request.body(body).map_err(|error| unreachable(&error))?;
        let response = self.api.send(request).await.map_err(|error| unreachable(&error))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| unreachable(&*error))?
            .to_bytes()
            .to_vec();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }
}

impl Forge for GitHub {
    fn tag_commit(&mut self, tag: &Tag) -> Result<Option<String>, ForgeError> {
        let doing = format!("read the tag `{tag}`");
        let path = format!("/git/ref/{}", encoded(&format!("tags/{tag}")));
        let found = match self.call(&doing, Method::GET, &path, None) {
            Err(ForgeError::Answered { status: 404, .. }) => return Ok(None),
            other => other?.parsed::<ReferenceJson>(&doing)?,
        };
        if found.object.kind != "tag" {
            return Ok(Some(found.object.sha));
        }
        let path = format!("/git/tags/{}", found.object.sha);
        let tag: ReferenceJson = self.call(&doing, Method::GET, &path, None)?.parsed(&doing)?;
        Ok(Some(tag.object.sha))
    }

    fn releases(&mut self, tag: &Tag) -> Result<Vec<RemoteRelease>, ForgeError> {
        let doing = "list the releases";
        let by_tag = format!("/releases/tags/{}", encoded(&tag.to_string()));
        let all = match self.call(doing, Method::GET, &by_tag, None) {
            Ok(published) => vec![published.parsed(doing)?],
            // Asking by tag hides drafts.
            Err(ForgeError::Answered { status: 404, .. }) => self.list(doing, "/releases")?,
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for value in all.into_iter().filter(|value| value["tag_name"] == *tag.to_string()) {
            let release: ReleaseJson = parsed(doing, value)?;
            let assets = self.list(doing, &format!("/releases/{}/assets", release.id))?;
            let assets = assets.into_iter().map(|asset| parsed::<AssetJson>(doing, asset));
            let assets = assets.collect::<Result<_, _>>()?;
            self.upload_urls.insert(release.id, release.upload_url.clone());
            found.push(ReleaseJson { assets, ..release }.into());
        }
        Ok(found)
    }

    fn create_draft(&mut self, wanted: &Wanted) -> Result<u64, ForgeError> {
        let doing = format!("create the draft of `{}`", wanted.tag);
        let body = json!({
            "tag_name": wanted.tag.to_string(), "target_commitish": wanted.commit,
            "name": wanted.tag.to_string(), "body": wanted.notes, "draft": true,
        });
        let made: ReleaseJson =
            self.call(&doing, Method::POST, "/releases", Some(&body))?.parsed(&doing)?;
        Ok(made.id)
    }

    fn delete_draft(&mut self, id: u64) -> Result<(), ForgeError> {
        let doing = format!("delete the draft {id}");
        self.call(&doing, Method::DELETE, &format!("/releases/{id}"), None).map(drop)
    }

    fn upload(
        &mut self,
        release: &RemoteRelease,
        file: &File,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<RemoteAsset, ForgeError> {
        let doing = format!("upload {}", file.name);
        let upload_url = if let Some(url) = self.upload_urls.get(&release.id) {
            url.clone()
        } else {
            let path = format!("/releases/{}", release.id);
            self.call(&doing, Method::GET, &path, None)?.parsed::<ReleaseJson>(&doing)?.upload_url
        };
        self.upload_to(&doing, &upload_url, file, on_bytes)
    }

    fn delete_asset(&mut self, asset: u64) -> Result<(), ForgeError> {
        let doing = format!("delete the file {asset} of a release");
        self.call(&doing, Method::DELETE, &format!("/releases/assets/{asset}"), None).map(drop)
    }

    fn fetch_digest(&mut self, asset: u64) -> Result<Digest, ForgeError> {
        self.fetch(&format!("fetch the file {asset} of a release"), asset)
    }

    fn publish(&mut self, release: &RemoteRelease, wanted: &Wanted) -> Result<(), ForgeError> {
        let doing = format!("publish the release `{}`", wanted.tag);
        let body = json!({
            "tag_name": wanted.tag.to_string(), "target_commitish": wanted.commit,
            "name": wanted.tag.to_string(), "body": wanted.notes, "draft": false,
        });
        let path = format!("/releases/{}", release.id);
        self.call(&doing, Method::PATCH, &path, Some(&body)).map(drop)
    }
}

impl Answer {
    /// Returns what GitHub says went wrong, unless all went well.
    fn succeeded(self, doing: &str) -> Result<Self, ForgeError> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        // Proxies answer in HTML; the status says enough then.
        let problem: ProblemJson = serde_json::from_slice(&self.body).unwrap_or_default();
        let codes: Vec<String> = problem
            .errors
            .iter()
            .filter_map(|error| error["code"].as_str().or(error.as_str()))
            .map(str::to_owned)
            .collect();
        let mut message = problem.message;
        if !codes.is_empty() {
            message = format!("{message} ({})", codes.join(", "));
        }
        let wait = self.wait();
        let (doing, status) = (doing.to_owned(), self.status);
        Err(ForgeError::Answered { doing, status, message, codes, wait })
    }

    /// Returns how long GitHub asks to be left alone.
    fn wait(&self) -> Option<Duration> {
        let seconds = self.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    }

    fn parsed<T: for<'de> Deserialize<'de>>(&self, doing: &str) -> Result<T, ForgeError> {
        serde_json::from_slice(&self.body)
            .map_err(|source| ForgeError::Answer { doing: doing.to_owned(), source })
    }
}

impl From<ReleaseJson> for RemoteRelease {
    fn from(json: ReleaseJson) -> Self {
        Self {
            id: json.id,
            draft: json.draft,
            immutable: json.immutable == Some(true),
            page: json.html_url,
            assets: json.assets.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<AssetJson> for RemoteAsset {
    fn from(json: AssetJson) -> Self {
        Self {
            id: json.id,
            name: json.name,
            complete: json.state == "uploaded",
            size_bytes: json.size,
            // Only SHA-256 can be compared with what we know.
            digest: json.digest.and_then(|digest| digest.parse().ok()),
        }
    }
}

impl TransportError {
    fn of(error: &dyn Error) -> Self {
        let mut text = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            let cause_text = cause.to_string();
            if !text.ends_with(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            next = cause.source();
        }
        Self(text)
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for TransportError {}

impl fmt::Debug for GitHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitHub").field("account", &self.account).finish_non_exhaustive()
    }
}

fn parsed<T: for<'de> Deserialize<'de>>(doing: &str, value: Value) -> Result<T, ForgeError> {
    serde_json::from_value(value)
        .map_err(|source| ForgeError::Answer { doing: doing.to_owned(), source })
}

/// Encodes everything but the unreserved characters of RFC 3986, as one segment or value of a URL.
fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}
