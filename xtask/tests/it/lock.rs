//! `versions.lock`, the whole way through the command line.

use rnx_spec::lock;

use crate::build::{GOOD, GOOD_TEST, Workshop, platform};

/// Leaves a Python package of this version in the tree, as pip would.
pub(crate) fn with_package(version: &str) -> String {
    format!(
        "{GOOD}info=$tree/lib/idna-{version}.dist-info\nmkdir -p \"$info\"\n\
         printf 'Name: idna\\nVersion: {version}\\n' >\"$info/METADATA\"\necho files >\"$info/RECORD\"\n\
         if [ -e versions.lock ]; then exit 9; fi\necho \"$BUILD_ID\" >\"$tree/id\"\n"
    )
}

#[test]
fn a_lock_is_written_checked_and_told_apart() {
    let Some(workshop) = Workshop::new(&with_package("3.1"), GOOD_TEST) else { return };
    let path = workshop.scene.repo().join("runtimes/tiny/versions.lock");
    let check = workshop.scene.xtask(&["lock", "tiny", "--check"]);
    assert_eq!(check.status.code(), Some(1), "{check:?}");
    assert_eq!(check.stdout, format!("tiny@1.0.0 {}: was not locked\n", platform()));
    assert!(!path.exists());

    assert_eq!(workshop.scene.xtask(&["lock", "tiny"]).status.code(), Some(0));
    let sums = || fs_err::read_to_string(workshop.dist().join("SHA256SUMS")).unwrap();
    let archive = |sums: &str| {
        let name = format!("-{}.tar.gz", platform());
        sums.lines().find(|line| line.ends_with(&name)).map(str::to_owned)
    };
    let first = archive(&sums());
    let file = lock::parse(&fs_err::read_to_string(&path).unwrap()).unwrap();
    let section = &file.platforms[&platform().parse().unwrap()];
    let contents: Vec<_> = section.contents().collect();
    assert_eq!(contents, [("pypi", "idna", "3.1")]);

    // A section of another platform stays, and the lock changes nothing of the build.
    let other = "rhel-arm64".parse().unwrap();
    let mut two = file.clone();
    two.platforms.insert(other, section.clone());
    fs_err::write(&path, lock::write(&two)).unwrap();
    let again = workshop.scene.xtask(&["lock", "tiny", "--check"]);
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    assert_eq!(again.stdout, format!("tiny@1.0.0 {}: as locked\n", platform()));
    assert_eq!(archive(&sums()), first);

    workshop.define(&with_package("3.2"), GOOD_TEST);
    let built = workshop.build();
    assert_eq!(built.status.code(), Some(0), "{built:?}");
    let note = "otherwise in versions.lock: pypi idna 3.1 → 3.2";
    assert!(built.stderr_text().contains(note), "{built:?}");
    let check = workshop.scene.xtask(&["lock", "tiny", "--check"]);
    assert_eq!(check.status.code(), Some(1), "{check:?}");
    assert!(check.stdout.contains("1 change(s)\n  pypi idna 3.1 → 3.2\n"), "{check:?}");
    assert_eq!(fs_err::read_to_string(&path).unwrap(), lock::write(&two));
    assert_eq!(workshop.scene.xtask(&["lock", "tiny"]).status.code(), Some(0));
    let file = lock::parse(&fs_err::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(file.platforms.keys().count(), 2);

    fs_err::write(&path, r#"{"schema_version": 7}"#).unwrap();
    let newer = workshop.build();
    assert_eq!(newer.status.code(), Some(1), "{newer:?}");
    assert!(newer.stderr_text().contains("format 7, and this program knows format 1"), "{newer:?}");
}
