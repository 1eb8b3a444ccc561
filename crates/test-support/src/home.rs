//! A temporary home, and the environment of a program that must see nothing else.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// An empty home folder that is deleted with this value.
#[derive(Debug)]
pub struct Home {
    dir: TempDir,
}

impl Home {
    /// Makes a home.
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// Returns the home folder.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Returns the base folder of installs that an ordinary user has in this home.
    pub fn base(&self) -> PathBuf {
        self.path().join(".local/share/joblet/runtimes")
    }

    /// Returns the whole environment for a program under test.
    pub fn env(&self) -> Vec<(OsString, OsString)> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        vec![
            ("HOME".into(), self.path().into()),
            ("XDG_DATA_HOME".into(), self.path().join(".local/share").into()),
            ("PATH".into(), path),
            ("NO_PROXY".into(), "127.0.0.1".into()),
        ]
    }
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}
