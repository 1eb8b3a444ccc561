//! `xtask verify` and `xtask diff`, the whole way through the command line.

use std::collections::BTreeMap;

use rnx_spec::Digest;
use rnx_spec::registry::{self, Artifact, Definition, Registry, Release, Requires, SideFile};
use serde_json::Value;

use crate::build::{GOOD_TEST, Workshop, platform};
use crate::lock::with_package;

#[test]
fn verify_builds_again_and_says_what_differs() {
    let Some(workshop) = Workshop::new(&with_package("3.1"), GOOD_TEST) else { return };
    let early = workshop.scene.xtask(&["verify", "tiny"]);
    assert_eq!(early.status.code(), Some(1), "{early:?}");
    assert!(early.stderr_text().contains("neither published nor built in dist/"), "{early:?}");
    assert_eq!(workshop.build().status.code(), Some(0));
    let sums = || fs_err::read_to_string(workshop.dist().join("SHA256SUMS")).unwrap();
    let before = sums();
    let same = workshop.scene.xtask(&["verify", "tiny@1.0.0"]);
    assert_eq!(same.status.code(), Some(0), "{same:?}");
    assert!(same.stdout.contains("the same archive as the one in dist/: sha256:"), "{same:?}");

    // The same version is built from something else now.
    let script = with_package("3.2") + "cp /bin/busybox \"$tree/bin/more\"\n";
    workshop.define(&script, GOOD_TEST);
    let other = workshop.scene.xtask(&["verify", "tiny"]);
    assert_eq!(other.status.code(), Some(4), "{other:?}");
    for part in [
        "not the same archive as the one in dist/",
        "packages: 1 changed\n    idna 3.1 → 3.2 (pypi)\n",
        "  - isolated/lib/idna-3.1.dist-info/METADATA: ",
        "  + isolated/bin/more: ",
        "MiB (+",
    ] {
        assert!(other.stdout.contains(part), "{part}: {other:?}");
    }
    assert_eq!(sums(), before, "nothing in dist/ was changed");

    // What is published counts more than what is in dist/.
    publish(&workshop, &before);
    let published = workshop.scene.xtask(&["verify", "tiny"]);
    assert_eq!(published.status.code(), Some(4), "{published:?}");
    assert!(
        published.stdout.contains("not the same archive as the published one"),
        "{published:?}"
    );
    assert!(published.stdout.contains("tiny@1.0.0 ubuntu-"), "{published:?}");
    assert!(published.stdout.contains("    idna 3.1 → 3.2 (pypi)\n"), "{published:?}");
    fs_err::remove_file(workshop.scene.repo().join("registry.json")).unwrap();

    // A locked definition is built as locked.
    let tried = workshop.build();
    assert_eq!(tried.status.code(), Some(0), "{tried:?}");
    assert_eq!(workshop.scene.xtask(&["lock", "tiny"]).status.code(), Some(0));
    workshop.define(&with_package("3.3"), GOOD_TEST);
    let refused = workshop.scene.xtask(&["verify", "tiny"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(refused.stderr_text().contains("locked → built:\n    pypi idna 3.2 → 3.3"));
    let version = workshop.scene.xtask(&["verify", "tiny@0.9.0"]);
    assert_eq!(version.status.code(), Some(1), "{version:?}");
    assert!(
        version.stderr_text().contains("hint: check the other one out: `git checkout tiny@0.9.0`")
    );
}

/// Writes a registry whose files are copies of what `dist` has now.
fn publish(workshop: &Workshop, sums: &str) {
    let repo = workshop.scene.repo();
    let copies = repo.join("published");
    fs_err::create_dir(&copies).unwrap();
    let digest = |end: &str| -> Digest {
        let line = sums.lines().find(|line| line.ends_with(&format!("{}{end}", platform())));
        line.unwrap().split_once(' ').unwrap().0.parse().unwrap()
    };
    let side = |end: &str| {
        let name = format!("tiny-1.0.0-{}{end}", platform());
        fs_err::copy(workshop.dist().join(&name), copies.join(&name)).unwrap();
        SideFile { url: format!("published/{name}").parse().unwrap(), digest: digest(end) }
    };
    let (archive, files, sbom) = (side(".tar.gz"), side(".files.json"), side(".sbom.json"));
    let artifact = Artifact {
        url: archive.url.clone(),
        parts: Vec::new(),
        digest: archive.digest,
        size_bytes: 1,
        unpacked_bytes: 1,
        entries: 1,
        files: Some(files),
        sbom: Some(sbom),
        requires: Requires::default(),
    };
    let platform = platform().parse().unwrap();
    let release = Release {
        spec: "tiny@1.0.0".parse().unwrap(),
        description: "one program".to_owned(),
        definition: Definition { url: archive.url, digest: None, size_bytes: None },
        platforms: vec![platform],
        released_at: None,
        source_commit: None,
        license: None,
        artifacts: BTreeMap::from([(platform, artifact)]),
    };
    let now = "2026-11-24T10:00:00Z";
    let filled = registry::insert(&Registry::empty(now).unwrap(), &release, now).unwrap();
    fs_err::write(repo.join("registry.json"), registry::write(&filled)).unwrap();
}

#[test]
fn diff_compares_files_of_artifacts_and_versions() {
    let Some(workshop) = Workshop::new(&with_package("3.1"), GOOD_TEST) else { return };
    let manifest = workshop.scene.repo().join("runtimes/tiny/manifest.yaml");
    assert_eq!(workshop.build().status.code(), Some(0));
    workshop.define(&with_package("3.2"), GOOD_TEST);
    let text = fs_err::read_to_string(&manifest).unwrap();
    fs_err::write(&manifest, text.replace("1.0.0", "1.1.0")).unwrap();
    assert_eq!(workshop.build().status.code(), Some(0));

    let file = |version: &str, end: &str| {
        let name = format!("tiny-{version}-{}{end}", platform());
        workshop.dist().join(name).to_str().unwrap().to_owned()
    };
    let run = |a: &str, b: &str| {
        let ran = workshop.scene.xtask(&["diff", a, b, "--platform", &platform()]);
        assert_eq!(ran.status.code(), Some(0), "{ran:?}");
        ran.stdout
    };
    let by_version = run("tiny@1.0.0", "tiny@1.1.0");
    assert!(
        by_version.contains("packages: 1 changed\n    idna 3.1 → 3.2 (pypi)\n"),
        "{by_version}"
    );
    assert!(by_version.contains("  runtime.yml: "), "{by_version}");
    assert_eq!(run(&file("1.0.0", ".tar.gz"), &file("1.1.0", ".files.json")), by_version);
    assert!(run("tiny@1.0.0", "tiny@1.0.0").ends_with("the same archive, byte by byte\n"));

    let json = workshop.scene.xtask(&[
        "diff",
        "--json",
        &file("1.0.0", ".tar.gz"),
        &file("1.1.0", ".tar.gz"),
    ]);
    let document: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(document["packages"][0]["before"], serde_json::json!(["3.1"]));
    assert_eq!(document["identical"], serde_json::json!(false));
    let missing = workshop.scene.xtask(&["diff", "tiny@1.0.0", "tiny@9.0.0"]);
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
    assert!(missing.stderr_text().contains("tiny@9.0.0 is neither built in dist/ nor published"));
}
