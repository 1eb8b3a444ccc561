//! Where things lie below a base folder. Pure: names paths, and never looks at them.

use std::path::{Path, PathBuf};

use rnx_spec::{Digest, RuntimeName, RuntimeSpec};

/// The folder that holds the installs of a host, for example `/opt/joblet/runtimes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    base: PathBuf,
}

impl Layout {
    /// Returns the layout of the base folder `base`.
    pub fn new(base: impl Into<PathBuf>) -> Self {
        Self { base: base.into() }
    }

    /// Returns the base folder.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// Returns the folder of downloaded blobs.
    pub fn store(&self) -> PathBuf {
        self.base.join(".store")
    }

    /// Returns the folder of half-done installs and half-done removals.
    pub fn staging(&self) -> PathBuf {
        self.base.join(".staging")
    }

    /// Returns the folder of per-install records and locks.
    pub fn state(&self) -> PathBuf {
        self.base.join(".state")
    }

    /// Returns the folder of an install.
    pub fn install(&self, spec: &RuntimeSpec) -> PathBuf {
        self.base.join(spec.folder())
    }

    /// Returns the symlink to the highest installed version of a runtime.
    pub fn alias(&self, name: &RuntimeName) -> PathBuf {
        self.base.join(name.as_str())
    }

    /// Returns the folder of what is half-done about an install.
    pub fn staged(&self, spec: &RuntimeSpec) -> PathBuf {
        self.staging().join(spec.folder())
    }

    /// Returns where an install is unpacked, and where a removed one waits to be deleted.
    pub fn staged_tree(&self, spec: &RuntimeSpec) -> PathBuf {
        self.staged(spec).join("tree")
    }

    /// Returns the record that makes a folder an install.
    pub fn record(&self, spec: &RuntimeSpec) -> PathBuf {
        self.state().join(format!("{}.json", spec.folder()))
    }

    /// Returns the record of an install that is being put in place.
    pub fn next_record(&self, spec: &RuntimeSpec) -> PathBuf {
        self.state().join(format!("{}.json.next", spec.folder()))
    }

    /// Returns the index of an install's files; each archive has its own, so that two can exist while one replaces the
    /// other.
    pub fn index(&self, spec: &RuntimeSpec, archive: Digest) -> PathBuf {
        let hex = archive.hex();
        self.state().join(format!("{}.{}.files.json", spec.folder(), &hex[..16]))
    }

    /// Returns the lock that whoever changes an install holds.
    pub fn install_lock(&self, spec: &RuntimeSpec) -> PathBuf {
        self.state().join(format!("{}.lock", spec.folder()))
    }

    /// Returns the lock that whoever changes an alias holds. No runtime's name is another's install folder, so this is
    /// never an install's lock.
    pub fn alias_lock(&self, name: &RuntimeName) -> PathBuf {
        self.state().join(format!("{name}.lock"))
    }
}

/// Returns what an install folder's name says: the name and the version before and after its last `-`.
pub fn folder_spec(folder: &str) -> Option<RuntimeSpec> {
    let (name, version) = folder.rsplit_once('-')?;
    Some(RuntimeSpec { name: name.parse().ok()?, version: version.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_name_their_runtime() {
        for text in ["python-3.11-ml@1.3.1", "a@0.0.1", "r-4.5@1.10.0"] {
            let spec: RuntimeSpec = text.parse().unwrap();
            assert_eq!(folder_spec(&spec.folder()), Some(spec));
        }
        for bad in ["python-3.11-ml", "python-1.2", "-1.2.3", "a-1.2.3.json"] {
            assert_eq!(folder_spec(bad), None, "{bad}");
        }
    }
}
