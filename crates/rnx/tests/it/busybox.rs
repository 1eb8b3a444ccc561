//! The real program with a runtime of busybox, called by this process's user and by an ordinary one.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fs_err as fs;
use tempfile::TempDir;

use crate::rnx::program;

/// An ordinary user, who need not be in any file.
const ORDINARY: u32 = 61_001;

const APPLETS: [&str; 21] = [
    "sh", "cat", "id", "sleep", "touch", "env", "kill", "ls", "grep", "stty", "tty", "dd", "awk",
    "mkdir", "nproc", "head", "wc", "stat", "ps", "seq", "true",
];

/// A runtime of busybox and a folder to work in, both readable by all.
pub(crate) struct Busybox {
    pub(crate) scratch: TempDir,
    /// The caller of the jobs, if it is not this process's user.
    user: Option<u32>,
}

impl Busybox {
    pub(crate) fn new() -> Option<Self> {
        let busybox = Path::new("/bin/busybox");
        if !busybox.exists() {
            assert!(std::env::var_os("CI").is_none(), "CI needs busybox (Debian: busybox-static)");
            eprintln!("skipped: no /bin/busybox (Debian: busybox-static)");
            return None;
        }
        let scratch = tempfile::tempdir().unwrap();
        fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let root = scratch.path().join("runtime/isolated");
        for folder in ["usr/bin", "etc"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::create_dir(scratch.path().join("work")).unwrap();
        let status = Command::new("cp").arg(busybox).arg(root.join("usr/bin/busybox")).status();
        assert!(status.unwrap().success());
        for name in APPLETS {
            fs::os::unix::fs::symlink("busybox", root.join("usr/bin").join(name)).unwrap();
        }
        fs::os::unix::fs::symlink("usr/bin", root.join("bin")).unwrap();
        for name in ["passwd", "resolv.conf", "hosts"] {
            fs::write(root.join("etc").join(name), "").unwrap();
        }
        let mounts: String = ["usr", "bin", "etc"]
            .map(|name| {
                format!("  - {{source: isolated/{name}, target: /{name}, readonly: true}}\n")
            })
            .concat();
        let yml = format!("name: busybox\nversion: 1.0.0\nmounts:\n{mounts}");
        fs::write(scratch.path().join("runtime/runtime.yml"), yml).unwrap();
        Some(Self { scratch, user: None })
    }

    /// The same for every caller that this process can be: as root, root and an ordinary user.
    pub(crate) fn callers() -> Vec<Self> {
        let mut all: Vec<Self> = Self::new().into_iter().collect();
        if rustix::process::geteuid().is_root()
            && let Some(mut other) = Self::new()
        {
            other.user = Some(ORDINARY);
            // The program may lie where nobody else looks.
            let copy = other.scratch.path().join("rnx");
            // By another process: children of other tests would inherit a descriptor that writes to it, and it would be busy.
            let status = Command::new("cp").arg(program()).arg(copy).status();
            assert!(status.unwrap().success());
            std::os::unix::fs::chown(other.work(), Some(ORDINARY), Some(ORDINARY)).unwrap();
            all.push(other);
        }
        all
    }

    /// Who calls, for messages.
    pub(crate) fn caller(&self) -> String {
        let own = rustix::process::geteuid().as_raw();
        format!("as user {}", self.user.unwrap_or(own))
    }

    pub(crate) fn is_root(&self) -> bool {
        self.user.is_none() && rustix::process::geteuid().is_root()
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.scratch.path().join("work")
    }

    /// A file in the folder to work in, the caller's.
    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.work().join(name);
        fs::write(&path, content).unwrap();
        std::os::unix::fs::chown(&path, self.user, self.user).unwrap();
    }

    /// `rnx job run` in the runtime, with these further words.
    pub(crate) fn job(&self, words: &[&str]) -> Command {
        let mut command = self.rnx(&["job", "run", "--runtime"]);
        command.arg(self.scratch.path().join("runtime")).args(words);
        command
    }

    /// `rnx`, called in the folder to work in.
    pub(crate) fn rnx(&self, words: &[&str]) -> Command {
        self.called(Command::new(self.program()), words)
    }

    /// `rnx job run` in the runtime, called by another program.
    pub(crate) fn job_within(&self, outer: &[&str], words: &[&str]) -> Command {
        let mut command = Command::new(outer[0]);
        command.args(&outer[1..]).arg(self.program()).args(["job", "run", "--runtime"]);
        command.arg(self.scratch.path().join("runtime"));
        self.called(command, words)
    }

    fn program(&self) -> PathBuf {
        if self.user.is_some() { self.scratch.path().join("rnx") } else { program() }
    }

    fn called(&self, mut command: Command, words: &[&str]) -> Command {
        command.current_dir(self.work()).env_clear().env("SECRET", "x").env("TERM", "xterm");
        command.args(words).stdin(Stdio::null());
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    /// Exit status and both outputs.
    pub(crate) fn run(&self, words: &[&str]) -> (Option<i32>, String) {
        let output = self.job(words).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    }
}

/// Whether limits work here for this caller; if not, that it was refused with advice has been seen.
pub(crate) fn has_limits(busybox: &Busybox) -> bool {
    let all = ["--memory", "64M", "--pids", "32", "--cpu", "1", "--cpu-cores", "0", "true"];
    let (status, text) = busybox.run(&all);
    if status == Some(0) {
        return true;
    }
    let must = busybox.is_root() && std::env::var_os("CI").is_some();
    assert!(!must, "CI needs control groups as root: {text}");
    assert_eq!(status, Some(5), "{text}");
    assert!(
        text.starts_with("error: the limits of the job cannot be set, and it is not run"),
        "{text}"
    );
    assert!(text.contains("\nhint: "), "{text}");
    eprintln!("skipped {}: {text}", busybox.caller());
    false
}
