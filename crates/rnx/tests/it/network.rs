//! Installing from a server, which may be slow, wrong or gone.

use std::thread;

use insta::assert_snapshot;
use test_support::server::{Fault, FileServer};

use crate::rnx::{Rnx, redacted};

const ARCHIVE: &str = "demo-1.10.0-ubuntu-amd64.tar.gz";

#[test]
fn folders_urls_and_servers_are_registries() {
    let rnx = Rnx::new();
    let server = FileServer::start(rnx.registry.path());
    let file = format!("file://{}", rnx.registry.path().to_str().unwrap().replace(' ', "%20"));
    for registry in [
        "./registry folder",
        &file,
        &format!("{file}/registry.json"),
        &server.url(""),
        &server.url("registry.json"),
    ] {
        let shown = rnx.run_at(registry, &["runtime", "install", "demo", "--force"]);
        assert!(shown.ends_with("Installed demo@1.10.0 in BASE/demo-1.10.0\nstatus 0"), "{shown}");
    }
    assert_eq!(server.requests_for(ARCHIVE), 2);
    assert_eq!(rnx.layout().len(), 4);
}

#[test]
fn wrong_bytes_are_refused_and_nothing_is_left() {
    let _redacted = redacted();
    let rnx = Rnx::new();
    let server = FileServer::start(rnx.registry.path());
    let right = fs_err::read(rnx.registry.archive("demo@1.10.0", "ubuntu-amd64")).unwrap();
    let mut wrong = right.clone();
    wrong[right.len() / 2] ^= 1;
    for (name, fault) in [
        ("wrong_content", Fault::Replace(wrong)),
        ("too_large", Fault::Replace(vec![0; right.len() + 1])),
        ("too_small", Fault::Replace(vec![0; 10])),
        ("not_found", Fault::Status(404)),
        ("forbidden", Fault::Status(403)),
    ] {
        server.misbehave(ARCHIVE, fault);
        let shown = rnx.run_at(&server.url(""), &["runtime", "install", "demo"]);
        let shown = shown.replace(&server.url(""), "http://server/");
        assert_snapshot!(name, shown);
        assert_eq!(rnx.layout(), Vec::<String>::new(), "{name}");
        server.behave();
    }
    // Another one, since of this one a copy is kept.
    let server = FileServer::start(rnx.registry.path());
    server.misbehave("registry.json", Fault::Replace(b"<html>".to_vec()));
    let shown = rnx.run_at(&server.url(""), &["runtime", "install", "demo"]);
    assert_snapshot!(shown.replace(&server.url(""), "http://server/"));
}

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    let rnx = Rnx::new();
    let server = FileServer::start(rnx.registry.path());
    server.misbehave(ARCHIVE, Fault::TruncateOnceAt(100_000));
    let shown = rnx.run_at(&server.url(""), &["runtime", "install", "demo"]);
    assert!(shown.ends_with("status 0"), "{shown}");
    let ranges: Vec<_> =
        server.requests().into_iter().filter_map(|request| request.range).collect();
    assert_eq!(ranges, ["bytes=100000-"]);
    assert_eq!(rnx.layout().len(), 4);
}

#[test]
fn an_archive_in_parts_is_put_together() {
    let mut rnx = Rnx::new();
    rnx.registry.cut("demo@1.10.0", "ubuntu-amd64");
    let server = FileServer::start(rnx.registry.path());
    let part = format!("{ARCHIVE}.part02");
    server.misbehave(&part, Fault::TruncateOnceAt(1000));
    let shown = rnx.run_at(&server.url(""), &["runtime", "install", "demo"]);
    assert!(shown.ends_with("status 0"), "{shown}");
    assert_eq!(server.requests_for(&part), 2);
    assert_eq!(rnx.layout().len(), 4);
    assert!(rnx.run(&["runtime", "verify"]).ends_with("status 0"));

    server.misbehave(&part, Fault::Replace(vec![0; 10]));
    let shown = rnx.run_at(&server.url(""), &["runtime", "install", "demo", "--force"]);
    assert!(shown.ends_with("status 4"), "{shown}");
    assert_eq!(rnx.layout().len(), 5, "the first part is kept for the next attempt");
    assert!(rnx.run(&["runtime", "verify"]).ends_with("status 0"));
}

#[test]
fn many_processes_download_once() {
    let rnx = Rnx::new();
    let server = FileServer::start(rnx.registry.path());
    thread::scope(|scope| {
        let started: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| rnx.run_at(&server.url(""), &["runtime", "install", "demo"])))
            .collect();
        for process in started {
            let shown = process.join().unwrap();
            assert!(shown.ends_with("status 0"), "{shown}");
        }
    });
    assert_eq!(server.requests_for(ARCHIVE), 1);
    assert_eq!(rnx.layout().len(), 4);
}
