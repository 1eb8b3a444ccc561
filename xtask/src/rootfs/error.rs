//! Why there is no base, and what to do about it.

use std::io;
use std::path::PathBuf;

use rnx::failure::{ExitStatus, Failure};
use rnx_spec::Arch;
use rnx_store::blob::AddBlobError;
use rnx_store::fetch::{FetchOptionsError, OpenError, ReadAllError};

use crate::host::BinfmtProblem;
use crate::rootfs::identity::NoRanges;
use crate::rootfs::inside::InsideError;
use crate::rootfs::namespace::NamespaceError;
use crate::rootfs::oci::OciError;
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
    #[error("`{url}` is neither a URL nor a path in the repository")]
    Url { url: String },
    #[error("the fetch options are unusable")]
    Options { source: FetchOptionsError },
    #[error("failed to fetch the base's archive")]
    Fetch { source: AddBlobError },
    #[error(transparent)]
    Oci(#[from] OciError),
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error("failed to work on the base's tree: {said}")]
    Tree { is_archive: bool, said: String },
    #[error("failed to make base `{base}`")]
    Debootstrap { base: String, source: NamespaceError },
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
            Self::Debootstrap { source: NamespaceError::Failed { .. }, .. } => (
                ExitStatus::Network,
                Some(
                    "if the mirror cannot be reached or lacks the suite, name another: \
                     RNX_DEBIAN_MIRROR, or `mirror:` in runtimes/bases.yaml"
                        .into(),
                ),
            ),
            Self::Tree { is_archive: true, .. } => (ExitStatus::Integrity, None),
            Self::Debootstrap { source: error, .. } | Self::Namespace(error) => {
                (ExitStatus::Host, error.fix())
            }
            Self::Tool(error) => (ExitStatus::Host, error.fix()),
            Self::Fetch { source } => fetch_status(source),
            Self::Oci(error) => oci_status(error),
            Self::Plan(_) | Self::Url { .. } | Self::Options { .. } => (ExitStatus::Findings, None),
            Self::ReadResult { .. } | Self::BadResult { .. } => (ExitStatus::Bug, None),
            Self::Tree { is_archive: false, .. }
            | Self::CreateFolder { .. }
            | Self::Lock { .. }
            | Self::WriteRecord { .. }
            | Self::Publish { .. }
            | Self::ReadArchive { .. }
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

fn fetch_status(error: &AddBlobError) -> (ExitStatus, Option<String>) {
    match error {
        AddBlobError::Open { source, .. } => (open_status(source), None),
        AddBlobError::Read { .. } => (ExitStatus::Network, None),
        AddBlobError::TooLarge { .. }
        | AddBlobError::SizeMismatch { .. }
        | AddBlobError::DigestMismatch { .. } => (ExitStatus::Integrity, Some(new_content())),
        AddBlobError::Write { .. } | AddBlobError::Lock(_) => (ExitStatus::Host, None),
    }
}

/// A file that is not there is the user's to fix; a server that does not answer is not.
fn open_status(error: &OpenError) -> ExitStatus {
    match error {
        OpenError::File(_) => ExitStatus::Findings,
        _ => ExitStatus::Network,
    }
}

fn oci_status(error: &OciError) -> (ExitStatus, Option<String>) {
    match error {
        OciError::Blob { source } => fetch_status(source),
        OciError::Ask { source: ReadAllError::TooLarge { .. } }
        | OciError::SizeMismatch { .. }
        | OciError::DigestMismatch { .. } => (ExitStatus::Integrity, Some(new_content())),
        OciError::Ask { .. }
        | OciError::Status { .. }
        | OciError::Challenge { .. }
        | OciError::TokenUrl { .. }
        | OciError::NoToken { .. } => (ExitStatus::Network, None),
        OciError::Reference(_)
        | OciError::Url { .. }
        | OciError::Options { .. }
        | OciError::Document { .. }
        | OciError::NestedIndex { .. } => (ExitStatus::Findings, None),
    }
}

fn new_content() -> String {
    "if the new content is wanted, put its digest into runtimes/bases.yaml".to_owned()
}
