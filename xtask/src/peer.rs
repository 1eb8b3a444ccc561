//! What others say of a format or protocol, fetched to be tested against.
//!
//! For GitHub: its own `OpenAPI` document, with Prism as a proxy that tells of requests the document does not allow, and
//! answers that were recorded. They come from the npm registry, into a folder of their own.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::tool::{self, Invocation, ToolError};

/// Where GitHub's peers are, in the repository.
pub const GITHUB_DIR: &str = "target/peers/github";

/// In [`GITHUB_DIR`]: the part of GitHub's document that publishing is about.
pub const OPENAPI_FILE: &str = "openapi.json";

/// The packages that run; GitHub's document comes beside them, since it unpacks to 400 MB.
const PACKAGES: [&str; 2] = ["@stoplight/prism-cli@5.16", "@octokit/fixtures@23"];
const OPENAPI_PACKAGE: &str = "@octokit/openapi@23";
const OPENAPI_MEMBER: &str = "package/generated/api.github.com.json";

/// The paths that publishing asks, below `/repos/{owner}/{repo}`.
const PATHS: [&str; 11] = [
    "/contents/{path}",
    "/git/ref/{ref}",
    "/git/refs",
    "/git/refs/{ref}",
    "/git/tags/{tag_sha}",
    "/pulls",
    "/releases",
    "/releases/assets/{asset_id}",
    "/releases/tags/{tag}",
    "/releases/{release_id}",
    "/releases/{release_id}/assets",
];

/// Peers could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    #[error("failed to fetch from the npm registry")]
    Fetch { source: ToolError },
    #[error("failed to unpack GitHub's document")]
    Unpack { source: ToolError },
    #[error("failed to write into `{}`", dir.display())]
    Write { dir: PathBuf, source: io::Error },
    #[error("`{OPENAPI_MEMBER}` of {OPENAPI_PACKAGE} is no JSON")]
    Parse { source: serde_json::Error },
    #[error("GitHub's document has no {what} any more")]
    Gone { what: String },
}

/// Fetches GitHub's peers into the repository at `root`, unless they are there. ⚡
pub fn fetch_github(root: &Path, on_line: &mut dyn FnMut(&str)) -> Result<PathBuf, PeerError> {
    let dir = root.join(GITHUB_DIR);
    let write = |source| PeerError::Write { dir: dir.clone(), source };
    let done = dir.join(OPENAPI_FILE);
    if done.is_file() {
        return Ok(dir);
    }
    fs_err::create_dir_all(&dir).map_err(write)?;
    let npm = |args: &[&str]| Invocation::new("npm").args(args.iter().copied()).dir(&dir);
    let fetch = |source| PeerError::Fetch { source };
    // Packages run nothing while they are installed.
    let quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--no-save", "--prefix", "."];
    let install = npm(&["install"]).args(quiet).args(PACKAGES);
    on_line(&install.to_string());
    tool::stream(&install, on_line).map_err(fetch)?;
    let pack = npm(&["pack", "--silent", OPENAPI_PACKAGE]);
    on_line(&pack.to_string());
    let packed = tool::run(&pack).map_err(fetch)?;
    let archive = String::from_utf8_lossy(&packed.stdout).trim().to_owned();
    let unpack = Invocation::new("tar").args(["-xzOf", &archive, OPENAPI_MEMBER]).dir(&dir);
    let document = tool::run(&unpack).map_err(|source| PeerError::Unpack { source })?;
    let document: Value =
        serde_json::from_slice(&document.stdout).map_err(|source| PeerError::Parse { source })?;
    let part = part(&document)?;
    // Last: it says that everything is there.
    fs_err::remove_file(dir.join(archive)).map_err(write)?;
    fs_err::write(&done, part.to_string()).map_err(write)?;
    Ok(dir)
}

/// Returns the document with [`PATHS`] and what they refer to alone: Prism reads the whole for a minute.
fn part(document: &Value) -> Result<Value, PeerError> {
    let mut paths = Map::new();
    for path in PATHS {
        let path = format!("/repos/{{owner}}/{{repo}}{path}");
        let found = document["paths"].get(&path);
        let found = found.ok_or_else(|| PeerError::Gone { what: format!("path `{path}`") })?;
        paths.insert(path, found.clone());
    }
    let paths = Value::Object(paths);
    let (mut components, mut seen) = (Map::new(), BTreeSet::new());
    let mut waiting = references(&paths);
    while let Some(reference) = waiting.pop() {
        if !seen.insert(reference.clone()) {
            continue;
        }
        let gone = || PeerError::Gone { what: format!("`{reference}`") };
        let (kind, name) = reference
            .strip_prefix("#/components/")
            .and_then(|rest| rest.split_once('/'))
            .ok_or_else(gone)?;
        let found = document["components"][kind].get(name).ok_or_else(gone)?;
        waiting.extend(references(found));
        components.entry(kind).or_insert_with(|| Value::Object(Map::new()))[name] = found.clone();
    }
    Ok(serde_json::json!({
        "openapi": document["openapi"], "info": document["info"], "servers": document["servers"],
        "paths": paths, "components": components,
    }))
}

/// Returns every `$ref` in a value.
fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => {
            let own = fields.get("$ref").and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(fields.values().flat_map(references)).collect()
        }
        Value::Array(values) => values.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}
