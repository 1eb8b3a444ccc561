//! `versions.lock`: what a build got, captured inside its chroot and in the tree, and written into the definition.

mod capture;
pub mod claims;
mod jars;
pub mod languages;
pub mod observed;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use rnx_sandbox::plan::SandboxPlan;
use rnx_spec::Platform;
use rnx_spec::lock::{self, LockFile, LockedBase, LockedSource, ParseLockError, PlatformLock};
use rnx_spec::manifest::Manifest;
use walkdir::WalkDir;

pub use self::capture::CaptureError;
use self::languages::{FindPackagesError, Found};
use self::observed::Observed;

/// A build's versions could not be told.
#[derive(Debug, thiserror::Error)]
pub enum TellError {
    #[error("failed to ask the chroot what is installed")]
    Capture { source: CaptureError },
    #[error("failed to find the packages in the tree")]
    Languages { source: FindPackagesError },
    #[error("failed to list the tree `{}`", root.display())]
    List { root: PathBuf, source: walkdir::Error },
}

/// A lock file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LockFileError {
    #[error("failed to {action} the lock file")]
    Access { action: &'static str, source: io::Error },
    #[error("`{}` cannot be used", path.display())]
    Parse { path: PathBuf, source: ParseLockError },
}

/// What a build got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub lock: PlatformLock,
    pub observed: Observed,
    pub languages: Vec<Found>,
}

/// What [`tell`] looks at.
#[derive(Debug)]
pub struct Subject<'a> {
    pub manifest: &'a Manifest,
    pub platform: Platform,
    /// The chroot as the setup script left it, for any program in it.
    pub chroot: SandboxPlan,
    /// A folder of the host to keep what the chroot says.
    pub scratch: &'a Path,
    /// The runtime's folder, with `isolated/` in it.
    pub tree: &'a Path,
    /// The base's name and digest.
    pub base: (&'a str, rnx_spec::Digest),
}

/// Asks the chroot and the tree what is in them. ⚡
pub fn tell(subject: &Subject<'_>) -> Result<Told, TellError> {
    let script = ["/bin/sh", "-c", capture::SCRIPT];
    let text = capture::run(&subject.chroot, &script, subject.scratch)
        .map_err(|source| TellError::Capture { source })?;
    let observed = observed::parse(&text);
    let mut languages =
        languages::find(subject.tree).map_err(|source| TellError::Languages { source })?;
    for Found { package, .. } in &mut languages {
        let key = (observed::normalised(&package.name), package.version.clone());
        package.download = observed.wheels.get(&key).copied();
    }
    let in_tree = tree_paths(&subject.tree.join("isolated"))?;
    let lock = section(subject, &observed, &languages, &in_tree);
    Ok(Told { lock, observed, languages })
}

fn section(
    subject: &Subject<'_>,
    observed: &Observed,
    languages: &[Found],
    in_tree: &BTreeSet<String>,
) -> PlatformLock {
    let source = |source: &rnx_spec::manifest::Source| LockedSource {
        file: source.file.clone(),
        url: source.url.to_string(),
        sha256: source.sha256,
    };
    let mut lock = PlatformLock {
        base: LockedBase {
            name: subject.base.0.to_owned(),
            os: observed.os.clone(),
            os_version: observed.os_version.clone(),
            digest: subject.base.1,
        },
        sources: subject.manifest.sources_for(subject.platform).map(source).collect(),
        distro: observed.packages.iter().map(|package| package.locked(in_tree)).collect(),
        language: languages.iter().map(|found| found.package.clone()).collect(),
    };
    lock.sort();
    lock
}

/// Returns the absolute paths of the files and links of the tree, where a merged `/usr` has them.
fn tree_paths(isolated: &Path) -> Result<BTreeSet<String>, TellError> {
    let mut paths = BTreeSet::new();
    for entry in WalkDir::new(isolated).min_depth(1) {
        let entry =
            entry.map_err(|source| TellError::List { root: isolated.to_owned(), source })?;
        // A link as `/bin` would stand for the folder that every package lists.
        let is_top_link = entry.depth() == 1 && entry.file_type().is_symlink();
        if entry.file_type().is_dir() || is_top_link {
            continue;
        }
        let relative = entry.path().strip_prefix(isolated).unwrap_or(entry.path());
        paths.insert(observed::merged(&format!("/{}", relative.to_string_lossy())));
    }
    Ok(paths)
}

/// Returns what a program in a build's chroot says, without a network. ⚡
pub fn ask(chroot: &SandboxPlan, argv: &[&str], scratch: &Path) -> Result<String, CaptureError> {
    capture::run(chroot, argv, scratch)
}

/// Returns the path of a definition's lock file.
pub fn path(definition: &Path) -> PathBuf {
    definition.join(lock::FILE)
}

/// Reads a definition's lock file; a missing one is empty.
pub fn read(definition: &Path) -> Result<LockFile, LockFileError> {
    let path = path(definition);
    match fs_err::read_to_string(&path) {
        Ok(text) => lock::parse(&text).map_err(|source| LockFileError::Parse { path, source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(LockFile::default()),
        Err(source) => Err(LockFileError::Access { action: "read", source }),
    }
}

/// Puts one platform's section into a definition's lock file; the others stay as they are.
///
/// Returns whether the file changed.
pub fn replace(
    definition: &Path,
    platform: Platform,
    section: PlatformLock,
) -> Result<bool, LockFileError> {
    let mut file = read(definition)?;
    file.platforms.insert(platform, section);
    let text = lock::write(&file);
    let path = path(definition);
    if fs_err::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(false);
    }
    let write = |source| LockFileError::Access { action: "write", source };
    let scratch = tempfile::Builder::new()
        .prefix(".versions.lock-")
        .tempfile_in(definition)
        .map_err(write)?;
    fs_err::write(scratch.path(), text).map_err(write)?;
    fs_err::set_permissions(scratch.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .map_err(write)?;
    scratch.persist(&path).map_err(|error| write(error.error))?;
    Ok(true)
}
