//! Releasing: from a definition to a tag, from a tag to an entry of the registry that every host can install.

pub mod checks;
pub mod facts;
#[cfg(feature = "github")]
pub mod github;
mod lock_check;
pub mod mirror;
pub mod plan;
pub mod publish;
pub mod reconcile;
pub mod registry_branch;
pub mod registry_file;
pub mod steps;
pub mod tagged;

use std::path::Path;

use rnx_spec::RuntimeSpec;
use rnx_spec::diagnostic::Diagnostic;

use self::checks::Candidate;
use self::facts::{Facts, ReadFactsError};
use self::steps::{DecideError, Step, Versions};
use crate::definitions::{self, Definition, ListDefinitionsError, LoadDefinitionError};
use crate::git::Git;
use crate::lock::{self, LockFileError};
use crate::validate::{self, SyntaxCache, ValidateError};

/// What is to be released, and how far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// Folders of definitions; all of them if none is named.
    pub names: &'a [String],
    pub versions: Versions,
    pub remote: &'a str,
    /// Up to the remote, and not only up to the tag in this clone.
    pub push: bool,
}

/// What a release would do, or everything that stands in its way.
#[derive(Debug)]
pub enum Decision {
    Findings(Vec<Diagnostic>),
    Steps(Vec<Step>),
}

/// A release could not be decided.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    #[error("failed to list the definitions")]
    List { source: ListDefinitionsError },
    #[error("failed to load a definition")]
    Load { name: String, source: LoadDefinitionError },
    #[error("failed to read what a definition locks")]
    Lock { source: Box<LockFileError> },
    #[error("failed to validate the definitions")]
    Validate { source: ValidateError },
    #[error("failed to find out where this clone and its remote stand")]
    Facts { source: ReadFactsError },
    #[error("failed to decide the steps of the release")]
    Decide { source: DecideError },
}

/// Reads the definitions, the clone and its remote, and decides the release.
pub fn decide(
    repo: &Path,
    git: &Git,
    request: Request<'_>,
    cache: &SyntaxCache,
) -> Result<Decision, ReleaseError> {
    let names = match request.names {
        [] => definitions::folders(repo).map_err(|source| ReleaseError::List { source })?,
        names => names.to_vec(),
    };
    let report =
        validate::run(repo, &names, cache).map_err(|source| ReleaseError::Validate { source })?;
    let facts =
        facts::read(git, request.remote).map_err(|source| ReleaseError::Facts { source })?;
    let decide = |source| ReleaseError::Decide { source };
    let (mut loaded, mut candidates) = (Vec::new(), Vec::new());
    for one in &report.definitions {
        let findings = one.files.iter().map(|file| file.diagnostics.len()).sum();
        let load = definitions::load(repo, &one.folder);
        let definition: Definition = match load {
            Ok(definition) => definition,
            Err(LoadDefinitionError::Invalid { .. }) => {
                return Ok(Decision::Findings(unreadable(&facts, &report)));
            }
            Err(source) => return Err(ReleaseError::Load { name: one.folder.clone(), source }),
        };
        let version = steps::version_for(&definition, request.versions).map_err(decide)?;
        let lock_file = lock::read(&definition.dir)
            .map_err(|source| ReleaseError::Lock { source: Box::new(source) })?;
        candidates.push(Candidate {
            spec: RuntimeSpec { name: definition.manifest.name.clone(), version },
            current: definition.manifest.version,
            findings,
            lock: lock_check::why_stale(&definition, &lock_file),
        });
        loaded.push(definition);
    }
    let specs: Vec<RuntimeSpec> = candidates.iter().map(|one| one.spec.clone()).collect();
    let found = checks::check(&facts, &candidates, &steps::tags(&specs, request.versions));
    if !found.is_empty() {
        return Ok(Decision::Findings(found));
    }
    let versions = (request.versions, request.push);
    steps::decide(git, &facts, &loaded, versions).map(Decision::Steps).map_err(decide)
}

/// Of a definition that cannot be read no version is known; what else stands in the way is told all the same.
fn unreadable(facts: &Facts, report: &validate::Report) -> Vec<Diagnostic> {
    let mut found = checks::check(facts, &[], &[]);
    found.extend(report.definitions.iter().filter_map(|one| {
        let count = one.files.iter().map(|file| file.diagnostics.len()).sum();
        checks::without_findings(&one.folder, count)
    }));
    found
}
