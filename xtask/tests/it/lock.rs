//! `versions.lock`, the whole way through the command line.

use rnx_spec::lock::{
    self, DistroFormat, DistroPackage, LanguageKind, LanguagePackage, LockFile, LockedBase,
    PlatformLock,
};

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

    // A repository that has the page of what is inside its runtimes gets it brought up to date.
    let page = workshop.scene.repo().join("docs/runtimes.md");
    fs_err::create_dir(page.parent().unwrap()).unwrap();
    fs_err::write(&page, "").unwrap();
    assert_eq!(workshop.scene.xtask(&["lock", "tiny"]).status.code(), Some(0));
    assert!(fs_err::read_to_string(&page).unwrap().contains("| idna | pypi | 3.1 |\n"));
    let sums = || fs_err::read_to_string(workshop.dist().join("SHA256SUMS")).unwrap();
    let archive = |sums: &str| {
        let name = format!("-{}.tar.gz", platform());
        sums.lines().find(|line| line.ends_with(&name)).map(str::to_owned)
    };
    assert!(!workshop.dist().exists(), "what is locked may be no release");
    assert_eq!(workshop.build().status.code(), Some(0));
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
    assert_eq!(workshop.build().status.code(), Some(0));
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

/// One platform's section with a distro package and a Python package in the tree.
fn section(os: &str, deb: &str, python: &str) -> PlatformLock {
    let digest = "0".repeat(64).parse().unwrap();
    PlatformLock {
        base: LockedBase {
            name: "base".to_owned(),
            os: os.to_owned(),
            os_version: "12".to_owned(),
            digest,
        },
        sources: Vec::new(),
        distro: vec![DistroPackage {
            name: "openssl".to_owned(),
            arch: "any".to_owned(),
            version: deb.to_owned(),
            format: DistroFormat::Deb,
            in_tree: true,
            sha256: None,
        }],
        language: vec![LanguagePackage {
            kind: LanguageKind::Pypi,
            name: "numpy".to_owned(),
            path: "isolated/numpy.dist-info".to_owned(),
            version: python.to_owned(),
            sha256: digest,
            download: None,
        }],
    }
}

#[test]
fn platforms_carry_the_same_versions_or_the_manifest_says_why() {
    let scene = crate::bases::scene::Scene::new();
    let folder = scene.repo().join("runtimes/a");
    fs_err::create_dir(&folder).unwrap();
    let manifest = "name: a\nversion: 1.0.0\ndescription: d\nbase: box\n\
        platforms: [ubuntu-amd64, ubuntu-arm64, rhel-amd64]\n";
    scene.define("box", "rootfs: {url: box.tar, sha256: \"0000000000000000000000000000000000000000000000000000000000000000\"}");
    fs_err::write(folder.join("setup.sh"), "#!/bin/sh\n").unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs_err::set_permissions(folder.join("setup.sh"), executable).unwrap();
    let validate = |parity: &str, others: [PlatformLock; 2]| {
        let [arm, rhel] = others;
        let amd = section("debian", "3.0-1+b1", "1.26.2");
        let names = ["ubuntu-amd64", "ubuntu-arm64", "rhel-amd64"].map(|n| n.parse().unwrap());
        let platforms = names.into_iter().zip([amd, arm, rhel]).collect();
        fs_err::write(folder.join("versions.lock"), lock::write(&LockFile { platforms })).unwrap();
        fs_err::write(folder.join("manifest.yaml"), format!("{manifest}{parity}")).unwrap();
        let ran = scene.xtask(&["validate", "--strict", "--format", "json"]);
        (ran.status.code(), ran.stdout)
    };
    let rhel = || section("rhel", "9", "1.26.2");
    // A rebuild of one architecture, and another distro, are no differences.
    let (status, said) = validate("", [section("debian", "3.0-1+b7", "1.26.2"), rhel()]);
    assert_eq!(status, Some(0), "{said}");
    let arm = || section("debian", "3.0-2", "1.26.4");
    let (status, said) = validate("", [arm(), rhel()]);
    assert_eq!(status, Some(1), "{said}");
    let message = "by versions.lock, 2 package(s) differ between `ubuntu-amd64` and `ubuntu-arm64`: numpy (1.26.2 and 1.26.4), openssl (3.0-1 and 3.0-2)";
    assert!(said.contains("RT0209") && said.contains(message), "{said}");
    let (status, said) = validate("parity: {NumPy: no wheel}\n", [arm(), rhel()]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("1 package(s) differ"), "{said}");
    let both = "parity: {numpy: no wheel, openssl: a build ahead}\n";
    assert_eq!(validate(both, [arm(), rhel()]).0, Some(0));
    let (status, said) =
        validate("", [section("debian", "3.0-1", "1.26.2"), section("rhel", "9", "2.0")]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("between `ubuntu-amd64` and `rhel-amd64`"), "{said}");
}
