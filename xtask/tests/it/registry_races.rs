//! Publishers that push the registry of one real repository at the same time.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rnx_spec::registry::{self, Definition, Registry, Release};
use rnx_spec::{Digest, RuntimeSpec, SourceUrl};
use test_support::old_reader;
use xtask::git::Git;
use xtask::release::registry_branch::{
    Backoff, Change, PushRegistryError, Pushed, RegistryBranch, push, with_releases,
};

const NOW: &str = "2026-11-24T10:00:00Z";
const PUBLISHERS: usize = 8;
const ROUNDS: usize = 20;

/// A bare repository, and a clone of it per publisher.
struct Forge {
    dir: tempfile::TempDir,
}

impl Forge {
    fn new() -> Self {
        let forge = Self { dir: tempfile::tempdir().unwrap() };
        Self::git(forge.dir.path(), &["init", "--quiet", "--bare", "--initial-branch=main", "hub"]);
        // A forge lets nobody rewrite what is published; were one of us to force, the test would fail loudly.
        Self::git(&forge.hub(), &["config", "receive.denyNonFastForwards", "true"]);
        let first = forge.clone("first");
        fs_err::write(first.join("README"), "definitions\n").unwrap();
        let empty = registry::write(&Registry::empty(NOW).unwrap());
        fs_err::write(first.join("registry.json"), empty).unwrap();
        Self::git(&first, &["add", "."]);
        Self::git(&first, &["commit", "--quiet", "-m", "first"]);
        Self::git(&first, &["push", "--quiet", "origin", "HEAD:main"]);
        forge
    }

    fn hub(&self) -> PathBuf {
        self.dir.path().join("hub")
    }

    fn clone(&self, name: &str) -> PathBuf {
        let hub = self.hub().to_str().unwrap().to_owned();
        Self::git(self.dir.path(), &["clone", "--quiet", &hub, name]);
        let clone = self.dir.path().join(name);
        for (key, value) in [("user.name", name), ("user.email", "a@example.org"), ("gc.auto", "0")]
        {
            Self::git(&clone, &["config", key, value]);
        }
        clone
    }

    fn git(dir: &Path, args: &[&str]) -> String {
        let mut git = Command::new("git");
        git.arg("-C").arg(dir).args(args).env("GIT_CONFIG_GLOBAL", "/dev/null");
        let output = git.output().unwrap();
        assert!(output.status.success(), "git {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn hook(&self, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let hook = self.hub().join("hooks/update");
        fs_err::create_dir_all(hook.parent().unwrap()).unwrap();
        fs_err::write(&hook, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs_err::set_permissions(&hook, PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn registry(&self) -> Registry {
        let text = Self::git(&self.hub(), &["cat-file", "blob", "main:registry.json"]);
        let registry = registry::parse(text.as_bytes()).unwrap();
        assert_eq!(registry::check(&text).1, []);
        old_reader::decode(&text).unwrap();
        registry
    }
}

fn branch(clone: &Path) -> RegistryBranch {
    RegistryBranch { git: Git::new(clone), remote: "origin".into(), branch: "main".into() }
}

fn release(spec: &str, digit: char) -> Release {
    let spec: RuntimeSpec = spec.parse().unwrap();
    let url: SourceUrl = format!("https://e/{}.tar.gz", spec.folder()).parse().unwrap();
    let digest: Digest = digit.to_string().repeat(64).parse().unwrap();
    Release {
        description: "a fixture".to_owned(),
        definition: Definition { url: url.into(), digest: Some(digest), size_bytes: Some(1) },
        platforms: Vec::new(),
        released_at: Some(NOW.to_owned()),
        source_commit: None,
        license: None,
        artifacts: [].into(),
        spec,
    }
}

fn publish(clone: &Path, release: &Release) -> Result<Pushed, PushRegistryError> {
    let change = Change {
        message: format!("registry: {}", release.spec),
        names: vec![release.spec.name.clone()],
        apply: &|registry| with_releases(registry, std::slice::from_ref(release), NOW),
        now: NOW.to_owned(),
    };
    let backoff = Backoff { first: Duration::from_millis(10), max: Duration::from_millis(200) };
    push(&branch(clone), &change, backoff)
}

#[test]
fn eight_publishers_at_once_lose_no_entry() {
    let forge = Forge::new();
    let clones: Vec<PathBuf> =
        (0..PUBLISHERS).map(|number| forge.clone(&format!("clone-{number}"))).collect();
    let mut races = 0;
    for round in 0..ROUNDS {
        std::thread::scope(|scope| {
            let publishers: Vec<_> = clones
                .iter()
                .enumerate()
                .map(|(number, clone)| {
                    scope.spawn(move || {
                        publish(clone, &release(&format!("p{number}@1.{round}.0"), 'a')).unwrap()
                    })
                })
                .collect();
            for publisher in publishers {
                let pushed = publisher.join().unwrap();
                let Pushed::Commit { tries, .. } = pushed else { panic!("{pushed:?}") };
                races += tries - 1;
            }
        });
    }
    assert!(races > 0, "nobody raced, so nothing was shown");
    let registry = forge.registry();
    let versions: Vec<usize> = registry.runtimes().values().map(BTreeMap::len).collect();
    assert_eq!(versions, [ROUNDS; PUBLISHERS]);
    let commits = PUBLISHERS * ROUNDS + 1;
    let count = |args: &[&str]| Forge::git(&forge.hub(), args).trim().parse::<usize>().unwrap();
    assert_eq!(count(&["rev-list", "--count", "main"]), commits);
    assert_eq!(count(&["rev-list", "--count", "--merges", "main"]), 0);
    assert_eq!(
        Forge::git(&forge.hub(), &["ls-tree", "--name-only", "main"]),
        "README\nregistry.json\n"
    );
}

#[test]
fn of_two_publishers_of_one_version_one_wins() {
    let forge = Forge::new();
    let clones = [forge.clone("a"), forge.clone("b")];
    let results: Vec<_> = std::thread::scope(|scope| {
        let publish = |(clone, digit): (&PathBuf, char)| {
            let (clone, digit) = (clone.clone(), digit);
            scope.spawn(move || publish(&clone, &release("a@1.0.0", digit)))
        };
        let both: Vec<_> = clones.iter().zip(['a', 'b']).map(publish).collect();
        both.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 1));
    let PushRegistryError::Change { source } = lost[0].as_ref().unwrap_err() else {
        panic!("{lost:?}")
    };
    assert_eq!(
        source.source().unwrap().to_string(),
        "`a@1.0.0` is already published with another `checksum`, and a published version never changes"
    );
    // The winner may say it again: nothing is left to do.
    let winner = forge.registry().get(&"a@1.0.0".parse().unwrap()).unwrap().clone();
    assert_eq!(publish(&clones[0], &winner).unwrap(), Pushed::Nothing);
}

#[test]
fn a_refusal_that_is_no_race_ends_it_and_is_proposed() {
    let forge = Forge::new();
    let clone = forge.clone("a");
    forge.hook("[ \"$1\" != refs/heads/main ] && exit 0\necho 'GH006: Protected branch update failed' >&2\necho x >> asked\nexit 1");
    let pushed = publish(&clone, &release("a@1.0.0", 'a')).unwrap();
    let Pushed::Proposed { id, branch, reason } = pushed else { panic!("{pushed:?}") };
    assert!(reason.contains("GH006: Protected branch update failed"), "{reason}");
    assert_eq!(fs_err::read_to_string(forge.hub().join("asked")).unwrap(), "x\n", "asked once");
    assert_eq!(Forge::git(&forge.hub(), &["rev-parse", &branch]).trim(), id);
    assert_eq!(Forge::git(&forge.hub(), &["rev-list", "--count", "main"]).trim(), "1");

    // Who may push nowhere hears why.
    forge.hook("echo 'you shall not push' >&2\nexit 1");
    let error = publish(&clone, &release("a@1.0.1", 'a')).unwrap_err();
    let PushRegistryError::Refused { reason, .. } = error else { panic!("{error:?}") };
    assert!(reason.contains("you shall not push"), "{reason}");
}
