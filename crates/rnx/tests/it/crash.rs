//! A process that is killed at any point leaves the old state or the new one, and the next command cleans up.

use std::process::Stdio;

use fs_err as fs;
use test_support::server::{Fault, FileServer};

use crate::rnx::Rnx;

const ARCHIVE: &str = "demo-1.10.0-ubuntu-amd64.tar.gz";

#[test]
fn a_process_killed_in_its_download_loses_nothing() {
    let rnx = Rnx::new();
    let server = FileServer::start(rnx.registry.path());
    server.misbehave(ARCHIVE, Fault::StallAt(100_000));
    let mut child = rnx
        .command_at(&server.url(""), &["runtime", "install", "demo"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    server.wait_until_stalled();
    // What was sent is on its way to the file.
    let partial = || {
        fs::read_dir(rnx.base.join(".store")).unwrap().flatten().any(|entry| {
            entry.file_name().to_str().unwrap().ends_with(".partial")
                && entry.metadata().unwrap().len() == 100_000
        })
    };
    while !partial() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(rnx.run(&["runtime", "path", "demo"]).lines().last(), Some("status 1"));

    server.behave();
    let shown = rnx.run_at(&server.url(""), &["runtime", "install", "demo"]);
    assert!(shown.ends_with("status 0"), "{shown}");
    assert_eq!(server.requests().last().unwrap().range.as_deref(), Some("bytes=100000-"));
    assert_eq!(rnx.layout().len(), 4);
}

/// Each state is what a process leaves that is killed between two steps of `install` or `remove`.
#[test]
fn every_half_done_state_is_put_right() {
    let rnx = Rnx::new();
    rnx.run(&["runtime", "install", "demo@1.9.0"]);
    rnx.run(&["runtime", "install", "demo@1.10.0"]);
    let whole = rnx.layout();
    let at = |path: &str| rnx.base.join(path);
    let (dir, record) = (at("demo-1.10.0"), at(".state/demo-1.10.0.json"));
    let (next, staged) = (at(".state/demo-1.10.0.json.next"), at(".staging/demo-1.10.0"));
    let half_tree = || fs::create_dir_all(staged.join("tree/isolated")).unwrap();
    let settle = || rnx.run(&["runtime", "install", "demo@1.9.0"]);
    let listed = || rnx.run(&["runtime", "list"]).matches("demo-1.10.0").count();

    // Killed while unpacking, with an install there or not.
    half_tree();
    settle();
    assert_eq!(rnx.layout(), whole);

    // Killed after the rename, before the alias and the record.
    fs::rename(&record, &next).unwrap();
    fs::remove_file(at("demo")).unwrap();
    std::os::unix::fs::symlink("demo-1.9.0", at("demo")).unwrap();
    assert_eq!(listed(), 1);
    assert_eq!(rnx.run(&["runtime", "path", "demo"]), "BASE/demo-1.10.0\nstatus 0");
    settle();
    assert_eq!(rnx.layout(), whole);

    // Killed before a replacement took the name: the next record is about another folder.
    half_tree();
    let text = fs::read_to_string(&record).unwrap();
    let inode = text.find("\"inode\": ").unwrap() + 9;
    let other = format!("{}9{}", &text[..inode], &text[inode..]);
    fs::write(&next, other.replace("\"installed_at\": \"2", "\"installed_at\": \"1")).unwrap();
    assert_eq!(listed(), 1);
    settle();
    assert_eq!(rnx.layout(), whole);
    assert_eq!(fs::read_to_string(&record).unwrap(), text);

    // Killed while it wrote the index of another archive, or the record of it.
    half_tree();
    for file in ["demo-1.10.0.0123456789abcdef.files.json", "demo-1.10.0.json.next.new"] {
        fs::write(at(".state").join(file), "{").unwrap();
        fs::write(at(".state").join(format!("{file}.new")), "{").unwrap();
    }
    fs::remove_file(at(".state/demo-1.10.0.json.next.new.new")).unwrap();
    settle();
    assert_eq!(rnx.layout(), whole);

    // Killed after a removal moved the folder away.
    fs::create_dir_all(&staged).unwrap();
    fs::rename(&dir, staged.join("tree")).unwrap();
    assert_eq!(listed(), 0);
    settle();
    let without: Vec<String> = whole
        .iter()
        .filter(|path| !path.contains("demo-1.10.0"))
        .cloned()
        .chain(["demo -> demo-1.9.0".to_owned()])
        .collect();
    let mut expected = without;
    expected.sort();
    assert_eq!(rnx.layout(), expected);

    // A folder without a record is no install, and gives way to one.
    fs::create_dir(&dir).unwrap();
    assert_eq!(listed(), 0);
    assert!(rnx.run(&["runtime", "install", "demo"]).ends_with("status 0"));
    assert_eq!(rnx.layout(), whole);
    assert!(rnx.run(&["runtime", "verify"]).ends_with("status 0"));
}

#[test]
fn a_half_done_install_of_a_living_process_is_left_alone() {
    let rnx = Rnx::new();
    rnx.run(&["runtime", "install", "demo@1.9.0"]);
    let lock = fs::File::create(rnx.base.join(".state/demo-1.10.0.lock")).unwrap();
    lock.file().lock().unwrap();
    fs::create_dir_all(rnx.base.join(".staging/demo-1.10.0/tree")).unwrap();
    rnx.run(&["runtime", "install", "demo@1.9.0"]);
    assert!(rnx.base.join(".staging/demo-1.10.0/tree").exists());
    drop(lock);
    rnx.run(&["runtime", "install", "demo@1.9.0"]);
    assert!(!rnx.base.join(".staging/demo-1.10.0").exists());
}
