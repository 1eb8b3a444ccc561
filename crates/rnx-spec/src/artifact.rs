//! The files of a release: their names, and the index of what an archive holds.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Digest, Platform, RuntimeSpec};

/// An artifact over this many bytes is cut into parts: GitHub refuses assets of 2 GiB.
pub const PART_BYTES_MAX: u64 = 1_900 * 1024 * 1024;

/// The time that every entry of an archive carries, in seconds since 1970: that of the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceDateEpoch(pub u64);

/// Returns the file name of the definition's archive: `<name>-<version>.tar.gz`.
pub fn definition_file(spec: &RuntimeSpec) -> String {
    format!("{}.tar.gz", spec.folder())
}

/// Returns the file name of a built runtime: `<name>-<version>-<platform>.tar.gz`.
pub fn archive_file(spec: &RuntimeSpec, platform: Platform) -> String {
    format!("{}-{platform}.tar.gz", spec.folder())
}

/// Returns the file name of an archive's index: `<name>-<version>-<platform>.files.json`.
pub fn index_file(spec: &RuntimeSpec, platform: Platform) -> String {
    format!("{}-{platform}.files.json", spec.folder())
}

/// Returns the file name of an archive's SBOM: `<name>-<version>-<platform>.sbom.json`.
pub fn sbom_file(spec: &RuntimeSpec, platform: Platform) -> String {
    format!("{}-{platform}.sbom.json", spec.folder())
}

/// The index of an archive: every entry in archive order, and the gzip members that carry them.
///
/// Also the per-install file manifest that a host keeps in `.state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileIndex {
    /// The version of this format: 1.
    pub schema_version: u32,
    /// The gzip members in archive order; together they are the whole archive. Empty where the
    /// archive was written by another program, as one gzip stream.
    pub members: Vec<Member>,
    pub entries: Vec<IndexEntry>,
}

/// One gzip member (RFC 1952) of an archive: it can be fetched, verified and inflated by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The member's first byte in the archive.
    pub offset: u64,
    pub size_bytes: u64,
    pub unpacked_bytes: u64,
    /// The digest of the member's compressed bytes.
    pub sha256: Digest,
}

/// One entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexEntry {
    /// The path inside the archive, `/`-separated, without a leading or final `/`.
    pub path: String,
    #[serde(flatten)]
    pub kind: EntryKind,
    /// The index of the first member that carries this entry; 0 where there are no members.
    pub member: u32,
}

/// What an entry is; nothing else is ever in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum EntryKind {
    Dir,
    File { mode: Mode, size_bytes: u64, sha256: Digest },
    Symlink { target: String },
}

/// The mode of a file: the only two an archive knows. Written `0644`, `0755`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Mode {
    Plain,
    Executable,
}

/// A text that is no [`Mode`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not `0644` or `0755`")]
pub struct ParseModeError {
    pub text: String,
}

impl Mode {
    /// Returns the permission bits: `0o644` or `0o755`.
    pub const fn bits(self) -> u32 {
        match self {
            Self::Plain => 0o644,
            Self::Executable => 0o755,
        }
    }
}

impl FromStr for Mode {
    type Err = ParseModeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "0644" => Ok(Self::Plain),
            "0755" => Ok(Self::Executable),
            _ => Err(ParseModeError { text: text.to_owned() }),
        }
    }
}

impl TryFrom<String> for Mode {
    type Error = ParseModeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Mode> for String {
    fn from(mode: Mode) -> Self {
        mode.to_string()
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.bits())
    }
}
