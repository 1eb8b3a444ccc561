//! Our own work on a tree, done as uid 0 of its user namespace: `xtask __rootfs …`.
//!
//! An ordinary user can neither list nor delete files of its subordinate ids from outside; inside it can. The
//! staging folder is the only folder of the host that the work can write, and work on a tree's content is
//! done after `chroot` into the tree: no name and no link in it leads out.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use fs_err::File;
use rnx::failure::ExitStatus;
use rnx_sandbox::plan::Network;
use rnx_sandbox::spawn::Exit;
use rnx_spec::Digest;
use sha2::{Digest as _, Sha256};
use walkdir::WalkDir;

use crate::rootfs::namespace::{self, Inside, NamespaceError, STAGING};
use crate::rootfs::unpack::{self, UnpackError};
use crate::rootfs::{Provisioning, RootfsError};
use crate::tool::Invocation;

pub use crate::rootfs::unpack::Owners;

const RESULT: &str = "result";

/// What `xtask __rootfs` does inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Deletes all that is in the staging folder.
    Empty,
    /// Writes the digest of `rootfs/` into the staging folder.
    Digest,
    /// Gives a folder of the staging folder, and all that is in it, to uid 0: the caller.
    HandOver { folder: PathBuf },
    /// Unpacks tar archives of the staging folder into `rootfs/`, each above the ones before.
    Unpack { archives: Vec<PathBuf>, owners: Owners, whiteouts: bool },
}

/// Work inside failed.
#[derive(Debug, thiserror::Error)]
pub enum InsideError {
    #[error("failed to enter the tree `{}`", path.display())]
    Enter { path: PathBuf, source: io::Error },
    #[error("failed to delete `{}`", path.display())]
    Delete { path: PathBuf, source: io::Error },
    #[error("failed to read the tree")]
    Walk { source: walkdir::Error },
    #[error("failed to read `{}` of the tree", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("failed to take over `{}` of the tree", path.display())]
    HandOver { path: PathBuf, source: io::Error },
    #[error("failed to write the result")]
    WriteResult { source: io::Error },
    #[error("failed to open the archive `{}`", path.display())]
    OpenArchive { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Unpack(#[from] UnpackError),
}

/// Deletes a folder and everything in it, whoever it belongs to.
pub(crate) fn remove(path: &Path, host: &Provisioning) -> Result<(), RootfsError> {
    start(path, host, vec!["empty".into()])?;
    fs_err::remove_dir(path)
        .map_err(|source| InsideError::Delete { path: path.to_owned(), source })?;
    Ok(())
}

/// Makes `folder` (relative to `staging`) and all that is in it the caller's, and readable.
pub(crate) fn hand_over(
    staging: &Path,
    folder: &Path,
    host: &Provisioning,
) -> Result<(), RootfsError> {
    start(staging, host, vec!["hand-over".into(), folder.into()])
}

/// Returns the digest of `staging/rootfs`: of every path, type, mode, owner, and content.
pub(crate) fn digest(staging: &Path, host: &Provisioning) -> Result<Digest, RootfsError> {
    start(staging, host, vec!["digest".into()])?;
    let path = staging.join(RESULT);
    let text = fs_err::read_to_string(&path)
        .map_err(|source| RootfsError::ReadResult { path: path.clone(), source })?;
    fs_err::remove_file(&path)
        .map_err(|source| RootfsError::ReadResult { path: path.clone(), source })?;
    text.parse().map_err(|_why| RootfsError::BadResult { path, text })
}

/// Unpacks archives that lie in `staging` into `staging/rootfs`.
pub(crate) fn unpack(
    staging: &Path,
    archives: &[String],
    whiteouts: bool,
    host: &Provisioning,
) -> Result<(), RootfsError> {
    let owners = if host.identity.has_many_ids() { "--owners=kept" } else { "--owners=one" };
    let mut args: Vec<OsString> = vec!["unpack".into(), owners.into()];
    if whiteouts {
        args.push("--whiteouts".into());
    }
    args.extend(archives.iter().map(OsString::from));
    start(staging, host, args)
}

fn start(staging: &Path, host: &Provisioning, args: Vec<OsString>) -> Result<(), RootfsError> {
    let inside = Inside {
        identity: host.identity,
        staging,
        helper: Some(host.helper),
        network: Network::None,
        invocation: Invocation::new("xtask").arg("__rootfs").args(args),
    };
    namespace::run(&inside, &mut |_line| {}).map_err(|error| match error {
        NamespaceError::Failed { exit: Exit::Code(status), stderr, .. } => RootfsError::Tree {
            is_archive: status == ExitStatus::Integrity as i32,
            said: stderr.trim_start_matches("error: ").replace("\n  cause:", ":"),
        },
        error => RootfsError::Namespace(error),
    })
}

impl InsideError {
    /// Returns how `xtask __rootfs` ends over this.
    pub fn status(&self) -> ExitStatus {
        match self {
            Self::Unpack(_) => ExitStatus::Integrity,
            _ => ExitStatus::Host,
        }
    }
}

/// Does the work; this process is inside by now.
pub fn main(work: &Work) -> Result<(), InsideError> {
    let staging = Path::new(STAGING);
    let rootfs = staging.join("rootfs");
    match work {
        Work::Empty => empty(staging),
        Work::Digest => {
            let result = File::create(staging.join(RESULT))
                .map_err(|source| InsideError::WriteResult { source })?;
            enter(&rootfs)?;
            let digest = tree_digest(Path::new("/"))?;
            io::Write::write_all(&mut &result, digest.to_string().as_bytes())
                .map_err(|source| InsideError::WriteResult { source })
        }
        Work::HandOver { folder } => {
            enter(staging)?;
            take_over(&Path::new("/").join(folder))
        }
        Work::Unpack { archives, owners, whiteouts } => {
            let opened = archives
                .iter()
                .map(|name| {
                    let path = staging.join(name);
                    File::open(&path).map_err(|source| InsideError::OpenArchive { path, source })
                })
                .collect::<Result<Vec<_>, _>>()?;
            fs_err::create_dir_all(&rootfs)
                .map_err(|source| InsideError::Enter { path: rootfs.clone(), source })?;
            enter(&rootfs)?;
            for archive in opened {
                unpack::unpack(archive, Path::new("/"), *owners, *whiteouts)?;
            }
            Ok(())
        }
    }
}

/// From here on `/` is the tree, and no path leads out of it.
fn enter(rootfs: &Path) -> Result<(), InsideError> {
    rustix::process::chroot(rootfs)
        .and_then(|()| rustix::process::chdir("/"))
        .map_err(|source| InsideError::Enter { path: rootfs.to_owned(), source: source.into() })
}

/// Changes only what differs: a change of owner clears the setuid bits that the audit must see.
fn take_over(folder: &Path) -> Result<(), InsideError> {
    for entry in WalkDir::new(folder) {
        let entry = entry.map_err(|source| InsideError::Walk { source })?;
        let path = entry.path();
        let fail = |source| InsideError::HandOver { path: path.to_owned(), source };
        let meta = fs_err::symlink_metadata(path).map_err(fail)?;
        if (meta.uid(), meta.gid()) != (0, 0) {
            std::os::unix::fs::lchown(path, Some(0), Some(0)).map_err(fail)?;
        }
        let needed = if meta.is_dir() { 0o700 } else { 0o400 };
        if !meta.is_symlink() && meta.mode() & needed != needed {
            let mode = PermissionsExt::from_mode(meta.mode() & 0o7777 | needed);
            fs_err::set_permissions(path, mode).map_err(fail)?;
        }
    }
    Ok(())
}

fn empty(folder: &Path) -> Result<(), InsideError> {
    let fail = |path: &Path, source| InsideError::Delete { path: path.to_owned(), source };
    for entry in fs_err::read_dir(folder).map_err(|source| fail(folder, source))? {
        let entry = entry.map_err(|source| fail(folder, source))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(|source| fail(&path, source))?;
        if kind.is_dir() { fs_err::remove_dir_all(&path) } else { fs_err::remove_file(&path) }
            .map_err(|source| fail(&path, source))?;
    }
    Ok(())
}

/// Digests a tree; times are left out, since they differ from one making to the next.
pub(crate) fn tree_digest(root: &Path) -> Result<Digest, InsideError> {
    let mut hasher = Sha256::new();
    // Builds get a `/dev` of their own, and what can be made there depends on who makes it.
    let devices = root.join("dev");
    let wanted = |entry: &walkdir::DirEntry| !entry.path().starts_with(&devices);
    for entry in WalkDir::new(root).sort_by_file_name().into_iter().filter_entry(wanted) {
        let entry = entry.map_err(|source| InsideError::Walk { source })?;
        let path = entry.path();
        let fail = |source| InsideError::Read { path: path.to_owned(), source };
        let meta = fs_err::symlink_metadata(path).map_err(fail)?;
        let name = path.strip_prefix(root).unwrap_or(path);
        hasher.update(name.as_os_str().as_bytes());
        hasher.update(format!("\0{:o} {} {} ", meta.mode(), meta.uid(), meta.gid()));
        if meta.is_file() {
            let mut content = Sha256::new();
            let mut file = File::open(path).map_err(fail)?;
            io::copy(&mut file, &mut HashWriter(&mut content)).map_err(fail)?;
            hasher.update(content.finalize());
        } else if meta.is_symlink() {
            let target = fs_err::read_link(path).map_err(fail)?;
            hasher.update(target.as_os_str().as_bytes());
        }
        hasher.update(b"\0");
    }
    Ok(Digest::from_bytes(hasher.finalize().into()))
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
