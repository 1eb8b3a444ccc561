//! Why there is no base, and what to do about it.

use std::io;
use std::path::PathBuf;

use rnx::failure::{ExitStatus, Failure};
use rnx_spec::{Arch, Digest};

use crate::host::BinfmtProblem;
use crate::rootfs::identity::NoRanges;
use crate::rootfs::inside::InsideError;
use crate::rootfs::namespace::NamespaceError;
use crate::rootfs::plan::PlanError;
use crate::tool::ToolError;

/// A base could not be made; nothing that counts as one was left.
#[derive(Debug, thiserror::Error)]
pub enum RootfsError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(
        "base `{base}` needs more than one user id (its files belong to several, and apt and dpkg change \
         between them), but {reason}"
    )]
    OneId { base: String, reason: NoRanges },
    #[error(
        "base `{base}` needs more than one user id, but the user namespace around this process has one"
    )]
    NestedOneId { base: String },
    #[error("base `{base}` is for {arch}, whose programs this host cannot run: {problem}")]
    ForeignArch { base: String, arch: Arch, problem: BinfmtProblem },
    #[error("base `{base}` is of a kind that cannot be made yet")]
    NotYet { base: String },
    #[error("failed to create the folder `{}`", path.display())]
    CreateFolder { path: PathBuf, source: io::Error },
    #[error("failed to lock `{}`", path.display())]
    Lock { path: PathBuf, source: io::Error },
    #[error("failed to write the base's record `{}`", path.display())]
    WriteRecord { path: PathBuf, source: io::Error },
    #[error("failed to move the finished base to `{}`", path.display())]
    Publish { path: PathBuf, source: io::Error },
    #[error("failed to read the archive `{}`", path.display())]
    ReadArchive { path: PathBuf, source: io::Error },
    #[error("failed to write `{}`", path.display())]
    WriteArchive { path: PathBuf, source: io::Error },
    #[error("`{url}` has the wrong content: expected {expected}, got {actual}")]
    DigestMismatch { url: String, expected: Digest, actual: Digest },
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    #[error("failed to read the record that the tree's reader left, `{}`", path.display())]
    ReadResult { path: PathBuf, source: io::Error },
    #[error("the tree's reader left no digest in `{}`: `{text}`", path.display())]
    BadResult { path: PathBuf, text: String },
    #[error(transparent)]
    Inside(#[from] InsideError),
}

impl RootfsError {
    /// Returns how a command ends over this, and with which advice.
    pub fn failure(&self) -> Failure {
        let (status, hint) = match self {
            Self::OneId { reason, .. } => (ExitStatus::Host, Some(reason.fix())),
            Self::NestedOneId { .. } => (
                ExitStatus::Host,
                Some("start the outer container with a range of ids, or as its host's user".into()),
            ),
            Self::ForeignArch { problem, .. } => (ExitStatus::Host, Some(problem.fix())),
            Self::Namespace(error) => (ExitStatus::Host, error.fix()),
            Self::Tool(error) => (ExitStatus::Host, error.fix()),
            Self::DigestMismatch { .. } => (
                ExitStatus::Integrity,
                Some(
                    "if the new content is wanted, put its digest into runtimes/bases.yaml".into(),
                ),
            ),
            Self::Plan(_) | Self::ReadArchive { .. } | Self::NotYet { .. } => {
                (ExitStatus::Findings, None)
            }
            Self::ReadResult { .. } | Self::BadResult { .. } => (ExitStatus::Bug, None),
            Self::CreateFolder { .. }
            | Self::Lock { .. }
            | Self::WriteRecord { .. }
            | Self::Publish { .. }
            | Self::WriteArchive { .. }
            | Self::Inside(_) => (ExitStatus::Host, None),
        };
        let failure = Failure::new(status, self);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}
