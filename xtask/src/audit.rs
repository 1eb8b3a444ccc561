//! Audits a built runtime as `runtime.yml` mounts it: will everything in it run, everywhere?
//!
//! [`listing::read`] reads the tree once. All else is pure: [`view`] finds guest paths in the
//! listing, [`loader`] finds libraries as the tree's own dynamic linker does, [`closure`] loads
//! every program in thought, and [`rules`] and [`runtime`] turn what is wrong into findings.

pub mod closure;
mod driver;
pub mod elf;
pub mod listing;
pub mod loader;
pub mod rules;
pub mod runtime;
pub mod target;
pub mod view;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rnx_spec::diagnostic::{Code, Severity, codes};
use rnx_spec::{Arch, RuntimeSpec};

use self::listing::Listing;
use self::loader::Loader;
use self::view::MountView;

/// A `runtime.yml` over this many bytes is not read.
const RUNTIME_YML_BYTES_MAX: u64 = 1024 * 1024;

/// What a tree is judged by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The architecture that the runtime is for.
    pub arch: Arch,
    /// What `runtime.yml` should say that it is.
    pub spec: Option<RuntimeSpec>,
    /// Texts that no file may hold: the paths of the build host and of its temp folder.
    pub forbidden: Vec<String>,
}

/// One thing that is wrong with a built runtime.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub severity: Severity,
    pub code: Code,
    /// The path in the runtime's folder.
    pub path: String,
    /// What is wrong; reads well after the path.
    pub message: String,
}

/// A tree that could not be audited.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("failed to read the tree `{}`", root.display())]
    Walk { root: PathBuf, source: walkdir::Error },
    #[error("failed to read a symlink of the tree")]
    ReadLink { source: io::Error },
    #[error("`{}` is not a folder", path.display())]
    NotFolder { path: PathBuf },
}

/// A runtime's folder, read.
#[derive(Debug, Clone)]
pub struct RuntimeTree {
    pub listing: Listing,
    /// The text of `runtime.yml`, or why there is none.
    pub runtime_yml: Result<String, String>,
}

/// Reads the runtime in the folder `root`, which has `runtime.yml` and `isolated/`. ⚡
pub fn read(root: &Path, forbidden: &[String]) -> Result<RuntimeTree, AuditError> {
    if !root.is_dir() {
        return Err(AuditError::NotFolder { path: root.to_owned() });
    }
    Ok(RuntimeTree {
        listing: listing::read(root, forbidden)?,
        runtime_yml: read_runtime_yml(&root.join(runtime::FILE)),
    })
}

/// Reads and audits the runtime in the folder `root`; the worst findings first. ⚡
pub fn check(root: &Path, options: &Options) -> Result<Vec<Finding>, AuditError> {
    Ok(judge(&read(root, &options.forbidden)?, options))
}

/// Audits a runtime that was read; the worst findings first.
pub fn judge(tree: &RuntimeTree, options: &Options) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut mounted = runtime::Mounted::default();
    match &tree.runtime_yml {
        Err(why) => {
            findings.push(Finding::error(codes::RUNTIME_YML_MISSING, runtime::FILE, why.as_str()));
        }
        Ok(text) => {
            let (read, found) = runtime::check(text, &tree.listing, options);
            mounted = read;
            findings.extend(found);
        }
    }
    let view = MountView::new(&tree.listing, mounted.mounts.clone());
    findings.extend(runtime::check_path(&mounted, &view));
    findings.extend(rules::entries(&view, &mounted.path, options));
    let loader = Loader::new(&view, options.arch, &mounted.library_path);
    findings.extend(rules::programs(&loader));
    findings.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.cmp(b)));
    findings.dedup();
    findings
}

/// Reads a `runtime.yml` that is a plain file of sensible size, or says why it does not.
pub(crate) fn read_runtime_yml(path: &Path) -> Result<String, String> {
    match fs_err::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err("does not exist".to_owned()),
        Err(error) => Err(format!("cannot be read: {error}")),
        Ok(metadata) if !metadata.is_file() => Err("is not a plain file".to_owned()),
        Ok(metadata) if metadata.len() > RUNTIME_YML_BYTES_MAX => Err("is too large".to_owned()),
        Ok(_) => fs_err::read_to_string(path).map_err(|error| format!("cannot be read: {error}")),
    }
}

impl Finding {
    /// Whether it ends a build.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    pub(crate) fn error(code: Code, path: &str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, path: path.to_owned(), message: message.into() }
    }

    pub(crate) fn warning(code: Code, path: &str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, code, path: path.to_owned(), message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = if self.is_error() { "error" } else { "warning" };
        write!(f, "{severity}[{}]: {} {}", self.code, self.path, self.message)
    }
}

#[cfg(test)]
pub(crate) mod tests;
