//! Why a build failed, and what to do next.

use std::io;
use std::path::PathBuf;

use rnx::failure::{ExitStatus, Failure};
use rnx_spec::bases::ChooseBaseError;
use rnx_spec::lock::Change;
use rnx_spec::runtime_yml::{ParseRuntimeYmlError, WriteRuntimeYmlError};
use rnx_spec::{Platform, RuntimeSpec};

use super::diagnosis;
use super::dist::WriteDistError;
use super::duplicates::MergeError;
use super::inputs::ReadInputsError;
use super::script::ScriptError;
use super::stage::StageError;
use crate::audit::{AuditError, Finding};
use crate::closure::CloseError;
use crate::definitions::LoadBasesError;
use crate::lock::{CaptureError, LockFileError, TellError};
use crate::rootfs::RootfsError;
use crate::runtime_tests::{TestError, TestOutcome};
use crate::sources::FetchSourceError;

/// A build that did not end in a tested artifact.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("failed to make links of files that are there twice")]
    Merge { source: MergeError },
    #[error("{spec} has no setup script for {platform}")]
    NoScript { spec: RuntimeSpec, platform: Platform },
    #[error("failed to load the bases")]
    Bases { source: Box<LoadBasesError> },
    #[error("no base to build on")]
    ChooseBase { source: ChooseBaseError },
    #[error("failed to provide the base")]
    Base { source: Box<RootfsError> },
    #[error("failed to lock `{}`", path.display())]
    Lock { path: PathBuf, source: io::Error },
    #[error("another build of the same runtime and platform is at work (it holds `{}`)", path.display())]
    Busy { path: PathBuf },
    #[error("failed to read what the build starts from")]
    Inputs { source: ReadInputsError },
    #[error("failed to fetch a source")]
    Source { source: Box<FetchSourceError> },
    #[error("failed to prepare the chroot")]
    Stage { source: StageError },
    #[error("failed to write beside the build")]
    Log { source: io::Error },
    #[error("the setup script did not come to its end")]
    Script { log: PathBuf, source: Box<ScriptError> },
    #[error("the setup script left no folder `{}`", expected.display())]
    NoTree { expected: PathBuf },
    #[error("failed to read the tree that the script left")]
    Describe { source: io::Error },
    #[error("the script's runtime.yml {why}")]
    NoRuntimeYml { why: String },
    #[error("the script's runtime.yml cannot be read")]
    ParseRuntimeYml { source: ParseRuntimeYmlError },
    #[error("failed to write runtime.yml")]
    WriteRuntimeYml { source: WriteRuntimeYmlError },
    #[error("the script's runtime.yml is not about this runtime: {}", wrong.join("; "))]
    Contradiction { wrong: Vec<String> },
    #[error("failed to complete the libraries")]
    Closure { source: Box<CloseError> },
    #[error("failed to ask the base for its packages, which versions.lock names")]
    AskBase { source: Box<CaptureError> },
    #[error("failed to tell what the build got")]
    Tell { source: Box<TellError> },
    #[error("failed to compare with the definition's lock file")]
    LockFile { source: Box<LockFileError> },
    #[error("`packages` of the manifest says what is not true: {}", wrong.join("; "))]
    FalseClaims { wrong: Vec<String> },
    #[error("the {what} is not in the cache, and nothing may be fetched")]
    Offline { what: String },
    #[error("versions.lock says nothing of {spec} for {platform}")]
    NotLocked { spec: RuntimeSpec, platform: Platform },
    #[error("{} package(s) that versions.lock names cannot be had: {}", gone.len(), gone.join(", "))]
    LockedGone { gone: Vec<String>, log: PathBuf, source: Box<ScriptError> },
    #[error("the build of {spec} for {platform} is not what versions.lock says")]
    NotAsLocked { spec: RuntimeSpec, platform: Platform, changes: Vec<Change> },
    #[error("failed to audit the tree")]
    Audit { source: Box<AuditError> },
    #[error("the audit of {spec} for {platform} found {} error(s)", errors.len())]
    AuditFailed { spec: RuntimeSpec, platform: Platform, errors: Vec<Finding> },
    #[error("the {what} size is {bytes} bytes, over the manifest's limit of {bytes_max}")]
    OverBudget { what: &'static str, bytes: u64, bytes_max: u64 },
    #[error("failed to write the artifact")]
    Dist { source: WriteDistError },
    #[error("failed to run the runtime's tests")]
    Tests { source: Box<TestError> },
    #[error("{} of {} tests of {spec} for {platform} failed", failed(tests), tests.len())]
    TestsFailed { spec: RuntimeSpec, platform: Platform, tests: Vec<TestOutcome> },
}

impl BuildError {
    /// Whether the chroot is worth looking around in.
    pub fn leaves_a_chroot(&self) -> bool {
        match self {
            Self::Script { source, .. } => !matches!(**source, ScriptError::Interrupted),
            Self::LockedGone { .. }
            | Self::NotAsLocked { .. }
            | Self::FalseClaims { .. }
            | Self::NoTree { .. }
            | Self::NoRuntimeYml { .. }
            | Self::Contradiction { .. }
            | Self::ParseRuntimeYml { .. }
            | Self::AuditFailed { .. }
            | Self::TestsFailed { .. }
            | Self::OverBudget { .. } => true,
            _ => false,
        }
    }

    /// Turns the error into what a person is told.
    pub fn into_failure(self, spec: &RuntimeSpec, platform: Platform) -> Failure {
        let shell = format!(
            "look around in what it left: `cargo xtask shell {} --platform {platform}`",
            spec.name
        );
        let leaves_a_chroot = self.leaves_a_chroot();
        let mut failure = match &self {
            Self::Base { source } => source.failure(),
            Self::Source { source } => source.explain(Failure::new(source.status(), &self)),
            Self::Lock { .. }
            | Self::Log { .. }
            | Self::Stage { .. }
            | Self::Dist { .. }
            | Self::Describe { .. }
            | Self::Merge { .. }
            | Self::Closure { .. } => Failure::new(ExitStatus::Host, &self),
            Self::Tests { source } if matches!(**source, TestError::Run { .. }) => {
                Failure::new(ExitStatus::Host, &self)
                    .hint("`cargo xtask doctor` says what is missing")
            }
            Self::Script { source, .. } if matches!(**source, ScriptError::Sandbox { .. }) => {
                Failure::new(ExitStatus::Host, &self)
                    .hint("`cargo xtask doctor` says what is missing")
            }
            Self::Offline { .. } => Failure::new(ExitStatus::Network, &self)
                .hint("without `--offline` it is fetched, and kept"),
            _ => Failure::new(ExitStatus::Findings, &self),
        };
        failure.causes.insert(0, format!("failed to build {spec} for {platform}"));
        failure = self.explained(failure, spec, platform);
        // Wherever it was met: what a script says of it was found already.
        if failure.hints.is_empty()
            && let Some(found) = diagnosis::diagnose(&failure.causes)
            && found.status == ExitStatus::Host
        {
            failure.status = found.status;
            failure = failure.hint(found.hint);
        }
        if leaves_a_chroot { failure.hint(shell) } else { failure }
    }

    /// Adds what a person wants to know of a failure besides its causes.
    fn explained(&self, mut failure: Failure, spec: &RuntimeSpec, platform: Platform) -> Failure {
        match self {
            Self::Script { log, source } => {
                if let ScriptError::Failed { last_lines, .. }
                | ScriptError::TooLong { last_lines, .. }
                | ScriptError::TooLarge { last_lines, .. }
                | ScriptError::TooMany { last_lines, .. } = &**source
                {
                    if let Some(found) = diagnosis::diagnose(last_lines) {
                        failure.status = found.status;
                        failure = failure.hint(found.hint);
                    }
                    failure.causes.push(format!("the last lines were:{}", indented(last_lines)));
                }
                if let ScriptError::TooLong { .. } = &**source {
                    failure = failure.hint("an honest build's time: `limits: {build_minutes: …}`");
                }
                if let ScriptError::TooLarge { .. } = &**source {
                    failure = failure.hint("an honest build's size: `limits: {build_disk: …}`");
                }
                if let ScriptError::TooMany { .. } = &**source {
                    failure =
                        failure.hint("what an honest build needs: `limits: {build_processes: …}`");
                }
                failure = failure.hint(format!("the whole log: {}", log.display()));
            }
            Self::AuditFailed { errors, .. } => {
                let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
                failure.causes.push(format!("the audit found:{}", indented(&lines)));
                failure = failure.hint("`cargo xtask explain CODE` says more about each");
            }
            Self::TestsFailed { tests, .. } => {
                let failed = tests.iter().filter(|test| test.failed());
                let lines: Vec<String> = failed.map(ToString::to_string).collect();
                failure.causes.push(format!("the failed tests:{}", indented(&lines)));
            }
            Self::NotLocked { .. } => {
                failure = failure.hint(format!(
                    "write it: `cargo xtask lock {} --platform {platform}`",
                    spec.name
                ));
            }
            Self::LockedGone { log, .. } => {
                failure = failure
                    .hint(format!("lock what there is now: `cargo xtask lock {}`", spec.name))
                    .hint("a `snapshot` in runtimes/bases.yaml keeps old versions in reach")
                    .hint(format!("the whole log: {}", log.display()));
            }
            Self::NotAsLocked { changes, .. } => {
                let lines: Vec<String> = changes.iter().map(ToString::to_string).collect();
                failure.causes.push(format!("locked → built:{}", indented(&lines)));
                failure = failure
                    .hint(format!("lock what there is now: `cargo xtask lock {}`", spec.name));
            }
            Self::NoScript { .. } => {
                failure = failure.hint("`cargo xtask validate` says which scripts are missing");
            }
            _ => {}
        }
        failure
    }
}

fn failed(tests: &[TestOutcome]) -> usize {
    tests.iter().filter(|test| test.failed()).count()
}

fn indented(lines: &[String]) -> String {
    lines.iter().flat_map(|line| line.lines()).map(|line| format!("\n    {line}")).collect()
}
