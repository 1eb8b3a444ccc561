//! Publishing one large file to a GitHub on loopback, beside `curl -T` to the same server.

use std::path::Path;
use std::time::{Duration, Instant};

use fs_err as fs;
use rnx_spec::Tag;
use rnx_store::blob;
use serde_json::Value;

use super::{BenchError, Contest, Report, Setting, installed, medians, peak_bytes};
use crate::release::github::{Account, GitHub};
use crate::release::publish::forge::{Forge, ForgeError};
use crate::release::publish::run::{self, Options, PublishError};
use crate::release::publish::{Content, File, Wanted};
use crate::release::registry_branch::Backoff;
use crate::tool::{self, Invocation};

/// A gigabyte, as networks count.
const FILE_BYTES: u64 = 1_000_000_000;
const FILE_NAME: &str = "bench.tar.gz";

/// The server that both ways send to, as it says of itself.
struct Server {
    api: String,
    uploads: String,
    repository: String,
    git: Invocation,
}

/// Publishes with `server`, a release build of `local-github`, in turn with curl.
pub fn run(server: &Path, setting: &Setting) -> Result<Report, BenchError> {
    let file = write_file(&setting.scratch)?;
    let (running, line) =
        tool::start(&Invocation::new(server).arg(&setting.scratch)).map_err(tool_error)?;
    let server = Server::read(&line)?;
    let commit = tool::run(&server.git.clone().args(["rev-parse", "main"])).map_err(tool_error)?;
    let commit = String::from_utf8_lossy(&commit.stdout).trim().to_owned();
    let release = |number: usize| -> Result<Wanted, BenchError> {
        let tag: Tag = format!("bench@0.0.{number}").parse().map_err(|_impossible| unexpected())?;
        let make = server.git.clone().args(["tag", &tag.to_string(), "main"]);
        tool::run(&make).map_err(tool_error)?;
        Ok(Wanted { tag, commit: commit.clone(), notes: String::new(), files: vec![file.clone()] })
    };
    let (mut number, mut peak) = (0, 0);
    let ours = || -> Result<Duration, BenchError> {
        number += 2;
        let wanted = release(number)?;
        let mut forge = server.client()?;
        let mut took = Duration::ZERO;
        let used = peak_bytes(|| {
            let started = Instant::now();
            let options = Options { resume: false, backoff: Backoff::default() };
            run::run(&wanted, &mut forge, options, &mut |_| {}).map_err(publish_error)?;
            took = started.elapsed();
            Ok(())
        })?;
        peak = peak.max(used);
        discard(&mut forge, &wanted)?;
        Ok(took)
    };
    let mut odd = 1;
    let curl = || -> Result<Duration, BenchError> {
        odd += 2;
        let wanted = release(odd)?;
        let mut forge = server.client()?;
        let id = forge.create_draft(&wanted).map_err(forge_error)?;
        let (uploads, repository) = (&server.uploads, &server.repository);
        let url = format!("{uploads}/repos/{repository}/releases/{id}/assets?name={FILE_NAME}");
        let send = Invocation::new("curl")
            .args(["--silent", "--show-error", "--fail", "--request", "POST", "--output"])
            .args(["/dev/null", "--header", "Content-Type: application/octet-stream", "-T"])
            .arg(setting.scratch.join(FILE_NAME))
            .arg(url);
        let started = Instant::now();
        tool::run(&send).map_err(tool_error)?;
        let took = started.elapsed();
        discard(&mut forge, &wanted)?;
        Ok(took)
    };
    let (others, missing) = installed(vec![("curl", Contest::new("curl -T", curl))]);
    let contests = std::iter::once(Contest::new("publish", ours)).chain(others).collect();
    let ways = medians(contests, setting.rounds)?;
    drop(running);
    let title = format!(
        "publish: a release of one file of {FILE_BYTES} bytes to loopback, median of {}",
        setting.rounds
    );
    Ok(Report { title, ways, peak_bytes: Some(peak), missing })
}

fn write_file(scratch: &Path) -> Result<File, BenchError> {
    let path = scratch.join(FILE_NAME);
    let scratch_error = |source| BenchError::Scratch { path: path.clone(), source };
    let mut state = 1_u64;
    let chunk: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_le_bytes()
    })
    .take(125_000)
    .flatten()
    .collect();
    let mut file = fs::File::create(&path).map_err(scratch_error)?;
    for _ in 0..FILE_BYTES / chunk.len() as u64 {
        std::io::Write::write_all(&mut file, &chunk).map_err(scratch_error)?;
    }
    let digest = fs::File::open(&path).and_then(blob::digest).map_err(scratch_error)?;
    let (name, size_bytes) = (FILE_NAME.to_owned(), FILE_BYTES);
    Ok(File { name, content: Content::Path(path.clone()), digest, size_bytes })
}

/// Takes what was published away again: ten releases would fill the memory.
fn discard(forge: &mut GitHub, wanted: &Wanted) -> Result<(), BenchError> {
    for release in forge.releases(&wanted.tag).map_err(forge_error)? {
        for asset in release.assets {
            forge.delete_asset(asset.id).map_err(forge_error)?;
        }
    }
    Ok(())
}

impl Server {
    fn read(line: &str) -> Result<Self, BenchError> {
        let said: Value =
            serde_json::from_str(line).map_err(|source| BenchError::Server { source })?;
        let text = |field: &str| said[field].as_str().unwrap_or_default().to_owned();
        let git = Invocation::new("git").arg("--git-dir").arg(text("git"));
        let (api, uploads, repository) = (text("api"), text("uploads"), text("repository"));
        Ok(Self { api, uploads, repository, git })
    }

    fn client(&self) -> Result<GitHub, BenchError> {
        let repository = self.repository.parse().map_err(|_impossible| unexpected())?;
        let (api_url, web_url) = (self.api.clone(), self.api.clone());
        GitHub::connect(Account { repository, api_url, web_url, token: None })
            .map_err(|source| BenchError::Publish { source: Box::new(source) })
    }
}

/// The server says what it is in one form alone.
fn unexpected() -> BenchError {
    let (command, status) =
        ("local-github".to_owned(), "an answer that is not as expected".to_owned());
    BenchError::Ended { command, status }
}

fn tool_error(source: tool::ToolError) -> BenchError {
    BenchError::Tool { source }
}

fn forge_error(source: ForgeError) -> BenchError {
    BenchError::Publish { source: Box::new(source) }
}

fn publish_error(source: PublishError) -> BenchError {
    BenchError::Publish { source: Box::new(source) }
}
