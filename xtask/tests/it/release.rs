//! Releasing from a real clone to a real bare repository.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rnx_spec::Digest;
use rnx_spec::lock::{self, LockFile, LockedBase, PlatformLock};
use rnx_spec::registry;

use crate::bases::scene::{Ran, ran};

/// A bare repository, and a clone of it with definitions.
struct Scene {
    dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { dir: tempfile::tempdir().unwrap() };
        scene.git(scene.dir.path(), &["init", "--quiet", "--bare", "--initial-branch=main", "hub"]);
        scene.git(scene.dir.path(), &["clone", "--quiet", "hub", "clone"]);
        scene.define("a", "1.0.0");
        scene.define("b", "0.3.0");
        scene.write("registry.json", "{\"version\": \"1\", \"updated_at\": \"2026-11-24T10:00:00Z\", \"runtimes\": {}, \"yanked\": {}}\n");
        scene.commit("first");
        scene
    }

    fn clone(&self) -> PathBuf {
        self.dir.path().join("clone")
    }

    fn hub(&self) -> PathBuf {
        self.dir.path().join("hub")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.clone().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }

    fn define(&self, name: &str, version: &str) {
        let manifest = format!(
            "# The runtime {name}\nname: {name}\nversion: '{version}' # quoted\ndescription: The runtime {name}\n\
             platforms: [ubuntu-amd64, ubuntu-arm64, rhel-amd64]\nreuse: {{rhel: ubuntu}}\n\
             tests: [{{name: runs, run: [\"true\"]}}]\n"
        );
        self.write(&format!("runtimes/{name}/manifest.yaml"), &manifest);
        self.write(&format!("runtimes/{name}/setup.sh"), "#!/bin/sh\nset -eu\n");
        self.write(&format!("runtimes/{name}/versions.lock"), &lock::write(&locked()));
        let script = self.clone().join(format!("runtimes/{name}/setup.sh"));
        fs_err::set_permissions(script, PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn commit(&self, message: &str) {
        self.git(&self.clone(), &["add", "--all"]);
        self.git(&self.clone(), &["commit", "--quiet", "-m", message]);
        self.git(&self.clone(), &["push", "--quiet", "origin", "HEAD:main"]);
    }

    fn git(&self, dir: &Path, args: &[&str]) -> String {
        let ran = self.try_git(dir, args);
        assert!(ran.status.success(), "git {args:?}: {ran:?}");
        ran.stdout.trim_end().to_owned()
    }

    fn try_git(&self, dir: &Path, args: &[&str]) -> Ran {
        ran(self.env(Command::new("git").arg("-C").arg(dir).args(args)))
    }

    fn env<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let home = self.dir.path();
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "A");
            command.env(format!("GIT_{role}_EMAIL"), "a@example.org");
        }
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("HOME", home).stdin(Stdio::null())
    }

    fn xtask(&self, args: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.arg("--repo").arg(self.clone()).args(args);
        command.env("RNX_CACHE_DIR", self.dir.path().join("cache"));
        ran(self.env(&mut command))
    }

    /// Runs to the end, and returns what was printed with commits left out.
    fn done(&self, args: &[&str]) -> String {
        let ran = self.xtask(args);
        assert_eq!(ran.status.code(), Some(0), "{args:?}: {ran:#?}");
        without_commits(&ran.stdout)
    }

    fn refused(&self, args: &[&str]) -> String {
        let ran = self.xtask(args);
        assert_eq!(ran.status.code(), Some(1), "{args:?}: {ran:#?}");
        without_commits(&ran.stdout)
    }

    fn hub_refs(&self) -> String {
        self.git(&self.hub(), &["for-each-ref", "--format=%(objecttype) %(refname)"])
    }
}

/// A lock of both builds of a definition.
fn locked() -> LockFile {
    let base = LockedBase {
        name: "made-up".to_owned(),
        os: String::new(),
        os_version: String::new(),
        digest: Digest::from_bytes([0; 32]),
    };
    let section = PlatformLock { base, sources: vec![], distro: vec![], language: vec![] };
    let platforms = ["ubuntu-amd64", "ubuntu-arm64"];
    let sections = platforms.map(|platform| (platform.parse().unwrap(), section.clone()));
    LockFile { platforms: sections.into() }
}

fn without_commits(text: &str) -> String {
    regex::Regex::new(r"\b[0-9a-f]{7,12}\b").unwrap().replace_all(text, "COMMIT").into_owned()
}

#[test]
fn a_release_is_a_tag_on_the_remote_with_what_changed() {
    let scene = Scene::new();
    insta::assert_snapshot!(scene.done(&["release", "a", "--dry-run"]), @r"
    1. make the tag a@1.0.0:
        a 1.0.0

        The first release:
        - first (COMMIT)
    2. push to origin: refs/tags/a@1.0.0
    ");
    assert_eq!(scene.hub_refs(), "commit refs/heads/main", "a dry run does nothing");
    assert_eq!(scene.git(&scene.clone(), &["tag"]), "");
    assert_eq!(scene.xtask(&["release", "a"]).status.code(), Some(2), "nobody is asked");

    scene.done(&["tag", "a"]);
    assert_eq!(scene.hub_refs(), "commit refs/heads/main", "a tag stays here");
    // The tag that is there is taken up.
    insta::assert_snapshot!(scene.done(&["release", "a", "--yes"]), @r"1. push to origin: refs/tags/a@1.0.0");
    assert_eq!(scene.hub_refs(), "commit refs/heads/main\ntag refs/tags/a@1.0.0");

    scene.write("runtimes/a/setup.sh", "#!/bin/sh\nset -eu\necho 2\n");
    scene.commit("a: say 2");
    scene.write("runtimes/b/setup.sh", "#!/bin/sh\nset -eu\necho 2\n");
    scene.commit("b: say 2");
    scene.done(&["release", "a", "--bump", "minor", "--yes"]);
    let message = scene.git(&scene.hub(), &["tag", "--list", "--format=%(contents)", "a@1.1.0"]);
    insta::assert_snapshot!(without_commits(&message), @r"
    a 1.1.0

    Changes since 1.0.0:
    - a: say 2 (COMMIT)
    ");
    let diff = scene.git(&scene.hub(), &["show", "--format=%s", "--unified=0", "main"]);
    insta::assert_snapshot!(without_commits(&diff), @r"
    a: version 1.1.0

    diff --git a/runtimes/a/manifest.yaml b/runtimes/a/manifest.yaml
    index COMMIT..COMMIT 100644
    --- a/runtimes/a/manifest.yaml
    +++ b/runtimes/a/manifest.yaml
    @@ -3 +3 @@ name: a
    -version: '1.0.0' # quoted
    +version: '1.1.0' # quoted
    ");
    assert_eq!(
        scene.git(&scene.hub(), &["rev-parse", "a@1.1.0^{}"]),
        scene.git(&scene.hub(), &["rev-parse", "main"])
    );
}

#[test]
fn everything_that_stands_in_the_way_is_told_at_once() {
    let scene = Scene::new();
    scene.done(&["release", "a", "--yes"]);
    let published = r#"{"version": "1", "updated_at": "2026-11-24T10:00:00Z", "runtimes": {"a": {
        "1.0.0": {"version": "1.0.0", "description": "", "download_url": "a.tar.gz"}}},
        "yanked": {"b": {"0.4.0": {"reason": "bad"}}}}"#;
    scene.write("registry.json", published);
    scene.commit("registry");
    scene.git(&scene.clone(), &["switch", "--quiet", "--create", "topic", "HEAD~1"]);
    scene.git(&scene.clone(), &["tag", "b@0.3.0"]);
    scene.write("runtimes/b/setup.sh", "#!/bin/sh\nif\n");
    scene.git(&scene.clone(), &["commit", "--quiet", "--all", "-m", "local"]);
    let mut lock = locked();
    lock.platforms.pop_last();
    scene.write("runtimes/b/versions.lock", &lock::write(&lock));
    insta::assert_snapshot!(scene.refused(&["release", "a", "b", "--yes"]), @r"
    error[RT0401]: the working tree is not clean: `runtimes/b/versions.lock`
      help: commit them, or put them aside: `git stash --include-untracked`
    error[RT0402]: releases are made from `main`, and `topic` is checked out
      help: `git switch main`
    error[RT0403]: this branch and `origin` went apart: 1 commit here, 1 commit there
      help: `git pull --rebase`, then `git push`
    error[RT0405]: a: 1.0.0 is published, and what is published never changes
      help: release a higher version: `cargo xtask release a --bump patch`
    error[RT0404]: b: the definition has 1 finding(s)
      help: `cargo xtask validate --strict b` shows them
    error[RT0405]: b: 0.3.0 is not higher than 0.4.0, which is published
      help: release a higher version: `cargo xtask release b --bump patch`
    error[RT0407]: b: `versions.lock` says nothing of ubuntu-arm64
      help: `cargo xtask lock b` writes it, `--platform` for another architecture; then commit it
    error[RT0406]: the tag `a@1.0.0` is on `origin`
      help: a tag never moves: release a higher version, and `cargo xtask yank` a bad one
    error[RT0406]: the tag `b@0.3.0` names another commit in this clone: COMMIT
      help: a tag never moves: release a higher version, and `cargo xtask yank` a bad one
    ");
    assert_eq!(scene.hub_refs(), "commit refs/heads/main\ntag refs/tags/a@1.0.0");

    scene.write("runtimes/b/manifest.yaml", "name: [\n");
    insta::assert_snapshot!(scene.refused(&["release", "b", "--yes"]), @r"
    error[RT0401]: the working tree is not clean: `runtimes/b/manifest.yaml`, `runtimes/b/versions.lock`
      help: commit them, or put them aside: `git stash --include-untracked`
    error[RT0402]: releases are made from `main`, and `topic` is checked out
      help: `git switch main`
    error[RT0403]: this branch and `origin` went apart: 1 commit here, 1 commit there
      help: `git pull --rebase`, then `git push`
    error[RT0404]: b: the definition has 2 finding(s)
      help: `cargo xtask validate --strict b` shows them
    ");
    assert_eq!(scene.xtask(&["release", "c"]).status.code(), Some(2));
}

#[test]
fn all_runtimes_are_released_by_one_commit_and_one_tag_and_the_unchanged_are_not_built() {
    let scene = Scene::new();
    insta::assert_snapshot!(scene.done(&["release", "--all", "1.4.0", "--yes"]), @r"
    1. set the version in runtimes/a/manifest.yaml: 1.0.0 -> 1.4.0
    2. set the version in runtimes/b/manifest.yaml: 0.3.0 -> 1.4.0
    3. commit: runtimes: all at 1.4.0
    4. make the tag v1.4.0:
        All runtimes at 1.4.0

        a: the first release:
        - first (COMMIT)

        b: the first release:
        - first (COMMIT)
    5. push to origin: HEAD:refs/heads/main, refs/tags/v1.4.0
    ");
    assert_eq!(scene.hub_refs(), "commit refs/heads/main\ntag refs/tags/v1.4.0");
    let manifest = scene.git(&scene.hub(), &["show", "v1.4.0:runtimes/b/manifest.yaml"]);
    assert!(manifest.contains("\nversion: '1.4.0' # quoted\n"), "{manifest}");
    insta::assert_snapshot!(scene.done(&["plan", "v1.4.0"]), @r"
    v1.4.0
      build a@1.4.0 for ubuntu-amd64 on ubuntu-24.04
      build a@1.4.0 for ubuntu-arm64 on ubuntu-24.04-arm
      build b@1.4.0 for ubuntu-amd64 on ubuntu-24.04
      build b@1.4.0 for ubuntu-arm64 on ubuntu-24.04-arm
    ");
    insta::assert_snapshot!(scene.done(&["plan", "v1.4.0", "--format", "github-matrix"]), @r#"{"include":[{"name":"a","version":"1.4.0","platform":"ubuntu-amd64","runner":"ubuntu-24.04"},{"name":"a","version":"1.4.0","platform":"ubuntu-arm64","runner":"ubuntu-24.04-arm"},{"name":"b","version":"1.4.0","platform":"ubuntu-amd64","runner":"ubuntu-24.04"},{"name":"b","version":"1.4.0","platform":"ubuntu-arm64","runner":"ubuntu-24.04-arm"}]}"#);
    insta::assert_snapshot!(scene.xtask(&["plan", "a@1.3.0"]).stderr_text(), @r"
    error: the tag and this checkout do not belong together
      cause: `a@1.3.0` releases version 1.3.0, and the manifest here says `a@1.4.0`
    hint: check out the commit that the tag names
    ");

    // Both are published; then one of them changes.
    let entry = |name: &str| {
        format!(
            r#""{name}": {{"1.4.0": {{"version": "1.4.0", "description": "", "download_url": "{name}.tar.gz"}}}}"#
        )
    };
    let published = format!(
        r#"{{"version": "1", "updated_at": "2026-11-24T10:00:00Z", "runtimes": {{{}, {}}}}}"#,
        entry("a"),
        entry("b")
    );
    scene.write("registry.json", &published);
    scene.write("runtimes/b/setup.sh", "#!/bin/sh\nset -eu\necho 2\n");
    scene.commit("b: say 2");
    scene.done(&["release", "--all", "1.5.0", "--yes"]);
    insta::assert_snapshot!(scene.done(&["plan", "v1.5.0"]), @r"
    v1.5.0
      build b@1.5.0 for ubuntu-amd64 on ubuntu-24.04
      build b@1.5.0 for ubuntu-arm64 on ubuntu-24.04-arm
      skip a: nothing changed since a@1.4.0
    ");
    let rebuilt = scene.done(&["plan", "v1.5.0", "--rebuild"]);
    assert_eq!(rebuilt.lines().filter(|line| line.contains("build a@1.5.0")).count(), 2);
    // What all share changes all.
    scene.write("runtimes/lib/lib.sh", "# shared\n");
    scene.commit("lib: new");
    scene.done(&["release", "--all", "1.6.0", "--yes"]);
    assert!(!scene.done(&["plan", "v1.6.0"]).contains("skip"));
}

#[test]
fn a_bad_version_is_withdrawn_and_can_come_back() {
    let scene = Scene::new();
    let entry = |version: &str| {
        format!(
            r#""{version}": {{"version": "{version}", "description": "", "download_url": "a.tar.gz"}}"#
        )
    };
    let published = format!(
        r#"{{"version": "1", "updated_at": "2026-11-24T10:00:00Z", "runtimes": {{"a": {{{}, {}}}}}}}"#,
        entry("1.0.0"),
        entry("1.0.1")
    );
    scene.write("registry.json", &published);
    scene.commit("registry");
    let at_hub = || {
        let text = scene.git(&scene.hub(), &["cat-file", "blob", "main:registry.json"]);
        let registry = registry::parse(text.as_bytes()).unwrap();
        let spec = "a@1.0.0".parse().unwrap();
        (registry.get(&spec).is_some(), registry.yanked().len())
    };
    let yank = ["yank", "a@1.0.0", "--reason", "wrong libssl", "--replacement", "1.0.1"];
    assert_eq!(scene.xtask(&yank).status.code(), Some(2), "nobody is asked");
    scene.done(&[&yank[..], &["--yes"]].concat());
    assert_eq!(at_hub(), (false, 1));
    assert_eq!(scene.done(&[&yank[..], &["--yes"]].concat()), "the registry says so already\n");
    scene.done(&["yank", "a@1.0.0", "--undo", "--yes"]);
    assert_eq!(at_hub(), (true, 0));
    scene.refused(&["yank", "a@2.0.0", "--reason", "x", "--yes"]);
    scene.git(&scene.clone(), &["pull", "--quiet"]);
    scene.done(&["yank", "a@1.0.1", "--reason", "x", "--in", scene.clone().to_str().unwrap()]);
    assert!(scene.git(&scene.clone(), &["diff", "--name-only"]).contains("registry.json"));
}
