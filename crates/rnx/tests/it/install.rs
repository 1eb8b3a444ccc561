//! Installing, listing, verifying and removing, from a folder.

use fs_err as fs;
use insta::assert_snapshot;
use test_support::fixture::write_runtime;

use crate::rnx::{Rnx, redacted};

const HELLO: &str = "demo-1.10.0/isolated/usr/bin/hello";

#[test]
fn versions_live_side_by_side_and_the_alias_leads_to_the_highest() {
    let _redacted = redacted();
    let rnx = Rnx::new();
    assert_snapshot!(rnx.run(&["runtime", "install", "demo@1.9.0"]));
    assert_eq!(fs::read_link(rnx.base.join("demo")).unwrap().to_str(), Some("demo-1.9.0"));
    assert_snapshot!(rnx.run(&["runtime", "install", "demo"]));
    let index = |text: &str| text.contains(".files.json");
    let (indexes, rest): (Vec<String>, Vec<String>) =
        rnx.layout().into_iter().partition(|t| index(t));
    assert_eq!(
        rest,
        [
            ".state/demo-1.10.0.json",
            ".state/demo-1.9.0.json",
            "demo -> demo-1.10.0",
            "demo-1.10.0",
            "demo-1.9.0",
        ]
    );
    assert_eq!(indexes.len(), 2);
    let hello = fs::read_to_string(rnx.base.join(HELLO)).unwrap();
    assert_eq!(hello, "#!/bin/sh\necho demo@1.10.0\n");
    assert_snapshot!(rnx.run(&["runtime", "list"]));
    assert_eq!(rnx.run(&["runtime", "path", "demo"]), "BASE/demo-1.10.0\nstatus 0");
    assert_eq!(rnx.run(&["runtime", "path", "demo@1.9.0"]), "BASE/demo-1.9.0\nstatus 0");

    assert_snapshot!(rnx.run(&["runtime", "remove", "demo"]));
    assert_eq!(rnx.run(&["runtime", "remove", "demo@1.10.0"]), "Removed demo@1.10.0\nstatus 0");
    assert_eq!(fs::read_link(rnx.base.join("demo")).unwrap().to_str(), Some("demo-1.9.0"));
    assert_eq!(rnx.run(&["runtime", "remove", "demo"]), "Removed demo@1.9.0\nstatus 0");
    assert_eq!(rnx.layout(), Vec::<String>::new());
}

#[test]
fn what_is_installed_is_not_installed_again_unless_forced() {
    let _redacted = redacted();
    let rnx = Rnx::new();
    rnx.run(&["runtime", "install", "demo"]);
    let again = "demo@1.10.0 is already installed\nstatus 0";
    assert_eq!(rnx.run(&["runtime", "install", "demo"]), again);
    // A pinned version that is there needs no registry.
    assert_eq!(rnx.run_at("/nowhere", &["runtime", "install", "demo@1.10.0"]), again);

    // As long as it was.
    fs::write(rnx.base.join(HELLO), "#!/bin/sh\necho evil@1.10.0\n").unwrap();
    fs::write(rnx.base.join("demo-1.10.0/more"), "").unwrap();
    fs::remove_file(rnx.base.join("demo-1.10.0/isolated/usr/bin/hi")).unwrap();
    assert_snapshot!(rnx.run(&["runtime", "verify"]));
    rnx.run(&["runtime", "install", "demo", "--force"]);
    assert_eq!(
        rnx.run(&["runtime", "verify", "demo"]),
        "demo@1.10.0: as it was unpacked\nstatus 0"
    );
    assert_eq!(rnx.layout().len(), 4);
}

#[test]
fn a_failed_replacement_leaves_the_old_install() {
    let _redacted = redacted();
    let rnx = Rnx::new();
    rnx.run(&["runtime", "install", "demo"]);
    let archive = rnx.registry.archive("demo@1.10.0", "ubuntu-amd64");
    let mut bytes = fs::read(&archive).unwrap();
    bytes[1000] ^= 1;
    fs::write(&archive, bytes).unwrap();
    let shown = rnx.run(&["runtime", "install", "demo", "--force"]);
    assert!(shown.ends_with("status 4"), "{shown}");
    assert_eq!(rnx.layout().len(), 4);
    assert!(rnx.run(&["runtime", "verify"]).ends_with("status 0"));
}

#[test]
fn requests_that_nothing_answers_are_explained() {
    let _redacted = redacted();
    let rnx = Rnx::new();
    for request in ["dmeo", "demo@2.0.0", "only-defined", "Demo", "cobol"] {
        assert_snapshot!(format!("install_{request}"), rnx.run(&["runtime", "install", request]));
    }
    let mut command = rnx.command(&["runtime", "install", "demo@1.10.0"]);
    let output = command.env("RNX_PLATFORM", "ubuntu-arm64").output().unwrap();
    assert_snapshot!("install_without_artifact", rnx.shown(&output));
    let output = command.env("RNX_PLATFORM", "windows").output().unwrap();
    assert_snapshot!("install_unknown_platform", rnx.shown(&output));
    assert_snapshot!(
        "install_unknown_registry",
        rnx.run_at("nope", &["runtime", "install", "demo"])
    );
    assert_snapshot!(
        "install_no_registry",
        rnx.run_at("/nowhere", &["runtime", "install", "demo"])
    );
    assert_snapshot!("path_not_installed", rnx.run(&["runtime", "path", "demo@1.9.0"]));
    assert_snapshot!("job_not_installed", rnx.run(&["job", "run", "--runtime=demo", "true"]));
    assert!(!rnx.base.join(".state/demo-1.10.0.json").exists());
}

#[test]
fn archives_of_something_else_are_refused() {
    let _redacted = redacted();
    let mut rnx = Rnx::new();
    let tree = tempfile::tempdir().unwrap();
    write_runtime(tree.path(), &"other@1.0.0".parse().unwrap());
    let spec = "wrong@1.0.0".parse().unwrap();
    rnx.registry.publish_tree(&spec, &["ubuntu-amd64"], tree.path());
    assert_snapshot!(rnx.run(&["runtime", "install", "wrong"]));
    fs::remove_file(tree.path().join("runtime.yml")).unwrap();
    let spec = "wrong@1.0.1".parse().unwrap();
    rnx.registry.publish_tree(&spec, &["ubuntu-amd64"], tree.path());
    assert_snapshot!(rnx.run(&["runtime", "install", "wrong"]));
    assert_eq!(rnx.layout(), Vec::<String>::new());
}

#[test]
fn what_a_daemon_laid_is_read_and_never_changed() {
    let _redacted = redacted();
    let rnx = Rnx::new();
    let spec = "demo@1.2.0".parse().unwrap();
    write_runtime(&rnx.base.join("demo/1.2.0"), &spec);
    write_runtime(&rnx.base.join("flat"), &"flat@0.3.0".parse().unwrap());
    assert_eq!(rnx.run(&["runtime", "path", "demo"]), "BASE/demo/1.2.0\nstatus 0");
    assert_eq!(rnx.run(&["runtime", "path", "flat"]), "BASE/flat\nstatus 0");
    rnx.run(&["runtime", "install", "demo@1.9.0"]);
    assert_snapshot!(rnx.run(&["runtime", "list"]));
    assert_eq!(rnx.run(&["runtime", "path", "demo"]), "BASE/demo-1.9.0\nstatus 0");
    assert_snapshot!(rnx.run(&["runtime", "remove", "demo@1.2.0"]));
    assert!(rnx.base.join("demo/1.2.0/runtime.yml").exists());
}

#[test]
fn lists_and_details_are_data() {
    let _redacted = redacted();
    let rnx = Rnx::new();
    assert_snapshot!(rnx.run(&["runtime", "list", "--available"]));
    assert_eq!(rnx.run(&["runtime", "list", "--json"]), "[]\nstatus 0");
    assert_snapshot!(rnx.run(&["runtime", "list"]));
    assert_snapshot!(rnx.run(&["runtime", "install", "demo", "--json"]));
    assert_snapshot!(rnx.run(&["runtime", "install", "demo@1.9.0", "--dry-run"]));
    for args in [&["runtime", "info", "demo", "--json"][..], &["runtime", "list", "--json"]] {
        let output = rnx.command(args).output().unwrap();
        let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(!printed.is_null());
    }
}
