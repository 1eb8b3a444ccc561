//! Release assets of private repositories: GitHub's pages do not know tokens, its API does.

use rnx_spec::SourceUrl;
use rnx_store::fetch::{Fetcher, ReadAllError};
use serde::Deserialize;

use crate::access::AccessError;

/// The server of the API.
pub const API: &str = "https://api.github.com";
/// The server of files on branches.
pub const RAW: &str = "https://raw.githubusercontent.com";
/// What asks the API for an asset's bytes rather than for a description of it.
pub const ASSET_TYPE: &str = "application/octet-stream";

const PAGES: &str = "https://github.com/";
/// The largest description of a release.
const RELEASE_BYTES_MAX: u64 = 16 << 20;

/// The API does not lead to an asset.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    #[error("failed to ask GitHub for the release of `{url}`")]
    Ask { url: SourceUrl, source: ReadAllError },
    #[error("GitHub answered {status} when it was asked for the release of `{url}`")]
    Status { url: SourceUrl, status: u16 },
    #[error("GitHub's description of the release of `{url}` cannot be read")]
    Parse { url: SourceUrl, source: serde_json::Error },
    #[error("GitHub cannot be asked for a release")]
    Access(#[source] AccessError),
    #[error("the release has no asset `{file}`")]
    NoAsset { file: String },
}

#[derive(Debug, Deserialize)]
struct Release {
    assets: Vec<Asset>,
}

#[derive(Debug, Deserialize)]
struct Asset {
    id: u64,
    name: String,
}

/// Returns where the API has the asset that `url` names as a page does; `url` itself if it is no asset's.
pub fn locate(fetcher: &Fetcher, url: &SourceUrl) -> Result<SourceUrl, LocateError> {
    let Some((repository, tag, file)) = asset(url) else { return Ok(url.clone()) };
    let question = address(url, &format!("{API}/repos/{repository}/releases/tags/{tag}"))?;
    let answer = fetcher
        .ask(&question, "application/vnd.github+json", None, RELEASE_BYTES_MAX)
        .map_err(|source| LocateError::Ask { url: url.clone(), source })?;
    if answer.status != 200 {
        return Err(LocateError::Status { url: url.clone(), status: answer.status });
    }
    let release: Release = serde_json::from_slice(&answer.body)
        .map_err(|source| LocateError::Parse { url: url.clone(), source })?;
    let found = release.assets.iter().find(|asset| asset.name == file);
    let asset = found.ok_or_else(|| LocateError::NoAsset { file: file.clone() })?;
    address(url, &format!("{API}/repos/{repository}/releases/assets/{}", asset.id))
}

/// Returns the repository, the tag as it stands in the URL, and the asset's name.
fn asset(url: &SourceUrl) -> Option<(String, String, String)> {
    let path = url.as_str().strip_prefix(PAGES)?.split(['?', '#']).next()?;
    let parts: Vec<&str> = path.split('/').collect();
    let [owner, repo, "releases", "download", tag, file] = parts[..] else { return None };
    // The tag stays as it is encoded; a name is compared, and so decoded, as a path would be.
    let decoded: SourceUrl = format!("file:///{file}").parse().ok()?;
    let file = decoded.to_path()?.file_name()?.to_str()?.to_owned();
    Some((format!("{owner}/{repo}"), tag.to_owned(), file))
}

fn address(url: &SourceUrl, text: &str) -> Result<SourceUrl, LocateError> {
    // What a valid URL's parts are put together to is one.
    text.parse().map_err(|_impossible: rnx_spec::source::ParseUrlError| LocateError::NoAsset {
        file: url.file_name().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assets_are_told_from_other_urls() {
        let found = |url: &str| asset(&url.parse().unwrap());
        let expected = ("o/r".to_owned(), "a%401.0.0".to_owned(), "a 1.tar.gz".to_owned());
        let page = "https://github.com/o/r/releases/download/a%401.0.0/a%201.tar.gz";
        assert_eq!(found(page), Some(expected));
        for other in [
            "https://github.com/o/r/archive/x.tar.gz",
            "https://example.org/o/r/releases/download/t/f",
            "https://github.com/o/r/releases/download/t/u/f",
        ] {
            assert_eq!(found(other), None);
        }
    }
}
