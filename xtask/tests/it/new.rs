//! `xtask new`: what it writes needs no change to be valid.

use std::process::Command;

fn xtask(repo: &std::path::Path, args: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(args)
        .arg("--repo")
        .arg(repo)
        .env("RNX_CACHE_DIR", repo.join("cache"))
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[test]
fn every_template_validates_and_nothing_is_overwritten() {
    let repo = tempfile::tempdir().unwrap();
    let repo = repo.path();
    fs_err::create_dir(repo.join("runtimes")).unwrap();
    let new = |args: &[&str]| xtask(repo, &[&["new"], args].concat());
    assert_eq!(new(&["first"]).0, 0);
    assert_eq!(new(&["second", "--template", "python"]).0, 0);
    assert_eq!(new(&["3.10", "--description", "a \"quoted\": # text"]).0, 0);
    let (status, text) = xtask(repo, &["validate", "--strict"]);
    assert_eq!(status, 0, "{text}");
    assert!(text.ends_with("✓ 3 runtimes checked, nothing found\n"), "{text}");

    let (status, text) = new(&["first"]);
    assert_eq!((status, text.contains("is there already")), (2, true), "{text}");
    assert_eq!(new(&["Bad_Name"]).0, 2);
    let folders = fs_err::read_dir(repo.join("runtimes")).unwrap().count();
    assert_eq!(folders, 3, "nothing half-made is left");
}
