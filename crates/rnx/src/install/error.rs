//! Why an install failed.

use std::io;
use std::path::PathBuf;

use rnx_archive::unpack::UnpackError;
use rnx_spec::RuntimeSpec;
use rnx_spec::runtime_yml::ParseRuntimeYmlError;
use rnx_store::blob::AddBlobError;
use rnx_store::guard::LockError;

use crate::alias::AliasError;
use crate::record::RecordError;

/// An install that failed. What was installed before is as it was.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error("failed to make the folder `{}`", path.display())]
    MakeFolder { path: PathBuf, source: io::Error },
    #[error("failed to wait for another install of the same runtime")]
    Lock(#[source] LockError),
    #[error(
        "`{}` has too little space: {needed_bytes} bytes are needed, {free_bytes} are free",
        path.display()
    )]
    Space { path: PathBuf, needed_bytes: u64, free_bytes: u64 },
    #[error("failed to find out how much space `{}` has", path.display())]
    AskSpace { path: PathBuf, source: io::Error },
    #[error("failed to download `{spec}`")]
    Download { spec: RuntimeSpec, source: Box<AddBlobError> },
    #[error("failed to unpack `{spec}`")]
    Unpack { spec: RuntimeSpec, source: Box<UnpackError> },
    #[error("the archive of `{spec}` has no `runtime.yml` at its root")]
    NoRuntimeYml { spec: RuntimeSpec, source: io::Error },
    #[error("the `runtime.yml` of `{spec}` cannot be read")]
    RuntimeYml { spec: RuntimeSpec, source: Box<ParseRuntimeYmlError> },
    #[error("the archive of `{spec}` holds `{found}`")]
    OtherRuntime { spec: RuntimeSpec, found: String },
    #[error("failed to flush `{}` to disk", path.display())]
    Flush { path: PathBuf, source: io::Error },
    #[error("failed to move the install to `{}`", path.display())]
    Place { path: PathBuf, source: io::Error },
    #[error("failed to keep the record of the install")]
    Record(#[source] RecordError),
    #[error("`{spec}` is installed, but its alias is not set")]
    Alias { spec: RuntimeSpec, source: AliasError },
}

impl InstallError {
    /// Whether it is about this host, and not about what was downloaded.
    pub fn is_of_host(&self) -> bool {
        match self {
            Self::Unpack { source, .. } => matches!(
                source.as_ref(),
                UnpackError::Open { .. }
                    | UnpackError::ReadArchive { .. }
                    | UnpackError::Dest { .. }
                    | UnpackError::DestNotEmpty { .. }
                    | UnpackError::Write { .. }
            ),
            Self::Download { source, .. } => {
                matches!(source.as_ref(), AddBlobError::Write { .. } | AddBlobError::Lock(_))
            }
            Self::NoRuntimeYml { .. } | Self::RuntimeYml { .. } | Self::OtherRuntime { .. } => {
                false
            }
            _ => true,
        }
    }
}
