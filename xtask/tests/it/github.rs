//! Publishing to a GitHub on loopback, with everything going wrong that can.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rnx_spec::Digest;
use sha2::{Digest as _, Sha256};
use test_support::github::{Fault, GitHub as Server, Options as ServerOptions, Origin, REPOSITORY};
use xtask::release::github::{Account, GitHub, Token};
use xtask::release::publish::forge::ForgeError;
use xtask::release::publish::run::{self, Options, PublishError};
use xtask::release::publish::{Content, File, PlanError, Wanted};
use xtask::release::registry_branch::Backoff;

pub(crate) const TOKEN: &str = "ghp_canaryNobodyMaySeeThisToken0123456789";

const TAG: &str = "tiny@1.0.0";

pub(crate) const QUICK: Options = Options {
    resume: false,
    backoff: Backoff { first: Duration::from_millis(1), max: Duration::from_millis(5) },
};

/// Starts a server whose only commit has the tag, annotated.
fn server() -> Server {
    let server =
        Server::with(&ServerOptions { token: Some(TOKEN.to_owned()), ..Default::default() });
    git(server.git_dir(), &["tag", "-a", "-m", "a release", TAG, "main"]);
    server
}

pub(crate) fn git(dir: &Path, args: &[&str]) -> String {
    let output = std::process::Command::new("git")
        .arg("-C")
        .arg(dir)
        .args(["-c", "user.name=someone", "-c", "user.email=someone@example.org"])
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn client(server: &Server) -> GitHub {
    GitHub::connect(Account {
        repository: REPOSITORY.parse().unwrap(),
        api_url: server.origins().api.clone(),
        web_url: server.origins().web.clone(),
        token: Token::new(TOKEN),
    })
    .unwrap()
}

/// A file on disk, larger than a piece of an upload; a small one; one whose name must be encoded.
fn wanted(server: &Server, dir: &Path) -> Wanted {
    let mut large = vec![7; 3 * 1024 * 1024 + 5];
    large[1] = 8;
    fs_err::write(dir.join("large.tar.gz"), &large).unwrap();
    let digest = |bytes: &[u8]| Digest::from_bytes(Sha256::digest(bytes).into());
    let file = |name: &str, content, bytes: &[u8]| File {
        name: name.to_owned(),
        content,
        digest: digest(bytes),
        size_bytes: bytes.len() as u64,
    };
    let small = b"small\n".to_vec();
    let plus = b"plus\n".to_vec();
    Wanted {
        tag: TAG.parse().unwrap(),
        commit: git(server.git_dir(), &["rev-parse", "main"]),
        notes: "what it is".to_owned(),
        files: vec![
            file("SUMS", Content::Bytes(small.clone()), &small),
            file("c++-1.0.0.json", Content::Bytes(plus.clone()), &plus),
            file("large.tar.gz", Content::Path(dir.join("large.tar.gz")), &large),
        ],
    }
}

/// What users see of a published release: names and digests.
fn visible(server: &Server) -> BTreeMap<String, Option<Digest>> {
    let releases: Vec<_> = server.releases().into_iter().filter(|one| !one.draft).collect();
    assert_eq!(releases.len(), 1, "{releases:?}");
    releases[0].assets.iter().map(|asset| (asset.name.clone(), asset.digest)).collect()
}

fn expected(wanted: &Wanted) -> BTreeMap<String, Option<Digest>> {
    wanted.files.iter().map(|file| (file.name.clone(), Some(file.digest))).collect()
}

fn publish(wanted: &Wanted, server: &Server) -> Result<run::Published, PublishError> {
    run::run(wanted, &mut client(server), QUICK, &mut |_| {})
}

fn changes(server: &Server) -> Vec<String> {
    let changing = server.log().into_iter().filter(|entry| entry.method != "GET");
    changing
        .map(|entry| {
            let name = entry.query.get("name").map(|name| format!(" {name}")).unwrap_or_default();
            format!("{} {:?}{name}", entry.method, entry.origin)
        })
        .collect()
}

#[test]
fn a_release_appears_whole_and_once() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    let wanted = wanted(&server, dir.path());
    let steps = run::preview(&wanted, &mut client(&server), QUICK).unwrap();
    assert_eq!((steps.len(), changes(&server)), (6, vec![]));
    let resume = Options { resume: true, ..QUICK };
    let nothing = run::run(&wanted, &mut client(&server), resume, &mut |_| {}).unwrap_err();
    assert!(matches!(nothing, PublishError::NothingToResume { .. }), "{nothing:?}");

    let published = publish(&wanted, &server).unwrap();
    assert_eq!(published.uploaded, ["SUMS", "c++-1.0.0.json", "large.tar.gz"]);
    assert_eq!(
        published.page,
        format!("{}/{REPOSITORY}/releases/tag/tiny%401.0.0", server.origins().web)
    );
    assert_eq!(visible(&server), expected(&wanted));
    let done = [
        "POST Api",
        "POST Uploads SUMS",
        "POST Uploads c++-1.0.0.json",
        "POST Uploads large.tar.gz",
        "PATCH Api",
    ];
    assert_eq!(changes(&server), done);
    let release = &server.releases()[0];
    assert_eq!((release.tag.as_str(), release.body.as_str()), (TAG, "what it is"));

    let again = publish(&wanted, &server).unwrap();
    assert_eq!((again.uploaded, again.kept.len()), (vec![], 3));
    assert_eq!(changes(&server), done, "what is right is left alone");
}

#[test]
fn whatever_goes_wrong_once_the_end_is_the_same() {
    let limited = |status| Fault::Limited { status, retry_after_s: 0 };
    let everywhere = [
        Fault::BadGatewayBefore,
        Fault::BadGatewayAfter,
        Fault::HangUpBefore,
        Fault::HangUpAfter,
        limited(403),
        limited(429),
    ];
    let requests = [
        ("GET", "git/ref/tags"),
        ("GET", "git/tags"),
        ("GET", "releases/tags"),
        ("GET", "runtimes/releases"),
        ("POST", "runtimes/releases"),
        ("POST", "/assets"),
        ("GET", "/assets"),
        ("PATCH", "releases"),
    ];
    let mut cases = Vec::new();
    for (method, path) in requests {
        cases.extend(everywhere.iter().map(|fault| (method, path, fault.clone())));
    }
    cases.push(("POST", "/assets", Fault::AlreadyExists));
    for at in [0, 1, 1024 * 1024 + 1] {
        cases.push(("POST", "/assets", Fault::CutUpload { at }));
    }
    for (method, path, fault) in cases {
        let (server, dir) = (server(), tempfile::tempdir().unwrap());
        let mut wanted = wanted(&server, dir.path());
        // The large one first, so that it is the one that goes wrong.
        wanted.files.reverse();
        server.fail(method, path, fault.clone());
        let case = format!("{method} {path} {fault:?}");
        publish(&wanted, &server).unwrap_or_else(|error| panic!("{case}: {error:?}"));
        assert_eq!(visible(&server), expected(&wanted), "{case}");
        assert_eq!(server.releases().len(), 1, "{case}");
        for (name, times) in server.completed_uploads() {
            assert_eq!(times, 1, "{case}: {name}");
        }
    }
}

#[test]
fn what_will_not_change_ends_publishing_at_once_and_can_be_continued() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    let wanted = wanted(&server, dir.path());

    let stranger = Wanted { commit: "0".repeat(40), ..wanted.clone() };
    assert!(matches!(publish(&stranger, &server), Err(PublishError::TagMoved { .. })));
    let untagged = Wanted { tag: "tiny@1.0.1".parse().unwrap(), ..wanted.clone() };
    assert!(matches!(publish(&untagged, &server), Err(PublishError::NoTag { .. })));
    assert_eq!(changes(&server), Vec::<String>::new());

    let forbidden = "Resource not accessible by integration".to_owned();
    server.fail("POST", "releases", Fault::Refuse { status: 403, message: forbidden });
    let Err(PublishError::Forge { source, .. }) = publish(&wanted, &server) else { panic!() };
    assert!(matches!(*source, ForgeError::Answered { status: 403, .. }), "{source:?}");
    assert_eq!(changes(&server).len(), 1);

    // A file that changed after the build is found while it is sent; nothing is visible.
    let path = dir.path().join("large.tar.gz");
    let good = fs_err::read(&path).unwrap();
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    fs_err::write(&path, &bad).unwrap();
    let Err(PublishError::Forge { source, .. }) = publish(&wanted, &server) else { panic!() };
    assert!(matches!(*source, ForgeError::Changed { .. }), "{source:?}");
    let draft = &server.releases()[0];
    assert!(draft.draft && draft.assets.iter().any(|asset| asset.digest.is_none()));

    fs_err::write(&path, &good).unwrap();
    server.fail("POST", "/assets", Fault::WrongDigest);
    assert!(matches!(publish(&wanted, &server), Err(PublishError::Stored { .. })));
    let uploaded = publish(&wanted, &server).unwrap().uploaded;
    assert_eq!(uploaded, ["large.tar.gz"]);
    assert_eq!(visible(&server), expected(&wanted));

    let mut other = wanted.clone();
    other.files[0].digest = Digest::from_bytes([9; 32]);
    let conflict = publish(&other, &server).unwrap_err();
    assert!(matches!(conflict, PublishError::Plan(PlanError::Conflict { .. })), "{conflict:?}");
    assert_eq!(visible(&server), expected(&wanted));
}

#[test]
fn a_server_without_digests_is_asked_for_the_bytes() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    let wanted = wanted(&server, dir.path());
    server.forget_digests();
    publish(&wanted, &server).unwrap();
    let fetched = server.log().into_iter().filter(|entry| entry.origin == Origin::Objects);
    assert_eq!(fetched.count(), 3);
    for entry in server.log() {
        let shown = entry.authorization.is_some();
        let trusted = matches!(entry.origin, Origin::Api | Origin::Uploads);
        assert_eq!(shown, trusted, "{entry:?}");
    }
}
