//! A repository with bases, a cache of its own, and tar archives made by hand.

use std::fs::Metadata;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

const NOBODY: u32 = 65534;

/// A repository and a cache, both gone with it.
pub(crate) struct Scene {
    dir: Option<TempDir>,
}

/// What a run wrote.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    stderr: String,
}

impl Ran {
    pub(crate) fn stdout_path(&self) -> PathBuf {
        PathBuf::from(self.stdout.trim_end())
    }

    pub(crate) fn stderr_text(&self) -> &str {
        &self.stderr
    }
}

impl Scene {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs_err::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let scene = Self { dir: Some(dir) };
        fs_err::create_dir_all(scene.repo().join("runtimes")).unwrap();
        fs_err::create_dir_all(scene.repo().join("images")).unwrap();
        fs_err::create_dir(scene.cache()).unwrap();
        fs_err::write(scene.bases_yaml(), "bases:\n").unwrap();
        scene
    }

    pub(crate) fn repo(&self) -> PathBuf {
        self.path().join("repo")
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.path().join("cache")
    }

    fn path(&self) -> &Path {
        self.dir.as_ref().unwrap().path()
    }

    fn bases_yaml(&self) -> PathBuf {
        self.repo().join("runtimes/bases.yaml")
    }

    /// Defines the base `name`; in place of one of this name.
    pub(crate) fn define(&self, name: &str, source: &str) {
        let text = fs_err::read_to_string(self.bases_yaml()).unwrap();
        let start = format!("  {name}: ");
        let mut lines: Vec<_> = text.lines().filter(|line| !line.starts_with(&start)).collect();
        let line = format!("{start}{{{source}}}");
        lines.push(&line);
        fs_err::write(self.bases_yaml(), lines.join("\n")).unwrap();
    }

    pub(crate) fn archive_base(&self, name: &str, path: &str, archive: &[u8]) {
        fs_err::write(self.repo().join(path), archive).unwrap();
        let digest: String = Sha256::digest(archive).iter().map(|b| format!("{b:02x}")).collect();
        self.define(name, &format!("rootfs: {{url: {path}, sha256: {digest}}}"));
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        self.set_up(&mut command, args);
        command
    }

    pub(crate) fn set_up(&self, command: &mut Command, args: &[&str]) {
        command
            .arg("--repo")
            .arg(self.repo())
            .args(args)
            .env("RNX_CACHE_DIR", self.cache())
            .stdin(Stdio::null());
    }

    pub(crate) fn xtask(&self, args: &[&str]) -> Ran {
        ran(&mut self.command(args))
    }

    /// Runs as a user to whom `/etc/subuid` gives nothing, or who has no `newuidmap`.
    pub(crate) fn xtask_with_one_id(&self, args: &[&str]) -> Ran {
        if !is_root() {
            return ran(self.command(args).env("PATH", "/usr/sbin"));
        }
        // Somebody else may not be able to reach the program where cargo put it.
        let program = self.path().join("xtask");
        if !program.exists() {
            fs_err::copy(env!("CARGO_BIN_EXE_xtask"), &program).unwrap();
            chown(self.cache(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let mut command = Command::new(program);
        self.set_up(&mut command, args);
        ran(command.uid(NOBODY).gid(NOBODY).current_dir("/"))
    }

    /// Returns what lies in the shelf of bases, and below `.staging`; locks aside.
    pub(crate) fn bases_and_leftovers(&self) -> Vec<String> {
        let shelf = self.cache().join("bases");
        let mut found: Vec<_> =
            names(&shelf).into_iter().filter(|name| !name.starts_with('.')).collect();
        found.extend(names(&shelf.join(".staging")).iter().map(|name| format!(".staging/{name}")));
        found
    }

    /// Returns the owner as the build will see it.
    pub(crate) fn guest_ids(&self, meta: &Metadata) -> (u32, u32) {
        let own = fs_err::metadata(self.cache()).unwrap();
        let guest = |id, own, file| {
            if id == own { 0 } else { id - sub_start(file) + 1 }
        };
        if is_root() {
            return (meta.uid(), meta.gid());
        }
        (guest(meta.uid(), own.uid(), "/etc/subuid"), guest(meta.gid(), own.gid(), "/etc/subgid"))
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let (shelf, builds) = (self.cache().join("bases"), self.cache().join("builds"));
        if let Some(dir) = self.dir.take()
            && !is_root()
        {
            // Files of subordinate ids can be deleted only from inside such a namespace.
            let kept = dir.keep();
            let mut remove = Command::new("unshare");
            remove.args(["--map-root-user", "--map-auto", "rm", "-rf"]).args([shelf, builds]);
            let removed = remove.status().is_ok_and(|status| status.success());
            assert!(removed || std::thread::panicking());
            fs_err::remove_dir_all(kept).unwrap();
        }
    }
}

pub(crate) fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        status: output.status,
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn sub_start(file: &str) -> u32 {
    let user = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
    let text = fs_err::read_to_string(file).unwrap_or_default();
    let prefix = format!("{}:", user.trim());
    text.lines()
        .find_map(|line| line.strip_prefix(&prefix)?.split(':').next()?.parse().ok())
        .unwrap_or(0)
}

/// Says whether the caller has many ids; where not, that is a failure in continuous integration.
pub(crate) fn needs_ranges() -> bool {
    present(is_root() || sub_start("/etc/subuid") > 0, "no subordinate ids in /etc/subuid")
}

pub(crate) fn needs_program(program: &str) -> bool {
    let found =
        ["/usr/bin", "/usr/sbin", "/bin"].iter().any(|dir| Path::new(dir).join(program).exists());
    present(found, &format!("{program} is not installed"))
}

pub(crate) fn present(is: bool, missing: &str) -> bool {
    assert!(is || std::env::var_os("CI").is_none(), "{missing}");
    if !is {
        eprintln!("skipped: {missing}");
    }
    is
}

/// Returns the sorted names in a folder; none where there is no folder.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs_err::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Returns what a filter program makes of `bytes`.
pub(crate) fn filter(program: &str, bytes: &[u8]) -> Vec<u8> {
    let mut child =
        Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    child.wait_with_output().unwrap().stdout
}

/// One entry of an archive.
pub(crate) struct Member {
    name: String,
    kind: tar::EntryType,
    mode: u32,
    content: Vec<u8>,
    target: String,
    owner: (u64, u64),
}

impl Member {
    fn new(name: &str, kind: tar::EntryType, mode: u32) -> Self {
        let (content, target) = (Vec::new(), String::new());
        Self { name: name.to_owned(), kind, mode, content, target, owner: (0, 0) }
    }

    pub(crate) fn dir(name: &str, mode: u32) -> Self {
        Self::new(name, tar::EntryType::Directory, mode)
    }

    pub(crate) fn file(name: &str, mode: u32, content: &[u8]) -> Self {
        Self { content: content.to_vec(), ..Self::new(name, tar::EntryType::Regular, mode) }
    }

    pub(crate) fn link(name: &str, target: &str) -> Self {
        Self { target: target.to_owned(), ..Self::new(name, tar::EntryType::Symlink, 0o777) }
    }

    pub(crate) fn hard_link(name: &str, target: &str) -> Self {
        Self { target: target.to_owned(), ..Self::new(name, tar::EntryType::Link, 0o644) }
    }

    pub(crate) fn device(name: &str) -> Self {
        Self::new(name, tar::EntryType::Char, 0o666)
    }

    pub(crate) fn owned_by(mut self, uid: u64, gid: u64) -> Self {
        self.owner = (uid, gid);
        self
    }
}

/// Writes an archive without the `tar` crate's checks of names.
pub(crate) fn tar(members: &[Member]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for member in members {
        let mut header = tar::Header::new_ustar();
        let fields = header.as_ustar_mut().unwrap();
        fields.name[..member.name.len()].copy_from_slice(member.name.as_bytes());
        fields.linkname[..member.target.len()].copy_from_slice(member.target.as_bytes());
        header.set_entry_type(member.kind);
        header.set_mode(member.mode);
        header.set_uid(member.owner.0);
        header.set_gid(member.owner.1);
        header.set_mtime(1_000_000_000);
        header.set_size(member.content.len() as u64);
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(&member.content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}
