//! Releases and their assets, with GitHub's rules about drafts, names, states and digests.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rnx_spec::Digest;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::wire::{Answer, Content, Head, encoded};
use super::{NOW, Origins};

/// GitHub refuses an asset of this many bytes or more.
const ASSET_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// A release, as [`super::GitHub::releases`] shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    pub id: u64,
    pub tag: String,
    pub target: String,
    pub name: String,
    pub body: String,
    pub draft: bool,
    pub prerelease: bool,
    pub make_latest: Option<String>,
    pub assets: Vec<Asset>,
}

/// A file of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    pub id: u64,
    pub name: String,
    pub label: Option<String>,
    pub content_type: String,
    pub size_bytes: u64,
    /// Absent until the upload was complete; GitHub says `starter` then.
    pub digest: Option<Digest>,
}

/// All releases of a repository.
#[derive(Debug)]
pub(crate) struct Releases {
    pub(crate) all: Vec<Release>,
    next_id: u64,
    /// Where the assets' bytes are.
    dir: PathBuf,
    /// `owner/name`
    repository: String,
    /// Published releases cannot be changed.
    pub(crate) immutable: bool,
    /// Answers tell no digests, as those of older servers.
    pub(crate) without_digests: bool,
}

impl Releases {
    pub(crate) fn new(dir: &Path, repository: &str) -> Self {
        Self {
            all: Vec::new(),
            next_id: 1,
            dir: dir.to_owned(),
            repository: repository.to_owned(),
            immutable: false,
            without_digests: false,
        }
    }

    /// Answers what is below `/repos/owner/name/releases/`; `None` where nothing is.
    ///
    /// `trusted` is who sees drafts.
    pub(crate) fn answer(
        &mut self,
        (head, rest): (&Head, &str),
        body: &Value,
        trusted: bool,
        origins: &Origins,
    ) -> Option<Answer> {
        let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
        match (head.method.as_str(), parts.as_slice()) {
            ("GET", []) => {
                let seen = self.all.iter().rev().filter(|release| trusted || !release.draft);
                let all = seen.map(|release| self.release_json(release, origins)).collect();
                Some(page(head, all, &origins.api))
            }
            ("POST", []) => Some(self.create(body, origins)),
            // A tag may hold a slash.
            ("GET", ["tags", tag @ ..]) => {
                let tag = tag.join("/");
                let found = self.all.iter().find(|release| !release.draft && release.tag == tag)?;
                Some(Answer::json(200, &self.release_json(found, origins)))
            }
            ("GET", ["latest"]) => {
                let found = self.all.iter().rev().find(|r| !r.draft && !r.prerelease)?;
                Some(Answer::json(200, &self.release_json(found, origins)))
            }
            ("GET", ["assets", id]) => self.asset(head, id.parse().ok()?, origins),
            ("PATCH", ["assets", id]) => self.rename(id.parse().ok()?, body, origins),
            ("DELETE", ["assets", id]) => self.delete_asset(id.parse().ok()?),
            (method, [id, rest @ ..]) => {
                let at = self.position(id.parse().ok()?)?;
                let seen = trusted || !self.all[at].draft;
                match (method, rest) {
                    ("GET", []) if seen => {
                        Some(Answer::json(200, &self.release_json(&self.all[at], origins)))
                    }
                    ("GET", ["assets"]) if seen => {
                        let release = &self.all[at];
                        let assets = release.assets.iter();
                        let all = assets.map(|one| self.asset_json(release, one, origins));
                        Some(page(head, all.collect(), &origins.api))
                    }
                    ("PATCH", []) => Some(self.edit(at, body, origins)),
                    ("DELETE", []) => {
                        self.all.remove(at);
                        Some(Answer::empty(204))
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Begins an upload: the asset is there as a `starter`, and its bytes go into the file that is returned.
    pub(crate) fn begin_upload(
        &mut self,
        head: &Head,
        release: u64,
    ) -> io::Result<Result<(u64, fs_err::File), Answer>> {
        let Some(at) = self.position(release) else {
            return Ok(Err(Answer::problem(404, "Not Found")));
        };
        let name = sanitized(head.query.get("name").map_or("", String::as_str));
        let announced: Option<u64> =
            head.headers.get("content-length").and_then(|l| l.parse().ok());
        let refusal = if name.is_empty() {
            Some(Answer::problem(400, "Bad Request: no name"))
        } else if announced.is_some_and(|bytes| bytes >= ASSET_BYTES_MAX) {
            Some(Answer::invalid("ReleaseAsset", "invalid", "size"))
        } else if announced == Some(0) {
            Some(Answer::problem(400, "Bad Content-Length: 0"))
        } else if self.immutable && !self.all[at].draft {
            Some(Answer::problem(422, "Cannot upload assets to an immutable release."))
        } else if self.all[at].assets.iter().any(|asset| asset.name == name) {
            Some(Answer::invalid("ReleaseAsset", "already_exists", "name"))
        } else {
            None
        };
        if let Some(refusal) = refusal {
            return Ok(Err(refusal));
        }
        let asset = Asset {
            id: self.new_id(),
            name,
            label: head.query.get("label").cloned(),
            content_type: head.headers.get("content-type").cloned().unwrap_or_default(),
            size_bytes: 0,
            digest: None,
        };
        let (id, file) = (asset.id, fs_err::File::create(self.dir.join(asset.id.to_string()))?);
        self.all[at].assets.push(asset);
        Ok(Ok((id, file)))
    }

    /// Ends an upload whose bytes are all there.
    pub(crate) fn end_upload(
        &mut self,
        id: u64,
        (size_bytes, digest): (u64, Digest),
        origins: &Origins,
    ) -> Option<Answer> {
        let asset = self.all.iter_mut().flat_map(|r| &mut r.assets).find(|asset| asset.id == id)?;
        (asset.size_bytes, asset.digest) = (size_bytes, Some(digest));
        let (release, asset) = self.find_asset(id)?;
        Some(Answer::json(201, &self.asset_json(release, asset, origins)))
    }

    /// Answers a download from a published release: `owner/name/releases/download/TAG/FILE`.
    pub(crate) fn download(&self, tag: &str, file: &str, origins: &Origins) -> Option<Answer> {
        let release = self.all.iter().find(|release| !release.draft && release.tag == tag)?;
        let asset = release.assets.iter().find(|one| one.name == file && one.digest.is_some())?;
        Some(Answer::redirect(format!("{}/{}?sig=of-{}", origins.objects, asset.id, asset.id)))
    }

    /// Answers with an asset's bytes, on the second origin; `range` is the value of `Range:`.
    pub(crate) fn object(&self, head: &Head) -> Option<Answer> {
        let id: u64 = head.path.parse().ok()?;
        if head.query.get("sig") != Some(&format!("of-{id}")) {
            return Some(Answer::problem(403, "the signature does not match"));
        }
        let mut file = fs_err::File::open(self.dir.join(id.to_string())).ok()?;
        let length = file.metadata().ok()?.len();
        let range = head.headers.get("range").map(String::as_str);
        let start = range
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok())
            .filter(|start| *start < length)
            .unwrap_or(0);
        io::Seek::seek(&mut file, io::SeekFrom::Start(start)).ok()?;
        let status = if start > 0 { 206 } else { 200 };
        let mut headers = vec![("Content-Type", "application/octet-stream".to_owned())];
        if start > 0 {
            headers.push(("Content-Range", format!("bytes {start}-{}/{length}", length - 1)));
        }
        Some(Answer { status, headers, body: Content::File(file, length - start) })
    }

    fn create(&mut self, body: &Value, origins: &Origins) -> Answer {
        let tag = body["tag_name"].as_str().unwrap_or_default().to_owned();
        let draft = body["draft"] == true;
        if tag.is_empty() {
            return Answer::invalid("Release", "missing_field", "tag_name");
        }
        // Any number of drafts may name the same tag.
        if !draft && self.all.iter().any(|release| !release.draft && release.tag == tag) {
            return Answer::invalid("Release", "already_exists", "tag_name");
        }
        let release = Release {
            id: self.new_id(),
            target: body["target_commitish"].as_str().unwrap_or("main").to_owned(),
            name: body["name"].as_str().unwrap_or_default().to_owned(),
            body: body["body"].as_str().unwrap_or_default().to_owned(),
            prerelease: body["prerelease"] == true,
            make_latest: body["make_latest"].as_str().map(str::to_owned),
            assets: Vec::new(),
            tag,
            draft,
        };
        let answer = Answer::json(201, &self.release_json(&release, origins));
        self.all.push(release);
        answer
    }

    fn edit(&mut self, at: usize, body: &Value, origins: &Origins) -> Answer {
        let tag = body["tag_name"].as_str().unwrap_or(&self.all[at].tag).to_owned();
        let draft = body["draft"].as_bool().unwrap_or(self.all[at].draft);
        let taken = |other: &Release| !other.draft && other.tag == tag;
        if !draft && self.all[at].draft && self.all.iter().any(taken) {
            return Answer::invalid("Release", "already_exists", "tag_name");
        }
        let release = &mut self.all[at];
        (release.tag, release.draft) = (tag, draft);
        let text = |field: &str| body[field].as_str().map(str::to_owned);
        release.name = text("name").unwrap_or_else(|| release.name.clone());
        release.body = text("body").unwrap_or_else(|| release.body.clone());
        release.make_latest = text("make_latest").or_else(|| release.make_latest.clone());
        release.target = text("target_commitish").unwrap_or_else(|| release.target.clone());
        Answer::json(200, &self.release_json(&self.all[at], origins))
    }

    fn asset(&self, head: &Head, id: u64, origins: &Origins) -> Option<Answer> {
        let (release, asset) = self.find_asset(id)?;
        let accept = head.headers.get("accept").map_or("", String::as_str);
        if accept.contains("application/octet-stream") {
            return Some(Answer::redirect(format!("{}/{id}?sig=of-{id}", origins.objects)));
        }
        Some(Answer::json(200, &self.asset_json(release, asset, origins)))
    }

    fn rename(&mut self, id: u64, body: &Value, origins: &Origins) -> Option<Answer> {
        let release = self.all.iter_mut().find(|r| r.assets.iter().any(|a| a.id == id))?;
        let asset = release.assets.iter_mut().find(|asset| asset.id == id)?;
        if let Some(name) = body["name"].as_str() {
            asset.name = sanitized(name);
        }
        if let Some(label) = body["label"].as_str() {
            asset.label = Some(label.to_owned());
        }
        let (release, asset) = self.find_asset(id)?;
        Some(Answer::json(200, &self.asset_json(release, asset, origins)))
    }

    fn delete_asset(&mut self, id: u64) -> Option<Answer> {
        let release = self.all.iter_mut().find(|r| r.assets.iter().any(|a| a.id == id))?;
        if self.immutable && !release.draft {
            return Some(Answer::problem(422, "Cannot delete assets of an immutable release."));
        }
        release.assets.retain(|asset| asset.id != id);
        fs_err::remove_file(self.dir.join(id.to_string())).ok();
        Some(Answer::empty(204))
    }

    fn find_asset(&self, id: u64) -> Option<(&Release, &Asset)> {
        self.all.iter().find_map(|release| {
            Some((release, release.assets.iter().find(|asset| asset.id == id)?))
        })
    }

    fn position(&self, id: u64) -> Option<usize> {
        self.all.iter().position(|release| release.id == id)
    }

    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    fn release_json(&self, release: &Release, origins: &Origins) -> Value {
        let assets: Vec<Value> =
            release.assets.iter().map(|one| self.asset_json(release, one, origins)).collect();
        let api = format!("{}/repos/{}/releases/{}", origins.api, self.repository, release.id);
        let place = place(release);
        json!({
            "url": api, "assets_url": format!("{api}/assets"),
            "upload_url": format!(
                "{}/repos/{}/releases/{}/assets{{?name,label}}",
                origins.uploads, self.repository, release.id
            ),
            "html_url": format!("{}/{}/releases/tag/{place}", origins.web, self.repository),
            "id": release.id, "node_id": "node", "tag_name": release.tag,
            "target_commitish": release.target, "name": release.name, "body": release.body,
            "draft": release.draft, "prerelease": release.prerelease,
            "immutable": self.immutable && !release.draft,
            "created_at": NOW, "published_at": (!release.draft).then_some(NOW),
            "author": person(origins), "assets": assets,
            "tarball_url": null, "zipball_url": null,
        })
    }

    fn asset_json(&self, release: &Release, asset: &Asset, origins: &Origins) -> Value {
        let digest =
            asset.digest.filter(|_| !self.without_digests).map(|digest| digest.to_string());
        let (repository, place) = (&self.repository, place(release));
        json!({
            "url": format!("{}/repos/{repository}/releases/assets/{}", origins.api, asset.id),
            "browser_download_url": format!(
                "{}/{repository}/releases/download/{place}/{}", origins.web, asset.name
            ),
            "id": asset.id, "node_id": "node", "name": asset.name, "label": asset.label,
            "state": if asset.digest.is_some() { "uploaded" } else { "starter" },
            "content_type": asset.content_type, "size": asset.size_bytes, "digest": digest,
            "download_count": 0, "created_at": NOW, "updated_at": NOW, "uploader": person(origins),
        })
    }
}

/// Where a release's pages are: a draft has no tag yet.
fn place(release: &Release) -> String {
    if release.draft { format!("untagged-{}", release.id) } else { encoded(&release.tag) }
}

/// Cuts a list into the page that was asked for, with the `Link:` to the next.
fn page(head: &Head, all: Vec<Value>, api: &str) -> Answer {
    let number = |name: &str, default: usize| {
        head.query.get(name).and_then(|text| text.parse().ok()).unwrap_or(default).max(1)
    };
    let (size, page) = (number("per_page", 30).min(100), number("page", 1));
    let more = all.len() > page * size;
    let shown: Vec<Value> = all.into_iter().skip((page - 1) * size).take(size).collect();
    let answer = Answer::json(200, &Value::Array(shown));
    if !more {
        return answer;
    }
    let next = format!("{api}/{}?per_page={size}&page={}", head.path, page + 1);
    answer.header("Link", format!("<{next}>; rel=\"next\""))
}

/// Copies to a file and takes the digest.
pub(crate) fn store(from: &mut dyn Read, mut file: fs_err::File) -> io::Result<(u64, Digest)> {
    let (mut hasher, mut buffer, mut size_bytes) = (Sha256::new(), vec![0; 256 * 1024], 0);
    loop {
        match from.read(&mut buffer)? {
            0 => break,
            got => {
                hasher.update(&buffer[..got]);
                file.write_all(&buffer[..got])?;
                size_bytes += got as u64;
            }
        }
    }
    Ok((size_bytes, Digest::from_bytes(hasher.finalize().into())))
}

/// GitHub renames what has other characters.
fn sanitized(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+@".contains(c);
    name.chars().map(|c| if plain(c) { c } else { '.' }).collect()
}

fn person(origins: &Origins) -> Value {
    let page = |path: &str| format!("{}/users/someone{path}", origins.api);
    json!({
        "login": "someone", "id": 1, "node_id": "node", "gravatar_id": "", "type": "User",
        "site_admin": false, "avatar_url": format!("{}/someone.png", origins.web),
        "html_url": format!("{}/someone", origins.web), "url": page(""),
        "followers_url": page("/followers"), "following_url": page("/following"),
        "gists_url": page("/gists"), "starred_url": page("/starred"),
        "subscriptions_url": page("/subscriptions"), "organizations_url": page("/orgs"),
        "repos_url": page("/repos"), "events_url": page("/events"),
        "received_events_url": page("/received_events"),
    })
}
