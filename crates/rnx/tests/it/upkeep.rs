//! Keeping a base folder in order: updates, cleaning, repairs, and files for hosts without a network.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use fs_err as fs;
use insta::assert_snapshot;
use test_support::fixture::RegistryFolder;
use test_support::server::{Fault, FileServer};

use crate::rnx::{Rnx, redacted};

const ARCHIVE: &str = "demo-1.10.0-ubuntu-amd64.tar.gz";

#[test]
fn an_update_installs_the_newest_beside_what_is_there() {
    let _redacted = redacted();
    let mut rnx = Rnx::new();
    assert_snapshot!("nothing", rnx.run(&["runtime", "update"]));
    rnx.run(&["runtime", "install", "demo@1.9.0"]);
    // It came from elsewhere, and is in no registry that is asked.
    let other = tempfile::tempdir().unwrap();
    let mut folder = RegistryFolder::new(other.path());
    folder.publish("other@1.0.0", &["ubuntu-amd64"]);
    rnx.run_at(other.path().to_str().unwrap(), &["runtime", "install", "other"]);
    let registry = rnx.registry.path().to_str().unwrap().to_owned();
    let update = |args: &[&str]| {
        rnx.run(&[&["runtime", "update", "--registry", registry.as_str()], args].concat())
    };
    assert_snapshot!("dry_run", update(&["--dry-run"]));
    assert_snapshot!("all", update(&[]));
    assert_eq!(rnx.run(&["runtime", "path", "demo"]), "BASE/demo-1.10.0\nstatus 0");
    assert_snapshot!("again", update(&["demo"]));
    assert_snapshot!("unknown", update(&["other"]));
    assert_snapshot!("absent", update(&["cobol"]));
    rnx.registry.publish("demo@1.11.0", &["ubuntu-arm64"]);
    let registry = rnx.registry.path().to_str().unwrap().to_owned();
    let shown = rnx.run(&["runtime", "update", "demo", "--registry", &registry]);
    assert_eq!(shown, "demo@1.10.0 is the newest\nstatus 0", "the newest for its platform");
    // Nor is an older one an update, where a registry has no other.
    let older = tempfile::tempdir().unwrap();
    RegistryFolder::new(older.path()).publish("demo@1.8.0", &["ubuntu-amd64"]);
    let older = older.path().to_str().unwrap();
    let shown = rnx.run(&["runtime", "update", "demo", "--registry", older]);
    assert_eq!(shown, "demo@1.10.0 is the newest\nstatus 0");
}

#[test]
fn an_update_is_for_the_platform_of_what_is_installed() {
    let mut rnx = Rnx::new();
    rnx.run(&["runtime", "install", "demo@1.10.0", "--platform", "rhel-arm64"]);
    rnx.registry.publish("demo@1.11.0", &["rhel-arm64"]);
    rnx.registry.publish("demo@1.12.0", &["ubuntu-amd64"]);
    let registry = rnx.registry.path().to_str().unwrap();
    let shown = rnx.run(&["runtime", "update", "--registry", registry]);
    assert!(shown.ends_with("Installed demo@1.11.0 in BASE/demo-1.11.0\nstatus 0"), "{shown}");
    let record = fs::read_to_string(rnx.base.join(".state/demo-1.11.0.json")).unwrap();
    assert!(record.contains("\"rhel-arm64\""), "{record}");
}

#[test]
fn cleaning_tells_why_each_goes_or_stays() {
    let _redacted = redacted();
    let mut rnx = Rnx::new();
    rnx.registry.publish("demo@1.8.0", &["ubuntu-amd64"]);
    for version in ["demo@1.8.0", "demo@1.9.0", "demo@1.10.0"] {
        rnx.run(&["runtime", "install", version]);
    }
    let partial = rnx.base.join(".store").join("0".repeat(64) + ".partial");
    fs::write(&partial, vec![1; 8192]).unwrap();
    let busy = rnx.base.join(".store").join("1".repeat(64) + ".partial");
    fs::write(&busy, "x").unwrap();
    let lock = fs::File::create(busy.with_extension("lock")).unwrap();
    lock.file().lock().unwrap();
    let job = rnx::in_use::hold(&rnx.base.join("demo-1.8.0")).unwrap();
    let before = rnx.layout();
    let shown = |args: &[&str]| {
        let text = rnx.run(&[&["runtime", "gc"], args].concat());
        let pid = std::process::id().to_string();
        let command = text.split(&format!("process {pid}: ")).nth(1);
        let command = command.and_then(|rest| rest.lines().next()).unwrap_or_default().to_owned();
        if command.is_empty() { text } else { text.replace(&command, "TEST").replace(&pid, "PID") }
    };
    assert_snapshot!("dry_run_keep_1", shown(&["--dry-run", "--keep", "1"]));
    // Half a mebibyte of each is a file that the others have, too: the disk does not get that back.
    let text = rnx.run(&["runtime", "gc", "--dry-run", "--keep", "1", "--json"]);
    let told: serde_json::Value =
        serde_json::from_str(text.strip_suffix("status 0").unwrap()).unwrap();
    let going =
        |item: &&serde_json::Value| item["kind"] == "install" && item["verdict"] == "remove";
    let going: Vec<_> = told.as_array().unwrap().iter().filter(going).collect();
    assert!(!going.is_empty(), "{told}");
    let freed = |item: &serde_json::Value| item["freed_bytes"].as_u64().unwrap();
    assert!(going.into_iter().all(|item| (1..256 << 10).contains(&freed(item))), "{told}");
    assert_eq!(rnx.layout(), before);
    // Which downloads an install needs is not known, only that there is one.
    let install = fs::File::create(rnx.base.join(".state/other-1.0.0.lock")).unwrap();
    install.file().lock().unwrap();
    shown(&[]);
    assert!(partial.exists() && busy.exists());
    drop(install);
    assert_snapshot!("keep_all", shown(&[]));
    assert!(!partial.exists() && busy.exists());
    assert_snapshot!("keep_2", shown(&["--keep", "2"]));
    assert_snapshot!("keep_1", shown(&["--keep", "1"]));
    drop(job);
    drop(lock);
    assert_snapshot!("keep_1_later", shown(&["--keep", "1"]));
    assert_snapshot!("keep_0", shown(&["--keep", "0"]));
    assert_eq!(rnx.layout().len(), 4);
}

#[test]
fn a_repair_puts_everything_right_and_fetches_what_is_damaged() {
    let rnx = Rnx::new();
    let server = FileServer::start(rnx.registry.path());
    rnx.run_at(&server.url(""), &["runtime", "install", "demo"]);
    let root = rnx.base.join("demo-1.10.0");
    let bin = root.join("isolated/usr/bin");
    let damage = || {
        // As long as it was.
        fs::write(bin.join("hello"), "#!/bin/sh\necho evil@1.10.0\n").unwrap();
        fs::remove_file(bin.join("hi")).unwrap();
        symlink("/bin/sh", bin.join("hi")).unwrap();
        fs::remove_file(root.join("runtime.yml")).unwrap();
        fs::create_dir_all(root.join("more/of/it")).unwrap();
        fs::set_permissions(root.join("isolated"), PermissionsExt::from_mode(0o700)).unwrap();
    };
    damage();
    assert!(rnx.run(&["runtime", "verify", "demo"]).ends_with("puts it right\nstatus 4"));
    let before = server.requests().len();
    let shown = rnx.run(&["runtime", "verify", "demo", "--repair"]);
    assert!(shown.ends_with("Repaired demo@1.10.0\nstatus 0"), "{shown}");
    assert!(rnx.run(&["runtime", "verify"]).ends_with("status 0"));
    let requests = &server.requests()[before..];
    let parts: Vec<_> = requests.iter().filter(|r| r.path == ARCHIVE).collect();
    assert!(parts.iter().all(|request| request.range.is_some()), "{parts:?}");
    assert!(!parts.is_empty());

    // What lies in a folder that stands in place of a link is not what the link leads to.
    fs::remove_file(bin.join("hi")).unwrap();
    fs::create_dir_all(bin.join("hi/more")).unwrap();
    assert!(rnx.run(&["runtime", "verify", "--repair"]).ends_with("status 0"));
    assert_eq!(fs::read_link(bin.join("hi")).unwrap(), Path::new("hello"));

    // A folder that became a file, and everything that was in it; other differences than files need no server.
    fs::remove_dir_all(&bin).unwrap();
    fs::write(&bin, "").unwrap();
    assert!(rnx.run(&["runtime", "verify", "--repair"]).ends_with("status 0"));
    let before = server.requests().len();
    fs::remove_file(bin.join("hi")).unwrap();
    fs::write(root.join("isolated/added"), "").unwrap();
    assert!(rnx.run(&["runtime", "verify", "--repair"]).ends_with("status 0"));
    assert_eq!(server.requests().len(), before);

    // What another install has is taken from there.
    rnx.run_at(&server.url(""), &["runtime", "install", "demo@1.9.0"]);
    let before = server.requests().len();
    let noise = root.join("isolated/usr/noise");
    let right = fs::read(&noise).unwrap();
    fs::remove_file(&noise).unwrap();
    assert!(rnx.run(&["runtime", "verify", "demo", "--repair"]).ends_with("status 0"));
    assert_eq!(fs::read(&noise).unwrap(), right);
    assert_eq!(server.requests().len(), before);
    assert_eq!(rnx.layout().len(), 7);

    // A server that sends whole files only is told from one that sends wrong ones.
    server.misbehave(ARCHIVE, Fault::IgnoreRange);
    damage();
    let shown = rnx.run(&["runtime", "verify", "demo", "--repair"]);
    assert!(shown.contains("sends no parts of files\n") && shown.ends_with("status 3"), "{shown}");
    server.behave();

    // Without a server: an error, and nothing worse.
    drop(server);
    let shown = rnx.run(&["runtime", "verify", "demo", "--repair"]);
    assert!(shown.ends_with("status 3"), "{shown}");
    assert!(rnx.run(&["runtime", "verify", "demo@1.9.0"]).ends_with("status 0"));
}

#[test]
fn a_repair_is_of_what_was_installed_and_of_nothing_else() {
    let rnx = Rnx::new();
    rnx.run(&["runtime", "install", "demo"]);
    let hello = rnx.base.join("demo-1.10.0/isolated/usr/bin/hello");
    fs::write(&hello, "damaged").unwrap();
    // The same version, and other bytes.
    let other = tempfile::tempdir().unwrap();
    let (tree, spec) = (tempfile::tempdir().unwrap(), "demo@1.10.0".parse().unwrap());
    test_support::fixture::write_runtime(tree.path(), &spec);
    fs::write(tree.path().join("isolated/usr/more"), "").unwrap();
    RegistryFolder::new(other.path()).publish_tree(&spec, &["ubuntu-amd64"], tree.path());
    let from = other.path().to_str().unwrap();
    let shown = rnx.run(&["runtime", "verify", "demo", "--repair", "--registry", from]);
    assert!(
        shown.contains(
            "error: the registry has another archive of `demo@1.10.0` than was installed"
        ),
        "{shown}"
    );
    assert!(shown.ends_with("status 4"), "{shown}");
    assert_eq!(fs::read_to_string(&hello).unwrap(), "damaged");

    // Removed after it was looked at.
    let layout = rnx_store::layout::Layout::new(&rnx.base);
    let damage = rnx::repair::examine(&layout, &spec).unwrap();
    rnx.run(&["runtime", "remove", "demo"]);
    let repaired = rnx::repair::repair(&layout, &damage, None);
    assert!(matches!(repaired, Err(rnx::repair::RepairError::Changed { .. })), "{repaired:?}");
    assert_eq!(rnx.layout(), Vec::<String>::new());
}

#[test]
fn a_runtime_travels_as_one_file() {
    let _redacted = redacted();
    let rnx = Rnx::new();
    rnx.run(&["runtime", "install", "demo"]);
    assert_snapshot!("export", rnx.run(&["runtime", "export", "demo"]));
    let file = rnx.home.path().join(ARCHIVE);
    let published = fs::read(rnx.registry.archive("demo@1.10.0", "ubuntu-amd64")).unwrap();
    assert_eq!(fs::read(&file).unwrap(), published, "the very archive");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o644);
    assert_snapshot!("export_again", rnx.run(&["runtime", "export", "demo"]));
    let digest = rnx_store::blob::digest(&published[..]).unwrap().to_string();
    rnx.run(&["runtime", "remove", "demo"]);

    let wrong = format!("sha256:{}", "0".repeat(64));
    assert_snapshot!("import_wrong", rnx.run(&["runtime", "import", ARCHIVE, "--sha256", &wrong]));
    fs::copy(&file, rnx.home.path().join("renamed.tar.gz")).unwrap();
    assert_snapshot!("import_renamed", rnx.run(&["runtime", "import", "renamed.tar.gz"]));
    assert_snapshot!("import", rnx.run(&["runtime", "import", ARCHIVE, "--sha256", &digest]));
    assert_eq!(rnx.run(&["runtime", "verify"]), "demo@1.10.0: as it was unpacked\nstatus 0");
    assert_eq!(rnx.layout().len(), 4);

    fs::write(rnx.base.join("demo-1.10.0/isolated/usr/noise"), "").unwrap();
    fs::remove_file(&file).unwrap();
    assert_snapshot!("export_damaged", rnx.run(&["runtime", "export", "demo"]));
    assert!(!file.exists());
    fs::write(&file, &published[..published.len() / 2]).unwrap();
    assert_snapshot!("import_cut_off", rnx.run(&["runtime", "import", ARCHIVE, "--force"]));
}

#[test]
fn an_archive_in_parts_travels_as_they_are() {
    let _redacted = redacted();
    let mut rnx = Rnx::new();
    let published = fs::read(rnx.registry.archive("demo@1.10.0", "ubuntu-amd64")).unwrap();
    let digest = rnx_store::blob::digest(&published[..]).unwrap().to_string();
    rnx.registry.cut("demo@1.10.0", "ubuntu-amd64");
    let folder = rnx.home.path().join("stick");
    fs::create_dir(&folder).unwrap();
    let (first, second) = (format!("stick/{ARCHIVE}.part01"), format!("stick/{ARCHIVE}.part02"));
    let copy = |part: &str| {
        let name = part.strip_prefix("stick/").unwrap();
        fs::copy(rnx.registry.path().join(name), rnx.home.path().join(part)).unwrap();
    };
    copy(&second);
    assert_snapshot!("parts_no_first", rnx.run(&["runtime", "import", &second]));
    copy(&first);
    fs::remove_file(rnx.home.path().join(&second)).unwrap();
    let cut_off = rnx.run(&["runtime", "import", &first]);
    assert!(cut_off.ends_with("status 4"), "{cut_off}");
    assert_eq!(rnx.layout(), Vec::<String>::new());
    copy(&second);
    let wrong = format!("sha256:{}", "0".repeat(64));
    let refused = rnx.run(&["runtime", "import", &first, &second, "--sha256", &wrong]);
    assert!(refused.ends_with("status 4"), "{refused}");
    let shown = rnx.run(&["runtime", "import", &first, &second, "--sha256", &digest]);
    assert_snapshot!("parts", shown);
    assert_eq!(rnx.run(&["runtime", "verify"]), "demo@1.10.0: as it was unpacked\nstatus 0");
    // It is the archive, not its parts, that the record is about; and any part stands for all.
    assert_eq!(
        rnx.run(&["runtime", "export", "demo", "--output", "."]).lines().next(),
        Some(format!("{}  ./{ARCHIVE}", digest.strip_prefix("sha256:").unwrap()).as_str())
    );
    assert!(rnx.run(&["runtime", "import", &second, "--force"]).ends_with("status 0"));
}
