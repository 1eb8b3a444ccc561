//! What a build starts from, besides its definition: the time, an identifier, and the host's files.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use walkdir::WalkDir;

use rnx_spec::{Digest, Platform, RuntimeName};

use super::contract::CA_VARIABLES;
use super::plan::HostFiles;
use crate::host::PROXY_VARIABLES;
use crate::tool::{self, Invocation};

/// The time of a tree that no repository dates: 1980-01-01, the earliest that zip files (wheels) can hold.
pub const EPOCH_WITHOUT_HISTORY: u64 = 315_532_800;

/// The part of the host's environment that a build lets in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostEnvironment {
    /// The first CA bundle that one of [`CA_VARIABLES`] names and that exists.
    pub ca_bundle: Option<PathBuf>,
    pub proxies: BTreeMap<String, String>,
    /// The caller's own `SOURCE_DATE_EPOCH`.
    pub source_date_epoch: Option<u64>,
}

/// Why [`epoch`] gave the time it gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpochFrom {
    /// `SOURCE_DATE_EPOCH` of the environment.
    Environment,
    /// The last commit that touched what the build reads.
    Commit,
    /// [`EPOCH_WITHOUT_HISTORY`]: the repository has no such commit, or is none.
    Nothing,
}

/// The definition could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadInputsError {
    #[error("failed to list the definition `{}`", path.display())]
    List { path: PathBuf, source: walkdir::Error },
    #[error("failed to read the definition")]
    Read { source: std::io::Error },
}

impl HostEnvironment {
    /// Picks what a build lets in from an environment; `exists` tells whether a file is there.
    pub fn pick(variable: impl Fn(&str) -> Option<String>, exists: impl Fn(&Path) -> bool) -> Self {
        let filled = |name: &str| variable(name).filter(|value| !value.is_empty());
        Self {
            ca_bundle: CA_VARIABLES
                .into_iter()
                .filter_map(filled)
                .map(PathBuf::from)
                .find(|path| exists(path)),
            proxies: PROXY_VARIABLES
                .into_iter()
                .filter_map(|name| Some((name.to_owned(), filled(name)?)))
                .collect(),
            source_date_epoch: filled("SOURCE_DATE_EPOCH").and_then(|text| text.parse().ok()),
        }
    }
}

/// Returns the files of the host that the chroot of `repo`'s builds shows.
pub fn host_files(repo: &Path, environment: &HostEnvironment) -> HostFiles {
    let lib = repo.join("runtimes/lib");
    let resolver = ["/etc/resolv.conf", "/etc/hosts"]
        .into_iter()
        // The host may have none, and then names are not resolved in the chroot either.
        .filter_map(|path| Some((fs_err::canonicalize(path).ok()?, PathBuf::from(path))))
        .collect();
    HostFiles {
        lib: lib.join("lib.sh").is_file().then_some(lib),
        ca_bundle: environment.ca_bundle.clone(),
        resolver,
    }
}

/// Returns the time that everything in the artifact carries, in seconds since 1970.
///
/// It is the time of the last commit that touched the definition, the shared functions or the bases, so that an
/// unrelated commit does not change an artifact.
pub fn epoch(repo: &Path, name: &RuntimeName, environment: &HostEnvironment) -> (u64, EpochFrom) {
    if let Some(epoch) = environment.source_date_epoch {
        return (epoch, EpochFrom::Environment);
    }
    let definition = format!("runtimes/{name}");
    // Root building in another user's clone is ordinary here; nothing of the repository is executed by `log`.
    let log = Invocation::new("git").arg("-C").arg(repo).args([
        "-c",
        "safe.directory=*",
        "log",
        "-1",
        "--format=%ct",
        "--",
        &definition,
        "runtimes/lib",
        "runtimes/bases.yaml",
        // Writing down what a build got does not make it a later one.
        &format!(":(exclude){definition}/{}", rnx_spec::lock::FILE),
    ]);
    match tool::run(&log).map(|output| String::from_utf8_lossy(&output.stdout).trim().parse()) {
        Ok(Ok(epoch)) => (epoch, EpochFrom::Commit),
        // No git, no repository, or no commit yet: the caller is told by `EpochFrom`.
        Ok(Err(_)) | Err(_) => (EPOCH_WITHOUT_HISTORY, EpochFrom::Nothing),
    }
}

/// Returns a build's identifier: 16 hex digits that depend on the definition, platform and base alone.
///
/// `versions.lock` is left out: it is what a build gives. Setup scripts see the identifier, and a build must be the same
/// before and after its lock was written.
pub fn build_id(
    definition: &Path,
    platform: Platform,
    base: Digest,
) -> Result<String, ReadInputsError> {
    let mut hasher = Sha256::new();
    hasher.update(format!("joblet build 1\n{platform}\n{base}\n"));
    for entry in WalkDir::new(definition).sort_by_file_name() {
        let entry = entry
            .map_err(|source| ReadInputsError::List { path: definition.to_owned(), source })?;
        let path = entry.path().strip_prefix(definition).unwrap_or(entry.path());
        if path == Path::new(rnx_spec::lock::FILE) {
            continue;
        }
        hasher.update(path.as_os_str().as_encoded_bytes());
        add_content(&entry, &mut hasher).map_err(|source| ReadInputsError::Read { source })?;
    }
    let digest = Digest::from_bytes(hasher.finalize().into());
    Ok(digest.hex()[..16].to_owned())
}

/// Adds what a chroot sees of a file or link besides its name.
pub(super) fn add_content(entry: &walkdir::DirEntry, hasher: &mut Sha256) -> io::Result<()> {
    let kind = entry.file_type();
    let content = if kind.is_file() {
        let mode = fs_err::metadata(entry.path())?.permissions().mode();
        hasher.update([u8::from(mode & 0o111 != 0)]);
        fs_err::read(entry.path())?
    } else if kind.is_symlink() {
        fs_err::read_link(entry.path())?.into_os_string().into_encoded_bytes()
    } else {
        return Ok(());
    };
    hasher.update(content.len().to_le_bytes());
    hasher.update(content);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_certificates_proxies_and_the_epoch_come_in() {
        let host = BTreeMap::from([
            ("SECRET", "x"),
            ("SSL_CERT_FILE", "/missing"),
            ("PIP_CERT", "/there"),
            ("https_proxy", "http://127.0.0.1:1"),
            ("no_proxy", ""),
            ("SOURCE_DATE_EPOCH", "7"),
        ]);
        let picked = HostEnvironment::pick(
            |name| host.get(name).map(ToString::to_string),
            |path| path == Path::new("/there"),
        );
        assert_eq!(
            picked,
            HostEnvironment {
                ca_bundle: Some("/there".into()),
                proxies: BTreeMap::from([("https_proxy".into(), "http://127.0.0.1:1".into())]),
                source_date_epoch: Some(7),
            }
        );
    }

    #[test]
    fn a_build_id_depends_on_names_and_contents() {
        let dir = tempfile::tempdir().unwrap();
        let id = |base: u8| {
            let platform = "ubuntu-amd64".parse().unwrap();
            build_id(dir.path(), platform, Digest::from_bytes([base; 32])).unwrap()
        };
        fs_err::write(dir.path().join("a"), "1").unwrap();
        let first = id(0);
        assert_eq!(first, id(0));
        assert_ne!(first, id(1));
        fs_err::write(dir.path().join("a"), "2").unwrap();
        let second = id(0);
        assert_ne!(first, second);
        fs_err::write(dir.path().join("versions.lock"), "1").unwrap();
        assert_eq!(second, id(0));
        fs_err::rename(dir.path().join("a"), dir.path().join("b")).unwrap();
        assert_ne!(second, id(0));
    }
}
