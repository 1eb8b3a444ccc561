//! Lock files: the text, its reading back, and what differs between two.

use super::*;

fn digest(digit: char) -> Digest {
    digit.to_string().repeat(64).parse().unwrap()
}

fn deb(name: &str, version: &str, in_tree: bool) -> DistroPackage {
    DistroPackage {
        name: name.to_owned(),
        arch: "amd64".to_owned(),
        version: version.to_owned(),
        format: DistroFormat::Deb,
        in_tree,
        sha256: Some(digest('a')),
    }
}

fn python(name: &str, version: &str) -> LanguagePackage {
    LanguagePackage {
        kind: LanguageKind::Pypi,
        name: name.to_owned(),
        path: format!("isolated/usr/lib/{name}-{version}.dist-info"),
        version: version.to_owned(),
        sha256: digest('b'),
        download: None,
    }
}

fn section() -> PlatformLock {
    PlatformLock {
        base: LockedBase {
            name: "debian-bookworm".to_owned(),
            os: "debian".to_owned(),
            os_version: "12".to_owned(),
            digest: digest('0'),
        },
        sources: Vec::new(),
        distro: vec![deb("bash", "5.2.15-2+b8", true), deb("apt", "2.6.1", false)],
        language: vec![python("numpy", "1.26.2")],
    }
}

fn file(sections: &[(&str, PlatformLock)]) -> LockFile {
    let platforms =
        sections.iter().map(|(name, lock)| (name.parse().unwrap(), lock.clone())).collect();
    LockFile { platforms }
}

#[test]
fn the_text_is_one_package_a_line_sorted_and_reads_back() {
    let lock = file(&[("ubuntu-arm64", section()), ("ubuntu-amd64", section())]);
    let text = write(&lock);
    insta::assert_snapshot!(write(&file(&[("ubuntu-amd64", section())])));
    let mut sorted = lock.clone();
    sorted.platforms.values_mut().for_each(PlatformLock::sort);
    assert_eq!(parse(&text).unwrap(), sorted);
    let mut shuffled = lock;
    shuffled.platforms.values_mut().for_each(|lock| lock.distro.reverse());
    assert_eq!(write(&shuffled), text);
}

#[test]
fn other_formats_are_refused_by_number() {
    let told = |text: &str| parse(text).unwrap_err().to_string();
    assert_eq!(
        told(r#"{"schema_version": 2, "anything": 1}"#),
        "it has format 2, and this program knows format 1; use a newer program"
    );
    assert_eq!(told("{}"), "it is no JSON document with a `schema_version`");
    let extra = r#"{"schema_version": 1, "platforms": {}, "more": 1}"#;
    assert_eq!(told(extra), "it is no lock file of format 1");
}

#[test]
fn what_differs_is_told_by_package() {
    let before = section();
    assert_eq!(changes(&before, &before), []);
    let mut after = section();
    after.base.digest = digest('1');
    after.distro[0].in_tree = false;
    after.distro[1] = deb("dash", "0.5", true);
    after.language = vec![python("numpy", "1.26.4"), python("scipy", "1.11.4")];
    let told: Vec<String> = changes(&before, &after).iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(told.join("\n"));
}
