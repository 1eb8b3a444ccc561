//! What publishing asks of a forge, and how a forge fails.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rnx_spec::Digest;
use rnx_spec::tag::Tag;

use super::{File, RemoteAsset, RemoteRelease, Wanted};

/// Where releases are: GitHub, or a folder.
///
/// Every call does what it says at most once. What became of a call that failed is found out by asking
/// [`Forge::releases`] again; nothing repeats a call blindly.
pub trait Forge {
    /// Returns the commit that a tag names; `None` if there is no such tag.
    fn tag_commit(&mut self, tag: &Tag) -> Result<Option<String>, ForgeError>;
    /// Returns the releases of a tag, drafts too.
    fn releases(&mut self, tag: &Tag) -> Result<Vec<RemoteRelease>, ForgeError>;
    /// Makes a draft without files, and returns its number.
    fn create_draft(&mut self, wanted: &Wanted) -> Result<u64, ForgeError>;
    /// Deletes a draft.
    fn delete_draft(&mut self, id: u64) -> Result<(), ForgeError>;
    /// Uploads a file; `on_bytes` hears how many were sent so far.
    fn upload(
        &mut self,
        release: &RemoteRelease,
        file: &File,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<RemoteAsset, ForgeError>;
    /// Deletes a file of a draft.
    fn delete_asset(&mut self, asset: u64) -> Result<(), ForgeError>;
    /// Fetches a file and returns its digest.
    fn fetch_digest(&mut self, asset: u64) -> Result<Digest, ForgeError>;
    /// Makes a draft visible, with its notes.
    fn publish(&mut self, release: &RemoteRelease, wanted: &Wanted) -> Result<(), ForgeError>;
}

/// A forge did not do what it was asked, or said nothing that can be relied on.
#[derive(Debug, thiserror::Error)]
pub enum ForgeError {
    #[error("failed to {doing}")]
    Unreachable { doing: String, source: Box<dyn Error + Send + Sync> },
    #[error("failed to {doing}: the server answered {status}: {message}")]
    Answered {
        doing: String,
        status: u16,
        message: String,
        /// Machine-readable reasons, for example `already_exists`.
        codes: Vec<String>,
        /// How long the server asks to be left alone.
        wait: Option<Duration>,
    },
    #[error("failed to {doing}: the server's answer is not as expected")]
    Answer { doing: String, source: serde_json::Error },
    #[error("failed to {doing}: the server took no byte for {seconds} seconds")]
    Stalled { doing: String, seconds: u64 },
    #[error("the server wants files sent to `{url}`, which the token is not for")]
    Untrusted { url: String },
    #[error("the server does not list {what} yet")]
    NotListed { what: String },
    #[error("failed to read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{name}` is not what was built: expected {expected}, it is {actual}")]
    Changed { name: String, expected: Digest, actual: Digest },
    #[error("failed to write `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
}

impl ForgeError {
    /// Returns how long to wait before looking again at what the forge has; `None` where that would not help.
    ///
    /// `Some(None)` leaves the time to the caller.
    pub fn retry(&self) -> Option<Option<Duration>> {
        match self {
            Self::Unreachable { .. } | Self::Stalled { .. } | Self::NotListed { .. } => Some(None),
            Self::Answered { status, wait, codes, message, .. } => match status {
                408 | 429 | 500..=599 => Some(*wait),
                403 if wait.is_some() || message.contains("rate limit") => Some(*wait),
                // Someone made it meanwhile, perhaps this program: its answer was lost.
                422 if codes.iter().any(|code| code == "already_exists") => Some(None),
                _ => None,
            },
            Self::Answer { .. }
            | Self::Untrusted { .. }
            | Self::Read { .. }
            | Self::Changed { .. }
            | Self::Write { .. } => None,
        }
    }
}
