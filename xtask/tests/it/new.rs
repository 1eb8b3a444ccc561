//! `xtask new`: what it writes needs no change to be valid.

use std::path::Path;
use std::process::Command;

const TEMPLATES: [&str; 7] = ["blank", "python", "java", "node", "go", "rust", "r"];

fn xtask(repo: &Path, args: &[&str]) -> (i32, String) {
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
    for template in TEMPLATES {
        assert_eq!(new(&[&format!("t-{template}"), "--template", template]).0, 0, "{template}");
    }
    assert_eq!(new(&["3.10", "--description", "a \"quoted\": # text"]).0, 0);
    let (status, text) = xtask(repo, &["validate", "--strict"]);
    assert_eq!(status, 0, "{text}");
    assert!(text.ends_with("✓ 9 runtimes checked, nothing found\n"), "{text}");

    let (status, text) = new(&["first"]);
    assert_eq!((status, text.contains("is there already")), (2, true), "{text}");
    assert_eq!(new(&["Bad_Name"]).0, 2);
    let folders = fs_err::read_dir(repo.join("runtimes")).unwrap().count();
    assert_eq!(folders, 9, "nothing half-made is left");
}

/// The catalogue's builds and tests are then the proof that these templates build.
#[test]
fn the_catalogue_has_definitions_that_are_templates_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    fs_err::create_dir(dir.path().join("runtimes")).unwrap();
    let catalogue = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtimes");
    for (name, template) in [("node-20", "node"), ("go-1.24", "go"), ("r-4.5", "r")] {
        assert_eq!(xtask(dir.path(), &["new", name, "--template", template]).0, 0);
        let read = |root: &Path, file| fs_err::read_to_string(root.join(name).join(file)).unwrap();
        let new = dir.path().join("runtimes");
        assert_eq!(read(&catalogue, "setup.sh"), read(&new, "setup.sh"), "{name}");
        // The catalogue's manifest says more, and tests more: what the template tests too.
        let (has, made) = (read(&catalogue, "manifest.yaml"), read(&new, "manifest.yaml"));
        let tests = |text: &str| text.split_once("\ntests:\n").unwrap().1.to_owned();
        assert!(tests(&has).starts_with(&tests(&made)), "{name}");
    }
}
