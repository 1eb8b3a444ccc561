//! Errors of the library as failures of a command: the exit status, and advice where there is any.

use std::error::Error;
use std::io;

use rnx::access::AccessError;
use rnx::contents::ContentsError;
use rnx::credentials::CredentialError;
use rnx::export::{ExportError, ImportError};
use rnx::failure::{ExitStatus, Failure};
use rnx::gc::GcError;
use rnx::github::LocateError;
use rnx::install::InstallError;
use rnx::list::FindError;
use rnx::record::RecordError;
use rnx::registry::LoadRegistryError;
use rnx::remove::RemoveError;
use rnx::repair::RepairError;
use rnx::verify::VerifyError;
use rnx_archive::UnpackError;
use rnx_spec::registry::{LISTED_MAX, Request, SelectError};
use rnx_store::blob::AddBlobError;
use rnx_store::fetch::{OpenError, ReadAllError};

/// An error that has an exit status.
pub(crate) trait Classified: Error {
    /// Returns the exit status.
    fn status(&self) -> ExitStatus;

    /// Returns what to do next.
    fn hints(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Returns the failure of a command.
pub(crate) fn failure(error: &impl Classified) -> Failure {
    let mut failure = Failure::new(error.status(), &error);
    failure.hints = error.hints();
    if has_cause(error, &[io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded]) {
        failure.hints.push(
            "the disk is full: make room (`rnx runtime gc` shows what can go), or use another with `--base DIR`".to_owned(),
        );
    }
    if has_cause(error, &[io::ErrorKind::ReadOnlyFilesystem]) {
        failure.hints.push("the disk is read-only: use another with `--base DIR`".to_owned());
    }
    if has_cause(error, &[io::ErrorKind::PermissionDenied]) {
        failure.hints.push(
            "if that is a folder of installs, it belongs to another user: use sudo, or your own with `--base DIR`"
                .to_owned(),
        );
    }
    failure
}

/// Whether one of the causes is of such a kind.
fn has_cause(error: &impl Error, kinds: &[io::ErrorKind]) -> bool {
    let mut cause = error.source();
    while let Some(inner) = cause {
        let io = inner.downcast_ref::<io::Error>();
        if io.is_some_and(|io| kinds.contains(&io.kind())) {
            return true;
        }
        cause = inner.source();
    }
    false
}

impl Classified for SelectError {
    fn status(&self) -> ExitStatus {
        ExitStatus::Findings
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::UnknownRuntime { near, .. } if !near.is_empty() => {
                let names: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
                vec![format!("did you mean {}?", names.join(" or "))]
            }
            Self::UnknownRuntime { .. } | Self::AllYanked { .. } => {
                vec!["`rnx runtime list --available` shows what there is".to_owned()]
            }
            Self::Yanked { spec, yank } => match yank.replacement {
                Some(version) => vec![format!("install `{}@{version}` instead", spec.name)],
                None => Vec::new(),
            },
            Self::NoArtifact { available, .. } => match available.first() {
                Some(platform) => {
                    vec![format!("`--platform {platform}` installs that build anyway")]
                }
                None => Vec::new(),
            },
            Self::DefinitionOnly { .. } => {
                vec![
                    "build it where its definition is, and install from there: `cargo xtask try NAME`, then `--registry ./dist/try/registry`".to_owned(),
                    "or ask the registry's maintainers for a release with artifacts".to_owned(),
                ]
            }
            Self::UnknownVersion { request, available } if available.len() > LISTED_MAX => {
                vec![format!("`rnx runtime info {}` shows them all", request.name)]
            }
            Self::UnknownVersion { .. } => Vec::new(),
        }
    }
}

impl Classified for LoadRegistryError {
    fn status(&self) -> ExitStatus {
        match self {
            Self::Read { source, .. } => match source {
                ReadAllError::Open { source: OpenError::File(_), .. } => ExitStatus::Findings,
                ReadAllError::TooLarge { .. } => ExitStatus::Integrity,
                _ => ExitStatus::Network,
            },
            Self::Access { source, .. } => source.status(),
            Self::Parse { .. } => ExitStatus::Integrity,
            Self::Offline { .. } => ExitStatus::Network,
            Self::ReadCopy { .. } => ExitStatus::Host,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Read {
                source: ReadAllError::Open { source: OpenError::File(_), .. }, ..
            } => "name a folder with a registry.json, or the file itself: `--registry ./FOLDER`",
            Self::Read {
                source: ReadAllError::Open { source: OpenError::Status { status, .. }, .. },
                ..
            } if matches!(status.as_u16(), 401 | 403 | 404 | 407) => {
                "look at the address; a private registry wants a token: `rnx registry add NAME URL --token-env VARIABLE`"
            }
            Self::Read { .. } if self.status() == ExitStatus::Network => {
                "look at the address and the network, or use another registry: `--registry URL|FOLDER`; one that is never to be asked goes with `rnx registry remove NAME`"
            }
            Self::Access { source, .. } => return source.hints(),
            Self::Offline { .. } => "leave out `--offline` (or `RNX_OFFLINE`) once: a copy is kept",
            Self::ReadCopy { .. } => "`rnx registry refresh` makes a new one",
            _ => "tell the registry's maintainers, or use another: `--registry URL|FOLDER`",
        };
        vec![hint.to_owned()]
    }
}

impl Classified for AccessError {
    fn status(&self) -> ExitStatus {
        match self {
            Self::Certificates(_) | Self::Options(_) => ExitStatus::Host,
            Self::Credential(_) | Self::Unencrypted { .. } => ExitStatus::Findings,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Certificates(_) => {
                "`SSL_CERT_FILE`, `RNX_CA_BUNDLE` and `ca_bundle` name files of certificates in PEM, `SSL_CERT_DIR` folders of them"
            }
            Self::Options(_) => {
                "look at `SSL_CERT_FILE`, `SSL_CERT_DIR`, `RNX_CA_BUNDLE`, `http_proxy` and `https_proxy`"
            }
            Self::Credential(CredentialError::NotSet { name }) => {
                return vec![format!("set it: `export {name}=…`")];
            }
            Self::Credential(CredentialError::Exposed { path, .. }) => {
                return vec![format!("`chmod 600 {}`", path.display())];
            }
            Self::Credential(_) => "look at the registry's `auth` in the configuration",
            Self::Unencrypted { .. } => "use an `https://` address, or no token for this registry",
        };
        vec![hint.to_owned()]
    }
}

impl Classified for LocateError {
    fn status(&self) -> ExitStatus {
        match self {
            Self::Access(error) => error.status(),
            Self::NoAsset { .. } => ExitStatus::Findings,
            Self::Parse { .. } => ExitStatus::Integrity,
            Self::Ask { .. } | Self::Status { .. } => ExitStatus::Network,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Access(error) => error.hints(),
            Self::Status { status: 401 | 403 | 404, .. } => {
                vec!["the token must be allowed to read the repository's contents".to_owned()]
            }
            Self::NoAsset { .. } => {
                vec!["the registry names a file that is not there; tell its maintainers".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

impl Classified for ContentsError {
    fn status(&self) -> ExitStatus {
        match self {
            Self::Access { source, .. } => source.status(),
            Self::Locate(error) => error.status(),
            Self::Fetch(error) => download_status(error),
            Self::Offline => ExitStatus::Network,
            Self::Parse(_) => ExitStatus::Integrity,
            Self::Folder(_) | Self::Read { .. } => ExitStatus::Host,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Access { source, .. } => source.hints(),
            Self::Locate(error) => error.hints(),
            Self::Fetch(error) => download_hints(error),
            Self::Offline => {
                vec!["leave out `--offline` (or `RNX_OFFLINE`) once: it is kept".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

impl Classified for InstallError {
    fn status(&self) -> ExitStatus {
        match self {
            Self::Download { source, .. } => download_status(source),
            _ if self.is_of_host() => ExitStatus::Host,
            _ => ExitStatus::Integrity,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Space { .. } => {
                vec!["make room, or install elsewhere with `--base DIR`".to_owned()]
            }
            _ if self.status() == ExitStatus::Integrity => {
                vec!["nothing was installed; tell the registry's maintainers".to_owned()]
            }
            Self::Download { source, .. } => download_hints(source),
            _ => Vec::new(),
        }
    }
}

fn download_status(error: &AddBlobError) -> ExitStatus {
    match error {
        AddBlobError::Open { source: OpenError::File(_), .. } => ExitStatus::Findings,
        AddBlobError::Open { .. } | AddBlobError::Read { .. } => ExitStatus::Network,
        AddBlobError::TooLarge { .. }
        | AddBlobError::SizeMismatch { .. }
        | AddBlobError::DigestMismatch { .. } => ExitStatus::Integrity,
        AddBlobError::Write { .. } | AddBlobError::Lock(_) => ExitStatus::Host,
    }
}

fn download_hints(error: &AddBlobError) -> Vec<String> {
    let again = || vec!["run the same command again: it goes on where it stopped".to_owned()];
    match error {
        AddBlobError::Open { source: OpenError::Status { status, .. }, .. }
            if matches!(status.as_u16(), 401 | 403 | 407) =>
        {
            vec![
                "the registry may want a token: `auth: {token_env: …}` in its configuration"
                    .to_owned(),
            ]
        }
        AddBlobError::Open { source, .. } if !source.is_transient() => {
            vec!["the registry names a file that is not there; tell its maintainers".to_owned()]
        }
        AddBlobError::Open { .. } | AddBlobError::Read { .. } => again(),
        _ => Vec::new(),
    }
}

/// Returns a request as it is typed: some ranges mean something else to a shell.
fn typed(request: &Request) -> String {
    let text = request.to_string();
    if text.contains(['<', '>', '*', '~', '^']) { format!("'{text}'") } else { text }
}

impl Classified for FindError {
    fn status(&self) -> ExitStatus {
        match self {
            Self::NotInstalled { .. } => ExitStatus::Findings,
            Self::Record(error) => error.status(),
        }
    }

    fn hints(&self) -> Vec<String> {
        let Self::NotInstalled { request, versions, near } = self else { return Vec::new() };
        let mut hints = Vec::new();
        if !versions.is_empty() {
            let versions: Vec<String> = versions.iter().map(ToString::to_string).collect();
            hints.push(format!("installed are: {}", versions.join(", ")));
        } else if !near.is_empty() {
            let names: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
            hints.push(format!("did you mean {}?", names.join(" or ")));
            return hints;
        }
        hints.push(format!("install it: `rnx runtime install {}`", typed(request)));
        hints
    }
}

impl Classified for RecordError {
    fn status(&self) -> ExitStatus {
        match self {
            Self::Parse { .. } => ExitStatus::Integrity,
            _ => ExitStatus::Host,
        }
    }
}

impl Classified for RemoveError {
    fn status(&self) -> ExitStatus {
        match self {
            Self::Gone { .. } | Self::InUse { .. } => ExitStatus::Findings,
            _ => ExitStatus::Host,
        }
    }

    fn hints(&self) -> Vec<String> {
        let Self::InUse { holders, .. } = self else { return Vec::new() };
        let mut hints: Vec<String> =
            holders.iter().map(|holder| format!("a job runs in it: {holder}")).collect();
        hints.push("end it, or say `--force`, which waits for it".to_owned());
        hints
    }
}

impl Classified for VerifyError {
    fn status(&self) -> ExitStatus {
        match self {
            Self::Record(error) => error.status(),
            Self::ParseIndex { .. } => ExitStatus::Integrity,
            Self::ReadIndex { .. } | Self::Read { .. } => ExitStatus::Host,
        }
    }
}

impl Classified for GcError {
    fn status(&self) -> ExitStatus {
        match self {
            Self::Record(error) => error.status(),
            Self::Remove(error) => error.status(),
            Self::Lock(_) | Self::Look { .. } => ExitStatus::Host,
        }
    }
}

impl Classified for ExportError {
    fn status(&self) -> ExitStatus {
        match self {
            Self::Damaged { .. } => ExitStatus::Integrity,
            Self::Verify(error) => error.status(),
            Self::Record(error) => error.status(),
            Self::Write { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => {
                ExitStatus::Findings
            }
            _ => ExitStatus::Host,
        }
    }

    fn hints(&self) -> Vec<String> {
        crate::cli::export::hints(self)
    }
}

impl Classified for ImportError {
    fn status(&self) -> ExitStatus {
        match self {
            Self::Read { .. } | Self::Look { .. } | Self::Name { .. } | Self::Part { .. } => {
                ExitStatus::Findings
            }
            Self::Digest { .. } => ExitStatus::Integrity,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Name { .. } => vec!["keep the name that the file had in its release".to_owned()],
            Self::Digest { .. } => vec!["copy the file again: nothing was installed".to_owned()],
            Self::Part { .. } => vec!["copy all parts of the release into one folder".to_owned()],
            Self::Read { .. } | Self::Look { .. } => Vec::new(),
        }
    }
}

impl Classified for RepairError {
    fn status(&self) -> ExitStatus {
        match self {
            Self::Verify(error) => error.status(),
            Self::Record(error) => error.status(),
            Self::Changed { .. } => ExitStatus::Findings,
            Self::NoMembers { .. } => ExitStatus::Integrity,
            Self::Fetch { source, .. } => match source.as_ref() {
                UnpackError::GetMember { .. } => ExitStatus::Network,
                UnpackError::Write { .. } | UnpackError::Dest { .. } => ExitStatus::Host,
                _ => ExitStatus::Integrity,
            },
            Self::Lock(_) | Self::Write { .. } | Self::Flush { .. } => ExitStatus::Host,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Changed { .. } => vec!["look again: `rnx runtime verify`".to_owned()],
            Self::Fetch { spec, .. } | Self::NoMembers { spec } => {
                vec![format!("`rnx runtime install {spec} --force` installs the whole again")]
            }
            _ => Vec::new(),
        }
    }
}
