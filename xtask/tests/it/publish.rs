//! `xtask publish` as a program: from a tag to an entry of the registry, killed at every moment on the way.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rnx_spec::artifact::SourceDateEpoch;
use rnx_spec::registry::{self, Registry};
use rnx_spec::source::UrlReference;
use rnx_spec::{Digest, RuntimeSpec, SourceUrl};
use rnx_store::fetch::{FetchOptions, Fetcher};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use test_support::fixture::write_runtime;
use test_support::github::{Fault, GitHub as Server, Options, Origin, REPOSITORY};
use xtask::build::dist;

use crate::github::{TOKEN, git};

const TAG: &str = "tiny@1.0.0";

/// A server, a clone of its repository with a tagged runtime, and what was built of it.
pub(crate) struct Scene {
    pub(crate) server: Server,
    dir: TempDir,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let token = Some(TOKEN.to_owned());
        let server = Server::with(&Options { token, ..Default::default() });
        let dir = tempfile::tempdir().unwrap();
        let scene = Self { server, dir };
        let repo = scene.repo();
        git(
            scene.dir.path(),
            &["clone", "--quiet", scene.server.git_dir().to_str().unwrap(), "repo"],
        );
        let folder = repo.join("runtimes/tiny");
        fs_err::create_dir_all(&folder).unwrap();
        let manifest = "name: tiny\nversion: 1.0.0\ndescription: one program\nplatforms: [ubuntu-amd64, ubuntu-arm64]\n";
        fs_err::write(folder.join("manifest.yaml"), manifest).unwrap();
        fs_err::write(repo.join(".gitignore"), "/dist/\n").unwrap();
        git(&repo, &["add", "--all"]);
        git(&repo, &["commit", "--quiet", "--message", "tiny"]);
        git(&repo, &["tag", "--annotate", "--message", "tiny", TAG]);
        git(&repo, &["push", "--quiet", "origin", "main", TAG]);
        scene.build();
        scene
    }

    pub(crate) fn repo(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    /// Leaves in `dist` what a build for two platforms leaves there.
    fn build(&self) {
        let (dist, stage) = (self.repo().join("dist"), self.dir.path().join("stage"));
        fs_err::create_dir_all(&stage).unwrap();
        let spec: RuntimeSpec = TAG.parse().unwrap();
        let epoch = SourceDateEpoch(1);
        let folder = self.repo().join("runtimes/tiny");
        let mut definition = dist::write_definition(&folder, &spec, epoch, &stage).unwrap();
        dist::publish(&dist, &mut [&mut definition]).unwrap();
        // One archive is in one file, the other in two.
        for (platform, part_bytes_max) in [("ubuntu-amd64", u64::MAX), ("ubuntu-arm64", 400_000)] {
            let tree = tempfile::tempdir().unwrap();
            write_runtime(tree.path(), &spec);
            fs_err::write(tree.path().join("isolated/platform"), platform).unwrap();
            let platform = platform.parse().unwrap();
            let into = dist::Into { dist: &stage, epoch, part_bytes_max };
            let mut built = dist::write_runtime(tree.path(), &spec, platform, &into).unwrap();
            let mut files: Vec<_> = built.parts.iter_mut().chain([&mut built.index]).collect();
            if files.len() == 1 {
                files.push(&mut built.archive);
            }
            dist::publish(&dist, &mut files).unwrap();
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.arg("publish").args(args).arg("--repo").arg(self.repo());
        command.args(["--repository", REPOSITORY]);
        command.args(["--api-url", &self.server.origins().api]);
        command.args(["--server-url", &self.server.origins().web]);
        command.env_clear().env("HOME", self.dir.path()).env("GITHUB_TOKEN", TOKEN);
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        // Whatever can be made to talk, talks.
        command.envs([("RUST_BACKTRACE", "full"), ("RUST_LOG", "trace"), ("GIT_TRACE", "1")]);
        command.env("GIT_CONFIG_GLOBAL", self.dir.path().join("gitconfig"));
        command.envs([("GIT_AUTHOR_NAME", "a"), ("GIT_AUTHOR_EMAIL", "a@example.org")]);
        command.envs([("GIT_COMMITTER_NAME", "a"), ("GIT_COMMITTER_EMAIL", "a@example.org")]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn publish(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().unwrap())
    }

    /// Everything that others can see afterwards.
    pub(crate) fn end_state(&self) -> String {
        let mut lines = Vec::new();
        for release in self.server.releases() {
            let (tag, draft) = (&release.tag, release.draft);
            lines.push(format!("{tag} draft={draft} {}", release.body.len()));
            let mut assets: Vec<String> = release
                .assets
                .iter()
                .map(|one| format!("  {} {} {:?}", one.name, one.size_bytes, one.digest))
                .collect();
            assets.sort();
            lines.extend(assets);
        }
        // When the registry was written is another each time.
        let registry = registry::write(&self.registry());
        lines.extend(
            registry.lines().filter(|line| !line.contains("updated_at")).map(str::to_owned),
        );
        lines.join("\n")
    }

    pub(crate) fn registry(&self) -> Registry {
        registry::parse(&self.server.file("main", "registry.json").unwrap()).unwrap()
    }

    fn assert_uploaded_once(&self, case: &str) {
        let uploads = self.server.completed_uploads();
        assert_eq!(uploads.len(), 8, "{case}: {uploads:?}");
        assert!(uploads.values().all(|times| *times == 1), "{case}: {uploads:?}");
    }
}

/// How a run ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let ran = Self {
            status: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        assert!(!ran.stdout.contains(TOKEN) && !ran.stderr.contains(TOKEN), "the token is told");
        ran
    }
}

/// Looks for the token on every command line of this machine.
fn assert_on_no_command_line() {
    for entry in fs_err::read_dir("/proc").unwrap().flatten() {
        // Processes end while they are looked at.
        let line = fs_err::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        assert!(!line.contains(TOKEN), "{line}");
    }
}

/// Looks for the token in every file of a folder.
fn assert_in_no_file(dir: &Path) {
    for entry in walkdir(dir) {
        let bytes = fs_err::read(&entry).unwrap();
        let found = bytes.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes());
        assert!(!found, "{}", entry.display());
    }
}

fn walkdir(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs_err::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => files.extend(walkdir(&entry.path())),
            kind if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
    files
}

#[test]
fn a_tag_becomes_a_release_and_an_entry_that_can_be_fetched() {
    let scene = Scene::new();
    let dry = scene.publish(&[TAG, "--dry-run"]);
    assert_eq!(dry.status, Some(0), "{dry:?}");
    let steps: Vec<&str> =
        dry.stdout.lines().map(|line| line.split(" (").next().unwrap()).collect();
    assert_eq!(
        steps,
        [
            "1. create the draft release `tiny@1.0.0`",
            "2. upload tiny-1.0.0-ubuntu-amd64.files.json",
            "3. upload tiny-1.0.0-ubuntu-amd64.tar.gz",
            "4. upload tiny-1.0.0-ubuntu-arm64.files.json",
            "5. upload tiny-1.0.0-ubuntu-arm64.tar.gz.part01",
            "6. upload tiny-1.0.0-ubuntu-arm64.tar.gz.part02",
            "7. upload tiny-1.0.0.release.json",
            "8. upload tiny-1.0.0.tar.gz",
            "9. upload SHA256SUMS",
            "10. compare the digests of 8 files with what the forge has",
            "11. publish the release `tiny@1.0.0`",
            "12. add tiny@1.0.0 to registry.json on `main` of origin",
        ]
    );
    assert_eq!(scene.server.releases(), []);
    let nothing = scene.publish(&[TAG, "--resume"]);
    assert_eq!(nothing.status, Some(2), "{nothing:?}");

    let done = scene.publish(&[TAG, "--json"]);
    assert_eq!(done.status, Some(0), "{done:?}");
    let told: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(told["uploaded"].as_array().unwrap().len(), 8);
    assert_eq!(told["registry"]["state"], "changed");
    scene.assert_uploaded_once("at once");

    // What a host fetches: the registry, and from it an archive, by way of another origin.
    let spec: RuntimeSpec = TAG.parse().unwrap();
    let fetcher = Fetcher::new(&FetchOptions::default()).unwrap();
    let url: SourceUrl = scene.server.raw_url("main", "registry.json").parse().unwrap();
    let registry = registry::parse(&fetcher.read_all(&url, 1 << 20).unwrap()).unwrap();
    let release = registry.get(&spec).unwrap();
    assert_eq!(release.artifacts.len(), 2);
    for artifact in release.artifacts.values() {
        let parts: Vec<_> = artifact.parts.iter().map(|part| &part.url).collect();
        let files = if parts.is_empty() { vec![&artifact.url] } else { parts };
        let read = |file: &UrlReference| fetcher.read_all(&file.resolve(&url), 1 << 24).unwrap();
        let bytes: Vec<u8> = files.into_iter().flat_map(read).collect();
        assert_eq!(Digest::from_bytes(Sha256::digest(&bytes).into()), artifact.digest);
        assert_eq!(bytes.len() as u64, artifact.size_bytes);
    }
    // The release's own metadata is the same entry.
    let alone = fetcher
        .read_all(
            &format!(
                "{}/{REPOSITORY}/releases/download/tiny%401.0.0/tiny-1.0.0.release.json",
                scene.server.origins().web
            )
            .parse()
            .unwrap(),
            1 << 20,
        )
        .unwrap();
    assert_eq!(registry::parse(&alone).unwrap().get(&spec), Some(release));

    let state = scene.end_state();
    let again = scene.publish(&[TAG]);
    assert_eq!(again.status, Some(0), "{again:?}");
    assert_eq!(
        scene.publish(&[TAG, "--resume", "--dry-run"]).stdout,
        "tiny@1.0.0 is published and registered: nothing is left to do\n"
    );
    assert_eq!(scene.end_state(), state);
    scene.assert_uploaded_once("again");
    assert_in_no_file(scene.dir.path());
    assert_in_no_file(scene.server.git_dir());
}

#[test]
fn everything_that_is_missing_is_told_at_once_and_nothing_is_changed() {
    let scene = Scene::new();
    let dist = scene.repo().join("dist");
    for part in ["part01", "part02"] {
        fs_err::remove_file(dist.join(format!("tiny-1.0.0-ubuntu-arm64.tar.gz.{part}"))).unwrap();
    }
    fs_err::write(dist.join("tiny-1.0.0-ubuntu-amd64.files.json"), "").unwrap();
    let missing = scene.publish(&[TAG]);
    assert_eq!(missing.status, Some(1));
    assert!(missing.stderr.contains("was not built for ubuntu-arm64"), "{missing:?}");
    assert!(missing.stderr.contains("files.json is empty"), "{missing:?}");

    let manifest = scene.repo().join("runtimes/tiny/manifest.yaml");
    let text = fs_err::read_to_string(&manifest).unwrap();
    fs_err::write(&manifest, format!("{text}# changed\n")).unwrap();
    let changed = scene.publish(&[TAG]);
    assert_eq!(changed.status, Some(1));
    assert!(
        changed.stderr.contains("changes that are in no commit: runtimes/tiny/manifest.yaml"),
        "{changed:?}"
    );
    git(&scene.repo(), &["commit", "--quiet", "--all", "--message", "another"]);
    let other = scene.publish(&[TAG]);
    assert!(other.stderr.contains("hint: check it out: `git checkout tiny@1.0.0`"), "{other:?}");
    let none = scene.publish(&["tiny@1.0.1"]);
    assert!(none.stderr.contains("this clone has no tag `tiny@1.0.1`"), "{none:?}");
    let mut silent = scene.command(&[TAG]);
    let silent = Ran::of(silent.env_remove("GITHUB_TOKEN").output().unwrap());
    assert_eq!(silent.status, Some(2), "{silent:?}");
    assert_eq!(scene.server.releases(), []);

    let scene = Scene::new();
    let mut wrong = scene.command(&[TAG]);
    let wrong = Ran::of(wrong.env("GITHUB_TOKEN", format!("{TOKEN}x")).output().unwrap());
    assert_eq!(wrong.status, Some(1));
    assert!(wrong.stderr.contains("401: Bad credentials"), "{wrong:?}");
    assert!(wrong.stderr.contains("is wrong or has expired"), "{wrong:?}");
}

/// Kills a publisher that waits for an answer, and returns whether it came so far.
fn killed(scene: &Scene, child: &mut Child) -> bool {
    let held = scene.server.wait_until_held(|| child.try_wait().unwrap().is_some());
    if held {
        assert_on_no_command_line();
        child.kill().unwrap();
    }
    child.wait().unwrap();
    scene.server.release_held();
    held
}

#[test]
fn killed_at_every_request_it_comes_to_the_same_end() {
    let whole = Scene::new();
    assert_eq!(whole.publish(&[TAG]).status, Some(0));
    let requests = whole.server.log();
    let entry = |scene: &Scene| scene.registry().get(&TAG.parse().unwrap()).cloned().unwrap();
    // Only what changes something divides one moment from the next.
    let changing: Vec<usize> =
        (0..requests.len()).filter(|number| requests[*number].method != "GET").collect();
    assert_eq!(changing.len(), 10);
    for number in changing {
        for fault in [Fault::HoldBefore, Fault::HoldAfter] {
            let case = format!("{fault:?} of request {number}");
            let scene = Scene::new();
            scene.server.fail_at(number, fault);
            assert!(killed(&scene, &mut scene.command(&[TAG]).spawn().unwrap()), "{case}");
            let visible = scene.server.releases().iter().any(|release| !release.draft);
            assert!(!visible || requests[number].method == "PATCH", "{case}");
            let again = scene.publish(&[TAG]);
            assert_eq!(again.status, Some(0), "{case}: {again:?}");
            scene.assert_uploaded_once(&case);
            let release = entry(&scene);
            let digests = |one: &rnx_spec::registry::Release| -> BTreeMap<_, _> {
                one.artifacts.iter().map(|(platform, one)| (*platform, one.digest)).collect()
            };
            assert_eq!(digests(&release), digests(&entry(&whole)), "{case}");
            let releases = scene.server.releases();
            assert!(releases.len() == 1 && !releases[0].draft, "{case}: {releases:?}");
            assert_eq!(releases[0].assets.len(), 8, "{case}");
            assert_in_no_file(scene.dir.path());
        }
    }
}

#[test]
fn killed_while_it_pushes_the_registry_it_comes_to_the_same_end() {
    for hook in ["pre-receive", "post-receive"] {
        let scene = Scene::new();
        let (pid, seen) = (scene.dir.path().join("pid"), scene.dir.path().join("seen"));
        let path = scene.server.git_dir().join("hooks").join(hook);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        let text = format!(
            "#!/bin/sh\ncat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' >'{}'\nrm \"$0\"\nkill -9 \"$(cat '{}')\"\n",
            seen.display(),
            pid.display()
        );
        fs_err::write(&path, text).unwrap();
        fs_err::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        let mut waiting = scene.command(&[TAG]);
        // The shell tells its number, and then is the publisher.
        let program = waiting.get_program().to_owned();
        let args: Vec<_> = waiting.get_args().map(ToOwned::to_owned).collect();
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo $$ >\"$0\"; exec \"$@\""]).arg(&pid).arg(program).args(args);
        for (key, value) in waiting.get_envs() {
            match value {
                Some(value) => shell.env(key, value),
                None => shell.env_remove(key),
            };
        }
        waiting.stdin(Stdio::null());
        let killed = shell.stdin(Stdio::null()).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(killed.status.code(), None, "{hook}: {killed:?}");
        assert!(!fs_err::read_to_string(&seen).unwrap().contains(TOKEN));
        let again = scene.publish(&[TAG]);
        assert_eq!(again.status, Some(0), "{hook}: {again:?}");
        scene.assert_uploaded_once(hook);
        assert!(scene.registry().get(&TAG.parse().unwrap()).is_some(), "{hook}");
        let history = git(scene.server.git_dir(), &["log", "--format=%s", "main"]);
        assert_eq!(history.lines().next(), Some("registry: tiny@1.0.0"), "{hook}");
        assert_eq!(history.matches("registry:").count(), 1, "{hook}: {history}");
    }
}

#[test]
fn an_interrupted_upload_says_what_it_leaves_and_is_continued() {
    let scene = Scene::new();
    scene.server.fail("POST", "/assets", Fault::HoldBefore);
    let child = scene.command(&[TAG]).spawn().unwrap();
    assert!(scene.server.wait_until_held(|| false));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ran = Ran::of(child.wait_with_output().unwrap());
    scene.server.release_held();
    assert_eq!(ran.status, Some(130), "{ran:?}");
    assert!(ran.stderr.contains("interrupted: nothing half done is visible"), "{ran:?}");
    let resumed = scene.publish(&[TAG, "--resume"]);
    assert_eq!(resumed.status, Some(0), "{resumed:?}");
}

#[test]
fn a_registry_that_nobody_may_push_is_proposed() {
    let scene = Scene::new();
    let hook = scene.server.git_dir().join("hooks/pre-receive");
    fs_err::create_dir_all(hook.parent().unwrap()).unwrap();
    let text = "#!/bin/sh\nwhile read -r _ _ name; do\n  [ \"$name\" != refs/heads/main ] || { echo 'error: GH006: Protected branch update failed' >&2; exit 1; }\ndone\n";
    fs_err::write(&hook, text).unwrap();
    fs_err::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let proposed = scene.publish(&[TAG]);
    assert_eq!(proposed.status, Some(1), "{proposed:?}");
    assert!(proposed.stderr.contains("a pull request is open: "), "{proposed:?}");
    assert_eq!(scene.registry().get(&TAG.parse().unwrap()), None);

    // The same commit, made within the same second, would be there already.
    for head in fs_err::read_dir(scene.server.git_dir().join("refs/heads")).unwrap() {
        let head = head.unwrap();
        if head.file_name().to_string_lossy().starts_with("registry-") {
            fs_err::remove_file(head.path()).unwrap();
        }
    }
    // No push at all: the same by way of the API.
    fs_err::write(
        &hook,
        "#!/bin/sh\necho 'error: GH013: Repository rule violations' >&2\nexit 1\n",
    )
    .unwrap();
    let proposed = scene.publish(&[TAG]);
    assert_eq!(proposed.status, Some(1), "{proposed:?}");
    let changed = scene.server.file("registry-tiny-1.0.0", "registry.json").unwrap();
    assert!(registry::parse(&changed).unwrap().get(&TAG.parse().unwrap()).is_some());
    let again = scene.publish(&[TAG]);
    assert_eq!(again.status, Some(1), "the open request is found again: {again:?}");
    let pulls = scene.server.log().into_iter().filter(|one| {
        one.origin == Origin::Api && one.path.ends_with("/pulls") && one.acted == Some(201)
    });
    assert_eq!(pulls.count(), 2);
}
