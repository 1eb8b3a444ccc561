//! Publishing as GitHub's own document wants it, and against answers that GitHub gave. `xtask peer github` fetches both.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

use rnx_spec::Digest;
use sha2::{Digest as _, Sha256};
use test_support::github::REPOSITORY;
use test_support::github::replay::Replay;
use xtask::peer;
use xtask::release::github::{Account, GitHub, Proposal, Token};
use xtask::release::publish::forge::{Forge, ForgeError};
use xtask::release::publish::{Content, File, Wanted, run};

use crate::github::{QUICK, TOKEN, git};
use crate::publish::Scene;

/// Returns the folder of the peers; says so where they are not there.
fn peers() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let dir = root.join(peer::GITHUB_DIR);
    if dir.join(peer::OPENAPI_FILE).is_file() {
        return Some(dir);
    }
    assert!(std::env::var_os("JOBLET_PEERS").is_none(), "`{}` is not there", dir.display());
    eprintln!("skipped: `cargo xtask peer github` fetches what this compares with");
    None
}

/// A proxy that tells what GitHub's document does not allow; it ends with this value.
struct Prism {
    child: Child,
    url: String,
    log: Option<JoinHandle<Vec<String>>>,
}

impl Prism {
    fn start(dir: &Path, upstream: &str) -> Self {
        let mut child = Command::new("node")
            .arg(dir.join("node_modules/@stoplight/prism-cli/dist/index.js"))
            .arg("proxy")
            .arg(dir.join(peer::OPENAPI_FILE))
            .args([upstream, "--host", "127.0.0.1", "--port", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = loop {
            let line = lines.next().unwrap().unwrap();
            if let Some((_, url)) = line.split_once("listening on ") {
                break url.trim().to_owned();
            }
        };
        let log = thread::spawn(move || lines.map_while(Result::ok).collect());
        Self { child, url, log: Some(log) }
    }

    /// Ends the proxy and returns what it found wrong with requests, and how many it saw.
    ///
    /// What it finds wrong with answers is about the server of these tests, which leaves out what nobody reads.
    fn end(mut self) -> (Vec<String>, usize) {
        self.child.kill().unwrap();
        let log = self.log.take().unwrap().join().unwrap();
        let wrong = |line: &&String| {
            line.contains("Violation: request") || line.contains("Request terminated with error")
        };
        let seen = log.iter().filter(|line| line.contains("Request received")).count();
        (log.iter().filter(wrong).cloned().collect(), seen)
    }
}

impl Drop for Prism {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn client(api_url: &str, repository: &str) -> GitHub {
    GitHub::connect(Account {
        repository: repository.parse().unwrap(),
        api_url: api_url.to_owned(),
        web_url: "https://github.com".to_owned(),
        token: Token::new(TOKEN),
    })
    .unwrap()
}

fn file(name: &str, text: &str) -> File {
    File {
        name: name.to_owned(),
        content: Content::Bytes(text.as_bytes().to_vec()),
        digest: Digest::from_bytes(Sha256::digest(text).into()),
        size_bytes: text.len() as u64,
    }
}

#[test]
fn githubs_own_document_allows_every_request() {
    let Some(dir) = peers() else { return };
    let scene = Scene::new();
    let origins = scene.server.origins();
    // The program, with its archives; the uploads alone go past the proxy, which reads bodies as text.
    let api = Prism::start(&dir, &origins.api);
    scene.server.put_behind(&api.url, &origins.uploads);
    let published = scene.publish(&["tiny@1.0.0"]);
    assert_eq!(published.status, Some(0), "{published:?}");
    let resumed = scene.publish(&["tiny@1.0.0", "--resume"]);
    assert_eq!(resumed.status, Some(0), "{resumed:?}");

    // Every kind of request, uploads too, with files that are text.
    let uploads = Prism::start(&dir, &origins.uploads);
    scene.server.put_behind(&api.url, &uploads.url);
    git(scene.server.git_dir(), &["tag", "text@1.0.0", "main"]);
    let wanted = Wanted {
        tag: "text@1.0.0".parse().unwrap(),
        commit: git(scene.server.git_dir(), &["rev-parse", "main"]),
        notes: "text".to_owned(),
        files: vec![file("a+b.txt", "a"), file("c.txt", "c")],
    };
    let mut forge = client(&api.url, REPOSITORY);
    let id = forge.create_draft(&wanted).unwrap();
    forge.delete_draft(id).unwrap();
    run::run(&wanted, &mut forge, QUICK, &mut |_| {}).unwrap();
    let asset = forge.releases(&wanted.tag).unwrap()[0].assets[0].id;
    forge.delete_asset(asset).unwrap();
    let proposal = Proposal {
        base: "main".to_owned(),
        branch: "registry/text".to_owned(),
        file: "registry.json".to_owned(),
        content: b"{}".to_vec(),
        title: "text".to_owned(),
        text: "more".to_owned(),
    };
    for _ in 0..2 {
        forge.propose(&proposal).unwrap();
    }
    forge.delete_branch("registry/text").unwrap();

    let ((api_wrong, api_seen), (uploads_wrong, uploads_seen)) = (api.end(), uploads.end());
    assert_eq!((api_wrong, uploads_wrong), (vec![], vec![]));
    assert!(api_seen > 30 && uploads_seen == 2, "{api_seen}, {uploads_seen}");
}

#[test]
fn recorded_answers_are_understood() {
    let Some(dir) = peers() else { return };
    let scenario = |name: &str| {
        let place = "node_modules/@octokit/fixtures/scenarios/api.github.com";
        let replay = Replay::start(&dir.join(place).join(name).join("normalized-fixture.json"));
        let forge = client(&replay.url(), &format!("octokit-fixture-org/{name}"));
        (replay, forge)
    };
    let tag = "v1.0.0".parse().unwrap();
    let upload = file("test-upload.txt", "Hello, world!\n");

    let (replay, mut forge) = scenario("release-assets");
    let releases = forge.releases(&tag).unwrap();
    assert!(!releases[0].draft && releases[0].assets[0].complete);
    let asset = forge.upload(&releases[0], &upload, &mut |_| {}).unwrap();
    assert_eq!(
        (asset.name.as_str(), asset.size_bytes, asset.digest),
        ("test-upload.txt", 14, None)
    );
    forge.delete_asset(asset.id).unwrap();
    // We ask for no single asset and rename none.
    let left = ["get", "patch"].map(|method| {
        format!("{method} /repos/octokit-fixture-org/release-assets/releases/assets/1000")
    });
    assert_eq!((replay.left(), replay.strange()), (left.to_vec(), vec![]));

    let (replay, mut forge) = scenario("release-assets-conflict");
    let releases = forge.releases(&tag).unwrap();
    let refused = forge.upload(&releases[0], &upload, &mut |_| {}).unwrap_err();
    assert!(refused.retry().is_some(), "{refused:?}");
    let ForgeError::Answered { status: 422, codes, .. } = refused else { panic!() };
    assert_eq!(codes, ["already_exists"]);
    forge.delete_asset(releases[0].assets[0].id).unwrap();
    forge.upload(&releases[0], &upload, &mut |_| {}).unwrap();
    assert_eq!((replay.left(), replay.strange()), (vec![], vec![]));

    let (replay, forge) = scenario("git-refs");
    let sha = |last: u8| format!("{}{last}", "0".repeat(39));
    forge.create_branch("test", &sha(2)).unwrap();
    forge.move_branch("test", &sha(1)).unwrap();
    forge.delete_branch("test").unwrap();
    // Its lists of all references are of an API that is gone.
    assert_eq!((replay.left().len(), replay.strange()), (2, vec![]));

    let (replay, forge) = scenario("create-file");
    forge.put_file("main", "test.txt", b"Test content", "create test.txt").unwrap();
    assert_eq!(replay.left(), Vec::<String>::new());
    // Whether it is there was not asked then.
    assert_eq!(replay.strange(), ["GET repos/octokit-fixture-org/create-file/contents/test.txt"]);
}
