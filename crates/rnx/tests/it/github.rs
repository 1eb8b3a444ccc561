//! A private repository on GitHub: its registry and its assets are had with a token, which goes to GitHub alone.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use fs_err as fs;
use serde_json::Value;
use test_support::github::{GitHub, Options, Origin, REPOSITORY};

use crate::rnx::Rnx;

const TOKEN: &str = "canary-5e1a";
const ARCHIVE: &str = "demo-1.10.0-ubuntu-amd64.tar.gz";

#[test]
fn assets_of_a_private_repository_are_asked_for_at_the_api() {
    let rnx = Rnx::new();
    let github = GitHub::with(&Options { token: Some(TOKEN.to_owned()), ..Options::default() });
    let tag = "demo@1.10.0";
    let url = format!("https://github.com/{REPOSITORY}/releases/download/{tag}/{ARCHIVE}");
    let registry = fs::read_to_string(rnx.registry.path().join("registry.json")).unwrap();
    let registry = registry.replace(&format!("\"{ARCHIVE}\""), &format!("\"{url}\""));
    push(&github, &rnx.home.path().join("clone"), &registry);
    let release = format!("{{\"tag_name\": \"{tag}\", \"target_commitish\": \"main\"}}");
    let release =
        post(&github.origins().api, &format!("/repos/{REPOSITORY}/releases"), release.as_bytes());
    let archive = fs::read(rnx.registry.path().join(ARCHIVE)).unwrap();
    let id = &release["id"];
    let path = format!("/repos/{REPOSITORY}/releases/{id}/assets?name={ARCHIVE}");
    post(&github.origins().uploads, &path, &archive);
    let before = github.log().len();

    let (web, api) = (&github.origins().web, &github.origins().api);
    let configure = |auth: &str| {
        rnx.configure(&format!(
            "  registries:\n  - {{name: own, url: 'https://github.com/{REPOSITORY}'{auth}}}\n  mirrors:\n  \
             - {{from: 'https://raw.githubusercontent.com/{REPOSITORY}/HEAD/', to: '{web}/{REPOSITORY}/raw/main/'}}\n  \
             - {{from: 'https://api.github.com/', to: '{api}/'}}\n  - {{from: 'https://github.com/', to: '{web}/'}}\n"
        ));
    };
    configure(&format!(", auth: {{token_env: T, hosts: ['{web}', '{api}']}}"));
    let shown = rnx.run_configured(&["runtime", "install", "demo@1.10.0"], &[("T", TOKEN)]);
    assert!(shown.ends_with("Installed demo@1.10.0 in BASE/demo-1.10.0\nstatus 0"), "{shown}");
    assert!(!shown.contains(TOKEN));
    let log = github.log().split_off(before);
    let asked: Vec<(Origin, bool)> =
        log.iter().map(|entry| (entry.origin, entry.authorization.is_some())).collect();
    // The registry, the release, the asset, and its bytes, where the token is nobody's business.
    let expected =
        [(Origin::Web, true), (Origin::Api, true), (Origin::Api, true), (Origin::Objects, false)];
    assert_eq!(asked, expected, "{log:#?}");

    // A token that does not open the repository.
    let shown =
        rnx.run_configured(&["runtime", "install", "demo@1.10.0", "--force"], &[("T", "other")]);
    assert!(shown.contains("GitHub answered 401"), "{shown}");
    assert!(
        shown.contains("hint: the token must be allowed to read") && shown.ends_with("status 3"),
        "{shown}"
    );

    // Without one, pages are enough, as for everyone.
    configure("");
    let shown = rnx.run_configured(&["runtime", "install", "demo@1.10.0", "--force"], &[]);
    assert!(shown.ends_with("status 0"), "{shown}");
    assert_eq!(github.log().iter().rev().nth(1).unwrap().origin, Origin::Web);
}

/// Puts a registry on the main branch.
fn push(github: &GitHub, clone: &Path, registry: &str) {
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=t", "-c", "user.email=t@example.org"]).args(args);
        if clone.exists() {
            command.current_dir(clone);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
    };
    git(&["clone", "--quiet", github.git_dir().to_str().unwrap(), clone.to_str().unwrap()]);
    fs::write(clone.join("registry.json"), registry).unwrap();
    git(&["commit", "--quiet", "--all", "-m", "registry"]);
    git(&["push", "--quiet", "origin", "HEAD:main"]);
}

fn post(origin: &str, path: &str, body: &[u8]) -> Value {
    let host = origin.strip_prefix("http://").unwrap();
    let mut server = TcpStream::connect(host).unwrap();
    write!(
        server,
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\
         Content-Type: application/json\r\nConnection: close\r\n\r\n",
        body.len()
    )
    .unwrap();
    server.write_all(body).unwrap();
    let mut answer = String::new();
    server.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 201"), "{answer}");
    serde_json::from_str(body).unwrap()
}
