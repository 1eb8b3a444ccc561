//! Files that two versions have in common are stored once, and fetched once.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fs_err as fs;
use test_support::fixture::write_runtime;
use test_support::server::{Fault, FileServer};

use crate::rnx::Rnx;

const FIRST: &str = "lib@1.0.0";
const SECOND: &str = "lib@1.1.0";
const ARCHIVE: &str = "lib-1.1.0-ubuntu-amd64.tar.gz";

/// Publishes two versions with a hundred files each, of which some differ.
fn publish(rnx: &mut Rnx) {
    for spec in [FIRST, SECOND] {
        let spec = spec.parse().unwrap();
        let tree = tempfile::tempdir().unwrap();
        write_runtime(tree.path(), &spec);
        // More than a member's worth, so that it is cut off from the small files.
        let noise = tree.path().join("isolated/usr/noise");
        let bytes = fs::read(&noise).unwrap();
        fs::remove_file(&noise).unwrap();
        fs::write(tree.path().join("isolated/usr/big"), bytes.repeat(3)).unwrap();
        let lib = tree.path().join("isolated/usr/lib");
        fs::create_dir(&lib).unwrap();
        for number in 0..100 {
            let of = if number % 20 == 0 { spec.version.to_string() } else { "both".to_owned() };
            let text = format!("module {number} of {of}\n").repeat(300);
            fs::write(lib.join(format!("module-{number}.py")), text).unwrap();
        }
        fs::write(lib.join("__init__.py"), "").unwrap();
        rnx.registry.publish_tree(&spec, &["ubuntu-amd64"], tree.path());
    }
}

fn inode(path: &Path) -> u64 {
    path.metadata().unwrap().ino()
}

/// Returns how many files of the second version are files of the first, and how many are not.
fn shared(rnx: &Rnx) -> (usize, usize) {
    let folder = |version: &str| rnx.base.join(format!("lib-{version}/isolated/usr/lib"));
    let entries = fs::read_dir(folder("1.1.0")).unwrap();
    let same = |name: &std::ffi::OsStr| {
        inode(&folder("1.0.0").join(name)) == inode(&folder("1.1.0").join(name))
    };
    let (same, other): (Vec<_>, Vec<_>) = entries
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name != "__init__.py")
        .partition(|name| same(name));
    (same.len(), other.len())
}

#[test]
fn a_second_version_takes_what_the_first_has() {
    let mut rnx = Rnx::new();
    publish(&mut rnx);
    let server = FileServer::start(rnx.registry.path());
    let run = |args: &[&str]| {
        let shown = rnx.run_at(&server.url(""), args);
        assert!(shown.ends_with("status 0"), "{shown}");
    };
    run(&["runtime", "install", FIRST]);
    run(&["runtime", "install", SECOND]);
    assert_eq!(shared(&rnx), (95, 5));
    // The bytes of the archive that were asked for, of 1600 kB.
    let ranges: Vec<(u64, u64)> = server
        .requests()
        .into_iter()
        .filter(|request| request.path == ARCHIVE)
        .map(|request| {
            let range = request.range.expect("only parts of it were asked for");
            let (start, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
            (start.parse().unwrap(), last.parse().unwrap())
        })
        .collect();
    let fetched: u64 = ranges.iter().map(|(start, last)| last + 1 - start).sum();
    assert!((1..60_000).contains(&fetched), "{ranges:?}");

    // Each of the two stands alone.
    run(&["runtime", "verify"]);
    run(&["runtime", "remove", FIRST]);
    run(&["runtime", "verify"]);
    let module = rnx.base.join("lib-1.1.0/isolated/usr/lib/module-0.py");
    assert!(fs::read_to_string(module).unwrap().starts_with("module 0 of 1.1.0\n"));
    assert_eq!(rnx.layout().len(), 4);
}

#[test]
fn what_is_damaged_is_not_handed_on() {
    let mut rnx = Rnx::new();
    publish(&mut rnx);
    rnx.run(&["runtime", "install", FIRST]);
    let module = |version: &str, number: u32| {
        rnx.base.join(format!("lib-{version}/isolated/usr/lib/module-{number}.py"))
    };
    let right = fs::read_to_string(module("1.0.0", 1)).unwrap();
    // As long as it was.
    fs::write(module("1.0.0", 1), right.replace("both", "evil")).unwrap();
    fs::set_permissions(module("1.0.0", 2), std::os::unix::fs::PermissionsExt::from_mode(0o666))
        .unwrap();
    rnx.run(&["runtime", "install", SECOND]);
    assert_eq!(fs::read_to_string(module("1.1.0", 1)).unwrap(), right);
    assert_eq!(shared(&rnx), (93, 7));
    let verified = rnx.run(&["runtime", "verify", SECOND]);
    assert!(verified.ends_with("status 0"), "{verified}");
}

/// The whole archive is another way, and shares no less.
#[test]
fn without_ranges_or_an_index_the_whole_archive_is_taken() {
    let index = "lib-1.1.0-ubuntu-amd64.files.json";
    for (file, fault) in [
        (ARCHIVE, Fault::IgnoreRange),
        (ARCHIVE, Fault::LieInRange(7)),
        (ARCHIVE, Fault::ShiftRange),
        (index, Fault::Status(404)),
        (index, Fault::Replace(b"{}".to_vec())),
    ] {
        let mut rnx = Rnx::new();
        publish(&mut rnx);
        let server = FileServer::start(rnx.registry.path());
        server.misbehave(file, fault.clone());
        rnx.run_at(&server.url(""), &["runtime", "install", FIRST]);
        let shown = rnx.run_at(&server.url(""), &["runtime", "install", SECOND]);
        assert!(shown.ends_with("status 0"), "{fault:?}: {shown}");
        let whole =
            server.requests().into_iter().filter(|r| r.path == ARCHIVE && r.range.is_none());
        assert_eq!(whole.count(), 1, "{fault:?}");
        assert_eq!(shared(&rnx), (95, 5), "{fault:?}");
        assert!(rnx.run(&["runtime", "verify"]).ends_with("status 0"));
        assert_eq!(rnx.layout().len(), 7, "{fault:?}");
    }
}
