//! What a user may ask to audit: a runtime's folder, an archive, or a definition's built archives. ⚡

use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use rnx_archive::unpack::Archive;
use rnx_archive::{Limits, UnpackError, unpack};
use rnx_spec::{Arch, Platform, artifact, runtime_yml};
use tempfile::TempDir;

use super::runtime;
use crate::build::parts;
use crate::definitions::{self, LoadDefinitionError};

/// The folder of a repository that builds write to.
pub const DIST: &str = "dist";

const GIB: u64 = 1024 * 1024 * 1024;

/// A folder to audit.
#[derive(Debug)]
pub struct Target {
    /// The folder or archive, as people know it.
    pub name: PathBuf,
    pub root: PathBuf,
    /// Known from an archive's name, or from `runtime.yml`.
    pub arch: Option<Arch>,
    /// What the definition says that it is.
    pub spec: Option<rnx_spec::RuntimeSpec>,
    /// Keeps what an archive was unpacked to.
    unpacked: Option<TempDir>,
}

/// Nothing could be found to audit.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("failed to look for the definition `{name}`")]
    Definition { name: String, source: LoadDefinitionError },
    #[error("`{name}` is not built: there is no archive of it in `{}`", dist.display())]
    NotBuilt { name: String, dist: PathBuf },
    #[error("failed to make a temp folder")]
    Temp { source: io::Error },
    #[error("failed to unpack `{}`", path.display())]
    Unpack { path: PathBuf, source: UnpackError },
}

/// Finds what `target` names; `repo` is only used if it is neither a folder nor a file.
pub fn find(target: &str, repo: Option<&Path>) -> Result<Vec<Target>, TargetError> {
    let path = Path::new(target);
    let Some(repo) = repo.filter(|_| !path.is_dir() && !path.is_file()) else {
        return Ok(vec![at(path)?]);
    };
    let definition = definitions::load(repo, target)
        .map_err(|source| TargetError::Definition { name: target.to_owned(), source })?;
    let (name, version) = (definition.manifest.name, definition.manifest.version);
    let spec = rnx_spec::RuntimeSpec { name, version };
    let dist = repo.join(DIST);
    let mut found = Vec::new();
    for platform in Platform::ALL {
        let path = dist.join(artifact::archive_file(&spec, platform));
        if !parts::files_of(&path).is_empty() {
            found.push(Target { spec: Some(spec.clone()), ..archive(&path)? });
        }
    }
    if found.is_empty() {
        return Err(TargetError::NotBuilt { name: target.to_owned(), dist });
    }
    Ok(found)
}

/// Takes the folder or the file `path`; a part of an archive stands for all of them.
pub fn at(path: &Path) -> Result<Target, TargetError> {
    if path.is_dir() { Ok(folder(path)) } else { archive(path) }
}

fn folder(path: &Path) -> Target {
    let (name, root) = (path.to_owned(), path.to_owned());
    Target { name, arch: required_arch(&root), root, spec: None, unpacked: None }
}

fn archive(path: &Path) -> Result<Target, TargetError> {
    let dir = tempfile::tempdir().map_err(|source| TargetError::Temp { source })?;
    let limits = Limits { archive_bytes: 8 * GIB, unpacked_bytes: 32 * GIB, entries: 4_000_000 };
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let failed = |source| TargetError::Unpack { path: path.to_owned(), source };
    let files = parts::files_of(path);
    let opened = if files.is_empty() { Archive::open(path) } else { Archive::open_parts(&files) };
    let archive = opened.map_err(failed)?;
    unpack::unpack(&archive, dir.path(), &unpack::Options { limits, threads }).map_err(failed)?;
    let (name, root) = (path.to_owned(), dir.path().to_owned());
    let arch = named_platform(path).map(|platform| platform.arch).or_else(|| required_arch(&root));
    Ok(Target { name, root, arch, spec: None, unpacked: Some(dir) })
}

fn named_platform(path: &Path) -> Option<Platform> {
    let name = path.file_name()?.to_str()?;
    let name = artifact::whole_of(name).unwrap_or(name);
    Platform::ALL.into_iter().find(|platform| name.ends_with(&format!("-{platform}.tar.gz")))
}

fn required_arch(root: &Path) -> Option<Arch> {
    // Whatever stands in the way here is a finding of the audit itself.
    let text = fs_err::read_to_string(root.join(runtime::FILE)).ok()?;
    let document = runtime_yml::parse(&text).ok()?;
    let [arch] = document.requirements.architectures.as_slice() else { return None };
    [Arch::Amd64, Arch::Arm64].into_iter().find(|known| known.as_str() == arch)
}

impl Target {
    /// Removes what was unpacked, and tells when that fails.
    pub fn close(self) -> io::Result<()> {
        self.unpacked.map_or(Ok(()), TempDir::close)
    }
}
