//! Killed before any system call that changes something, or refused one by the disk: the old state or the new one is
//! there, nothing that was there before is lost, and the next command cleans up.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use fs_err as fs;
use rnx_spec::RuntimeSpec;
use rnx_store::layout::Layout;

use crate::rnx::Rnx;

/// What changes folders and files, or is between such changes. Not all are on every architecture.
const STEPS: [&str; 23] = [
    "write",
    "pwrite64",
    "mkdir",
    "mkdirat",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "rmdir",
    "symlink",
    "symlinkat",
    "link",
    "linkat",
    "fsync",
    "fdatasync",
    "syncfs",
    "fchmod",
    "utimensat",
    "flock",
    "ftruncate",
    "chmod",
    "fchmodat",
];
/// The number of points.
const POINTS_MIN: usize = 200;
/// A command that goes on for longer is not the one that is meant.
const POINTS_MAX: usize = 2000;
const THREADS: usize = 3;

/// A command, and what it changes.
struct Change {
    args: &'static [&'static str],
    /// What is there before, and afterwards, of `demo@1.10.0`.
    before: bool,
    after: bool,
}

/// In the home of the scene.
const ARCHIVE: &str = "registry folder/demo-1.10.0-ubuntu-amd64.tar.gz";

const CHANGES: [Change; 6] = [
    Change { args: &["runtime", "install", "demo@1.10.0"], before: false, after: true },
    Change { args: &["runtime", "install", "demo@1.10.0", "--force"], before: true, after: true },
    Change { args: &["runtime", "remove", "demo@1.10.0"], before: true, after: false },
    Change { args: &["runtime", "remove", "demo@1.10.0", "--force"], before: true, after: false },
    Change { args: &["runtime", "update", "demo"], before: false, after: true },
    Change { args: &["runtime", "import", ARCHIVE], before: false, after: true },
];

/// Two bases that every attempt begins with a copy of, in memory where there is some.
struct Scene {
    rnx: Rnx,
    dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Option<Self> {
        let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
        if !traced.is_ok_and(|output| output.status.success()) {
            assert!(std::env::var_os("CI").is_none(), "CI needs strace (Debian: strace)");
            eprintln!("skipped: no strace that can trace (Debian: strace)");
            return None;
        }
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let scene = Self { rnx: Rnx::new(), dir: tempfile::tempdir_in(dir).unwrap() };
        for (name, versions) in
            [("with", &["demo@1.9.0", "demo@1.10.0"][..]), ("without", &["demo@1.9.0"])]
        {
            for version in versions {
                let mut command = scene.rnx.command(&["runtime", "install", version]);
                let output = command.env("RNX_BASE", scene.dir.path().join(name)).output().unwrap();
                assert!(output.status.success());
            }
        }
        Some(scene)
    }

    /// Returns a base in which `demo@1.10.0` is installed or not. A record names its folder, which a copy is not: so
    /// the base itself is moved back and forth, and made anew where it changed.
    fn base(&self, number: usize, with: bool) -> PathBuf {
        let base = self.dir.path().join(format!("base-{number}"));
        if base.exists() {
            fs::remove_dir_all(&base).unwrap();
        }
        let from = self.dir.path().join(if with { "with" } else { "without" });
        let copied = Command::new("cp").arg("-a").arg(from).arg(&base).status().unwrap();
        assert!(copied.success());
        for version in ["1.9.0", "1.10.0"] {
            let record = base.join(format!(".state/demo-{version}.json"));
            if let Ok(text) = fs::read(&record) {
                let mut value: serde_json::Value = serde_json::from_slice(&text).unwrap();
                let folder = std::os::unix::fs::MetadataExt::ino(
                    &base.join(format!("demo-{version}")).metadata().unwrap(),
                );
                value["folder"]["inode"] = folder.into();
                fs::write(&record, value.to_string()).unwrap();
            }
        }
        base
    }

    /// Runs the change with what strace does to it.
    fn run(&self, change: &Change, base: &Path, (calls, fault): (&str, &str)) -> Output {
        let rnx = self.command(change.args, base);
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
        command.args(["-e", &format!("inject={calls}:{fault}")]);
        command.arg(rnx.get_program()).args(rnx.get_args());
        command.current_dir(self.rnx.home.path()).env_clear();
        command.envs(rnx.get_envs().filter_map(|(key, value)| Some((key, value?))));
        command.output().unwrap()
    }

    fn command(&self, args: &[&str], base: &Path) -> Command {
        let mut command = self.rnx.command(args);
        if args.contains(&"update") {
            command.args(["--registry", self.rnx.registry.path().to_str().unwrap()]);
        }
        command.env("RNX_BASE", base);
        command
    }

    /// Makes sure that all that is installed is whole, and that it is the old or the new.
    fn check(&self, change: &Change, base: &Path, what: &str) {
        let layout = Layout::new(base);
        let is_whole = |version: &str| {
            let spec: RuntimeSpec = format!("demo@{version}").parse().unwrap();
            let request = spec.to_string().parse().unwrap();
            rnx::list::find(&layout, &request).is_ok().then(|| {
                let found = rnx::verify::verify(&layout, &spec).unwrap();
                assert_eq!(found, [], "{what}: {spec}");
            })
        };
        assert!(is_whole("1.9.0").is_some(), "{what}: what was there is there");
        let there = is_whole("1.10.0").is_some();
        assert!(there == change.before || there == change.after, "{what}");

        // The next command puts everything right, and ends what was begun.
        let wanted = if change.after { "demo@1.10.0" } else { "demo@1.9.0" };
        let next = self.command(&["runtime", "install", wanted], base).output().unwrap();
        assert!(next.status.success(), "{what}: {}", self.rnx.shown(&next));
        // A whole download of what is installed meanwhile is left for `gc`; everything else is gone.
        if names(base).iter().any(|name| name.starts_with(".store/")) {
            let gc = self.command(&["runtime", "gc"], base).output().unwrap();
            assert!(gc.status.success(), "{what}: {}", self.rnx.shown(&gc));
        }
        let removed = !change.after && !there;
        let expected = self.dir.path().join(if removed { "without" } else { "with" });
        assert_eq!(names(base), names(&expected), "{what}");
        assert!(is_whole("1.9.0").is_some() && is_whole("1.10.0").is_some() != removed, "{what}");
    }
}

/// Returns the names in a base and its own folders, sorted.
fn names(base: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for folder in ["", ".store", ".staging", ".state"] {
        for entry in fs::read_dir(base.join(folder)).unwrap() {
            names.push(format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap()));
        }
    }
    names.sort();
    names
}

/// Whether the program, or strace in its stead, was killed.
fn was_killed(output: &Output) -> bool {
    output.status.signal() == Some(9) || output.status.code() == Some(137)
}

/// Kills a command before the first, the second and each further call of a kind; returns how many there are.
fn kill_each(scene: &Scene, number: usize, change: &Change, call: &str) -> usize {
    for step in 1..POINTS_MAX {
        let base = scene.base(number, change.before);
        let fault = format!("signal=KILL:when={step}");
        let output = scene.run(change, &base, (&format!("?{call}"), &fault));
        if !was_killed(&output) {
            let shown = scene.rnx.shown(&output);
            assert!(output.status.success(), "{:?}: {shown}", change.args);
            return step - 1;
        }
        scene.check(change, &base, &format!("{:?} killed at {call} {step}", change.args));
    }
    panic!("{:?} makes more than {POINTS_MAX} calls of {call}", change.args)
}

#[test]
fn killed_at_any_step_nothing_is_lost() {
    let Some(scene) = Scene::new() else { return };
    let points = AtomicUsize::new(0);
    let tasks: Vec<(&Change, &str)> =
        CHANGES.iter().flat_map(|change| STEPS.map(|call| (change, call))).collect();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (scene, tasks, next, points) = (&scene, &tasks, &next, &points);
            scope.spawn(move || {
                while let Some((change, call)) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    points.fetch_add(kill_each(scene, number, change, call), Ordering::Relaxed);
                }
            });
        }
    });
    let points = points.into_inner();
    eprintln!("killed at {points} points");
    assert!(points >= POINTS_MIN, "{points} points");
}

#[test]
fn a_disk_that_fails_is_told_and_nothing_is_lost() {
    let Some(scene) = Scene::new() else { return };
    for (call, error, hint, errors_min) in [
        ("fsync", "EIO", "Input/output error", 8),
        ("syncfs", "EIO", "Input/output error", 2),
        ("pwrite64", "ENOSPC", "make room", 2),
        ("write", "ENOSPC", "make room", 4),
    ] {
        let mut errors = 0;
        for change in &CHANGES {
            for step in 1..POINTS_MAX {
                let base = scene.base(0, change.before);
                let fault = format!("error={error}:when={step}");
                let output = scene.run(change, &base, (call, &fault));
                let what = format!("{:?} with {error} at {call} {step}", change.args);
                let shown = scene.rnx.shown(&output);
                if output.status.success() {
                    scene.check(change, &base, &what);
                    break;
                }
                // What cannot be said is no failure, and then there is nothing to see here.
                if shown.contains("error: ") {
                    assert_eq!(output.status.code(), Some(5), "{what}: {shown}");
                    assert!(shown.contains(hint), "{what}: {shown}");
                    errors += 1;
                }
                scene.check(change, &base, &what);
            }
        }
        assert!(errors >= errors_min, "{call}: {errors}");
    }
}
