//! Publishing a tag as a plan: what a forge has beside what it should have becomes steps, each safe to repeat.
//!
//! Nothing of a release is visible before its last step but one: a draft is filled, what the forge stored is compared
//! with what was built, then the draft is published, and last the registry names it. Whatever moment a publisher is
//! killed at, [`plan`] on what it left gives the steps that are missing, and none that uploads again what is right.

pub mod collect;
pub mod folder;
pub mod forge;
pub mod gather;
pub mod notes;
pub mod prepare;

pub mod run;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use rnx_spec::Digest;
use rnx_spec::tag::Tag;

/// A release as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub tag: Tag,
    /// The commit that the tag names.
    pub commit: String,
    /// In Markdown.
    pub notes: String,
    /// The files by name, in the order that they are uploaded in.
    pub files: Vec<File>,
}

/// A file of a release, here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub name: String,
    pub content: Content,
    pub digest: Digest,
    pub size_bytes: u64,
}

/// Where a file's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Path(PathBuf),
    Bytes(Vec<u8>),
}

/// A release as a forge has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteRelease {
    pub id: u64,
    /// Not visible to users yet.
    pub draft: bool,
    /// The forge lets nobody change it any more.
    pub immutable: bool,
    /// The page that people see.
    pub page: String,
    pub assets: Vec<RemoteAsset>,
}

/// A file of a release, on a forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteAsset {
    pub id: u64,
    pub name: String,
    /// Its upload ended; what broke off stays listed without bytes to rely on.
    pub complete: bool,
    pub size_bytes: u64,
    /// What the forge says the bytes are; older servers do not say.
    pub digest: Option<Digest>,
}

/// One step of publishing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    CreateDraft {
        tag: Tag,
    },
    /// An empty draft of the same tag, which a publisher made that lost a race.
    DeleteDraft {
        id: u64,
    },
    /// What a broken upload left.
    DeleteLeftover {
        asset: u64,
        name: String,
    },
    Upload {
        name: String,
        size_bytes: u64,
        digest: Digest,
    },
    /// What the forge has is read again and compared; what it tells no digest of is fetched and hashed.
    Compare {
        files: usize,
    },
    Publish {
        tag: Tag,
    },
}

/// What a forge has contradicts what should be there. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error(
        "the release `{tag}` has other bytes under the same name, and a published version never changes: {}",
        conflicts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    Conflict { tag: Tag, draft: Option<String>, conflicts: Vec<Conflict> },
    #[error("the draft of `{tag}` has files that this release has not: {}", names.join(", "))]
    Unexpected { tag: Tag, page: String, names: Vec<String> },
    #[error("the release `{tag}` is published and cannot be changed, but it lacks {}", names.join(", "))]
    Immutable { tag: Tag, names: Vec<String> },
}

/// A file that is on the forge with other bytes than here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    pub name: String,
    pub here: (Digest, u64),
    pub there: (Option<Digest>, u64),
}

/// Returns the release that is to be completed: what is published, else the oldest draft.
pub fn chosen(remote: &[RemoteRelease]) -> Option<&RemoteRelease> {
    let published = remote.iter().find(|release| !release.draft);
    published.or_else(|| remote.iter().min_by_key(|release| release.id))
}

/// Returns the steps that lead from what the forge has of a tag to what it should have.
///
/// Without steps, everything is published.
pub fn plan(wanted: &Wanted, remote: &[RemoteRelease]) -> Result<Vec<Step>, PlanError> {
    let target = chosen(remote);
    let id = target.map(|release| release.id);
    let surplus =
        |other: &&RemoteRelease| other.draft && other.assets.is_empty() && Some(other.id) != id;
    let mut steps: Vec<Step> =
        remote.iter().filter(surplus).map(|other| Step::DeleteDraft { id: other.id }).collect();
    let Some(target) = target else {
        steps.push(Step::CreateDraft { tag: wanted.tag.clone() });
        steps.extend(wanted.files.iter().map(upload));
        return Ok(ending(wanted, steps));
    };
    unexpected(wanted, target)?;
    let (mut conflicts, mut missing, mut unknown) = (Vec::new(), Vec::new(), false);
    for file in &wanted.files {
        match target.assets.iter().find(|asset| asset.name == file.name) {
            None => {
                missing.push(file.name.clone());
                steps.push(upload(file));
            }
            Some(asset) if !asset.complete => {
                missing.push(file.name.clone());
                let name = asset.name.clone();
                steps.push(Step::DeleteLeftover { asset: asset.id, name });
                steps.push(upload(file));
            }
            Some(asset) => match asset.digest {
                Some(digest) if digest == file.digest => {}
                None if asset.size_bytes == file.size_bytes => unknown = true,
                there => conflicts.push(Conflict {
                    name: file.name.clone(),
                    here: (file.digest, file.size_bytes),
                    there: (there, asset.size_bytes),
                }),
            },
        }
    }
    if !conflicts.is_empty() {
        let draft = target.draft.then(|| target.page.clone());
        return Err(PlanError::Conflict { tag: wanted.tag.clone(), draft, conflicts });
    }
    if target.immutable && !missing.is_empty() {
        return Err(PlanError::Immutable { tag: wanted.tag.clone(), names: missing });
    }
    if target.draft {
        return Ok(ending(wanted, steps));
    }
    if unknown || !missing.is_empty() {
        steps.push(Step::Compare { files: wanted.files.len() });
    }
    Ok(steps)
}

/// A draft holds what this release is made of, and nothing that nobody checked.
fn unexpected(wanted: &Wanted, target: &RemoteRelease) -> Result<(), PlanError> {
    let known: BTreeSet<&str> = wanted.files.iter().map(|file| file.name.as_str()).collect();
    let others = target.assets.iter().filter(|asset| !known.contains(asset.name.as_str()));
    let names: Vec<String> = others.map(|asset| asset.name.clone()).collect();
    if !target.draft || names.is_empty() {
        return Ok(());
    }
    Err(PlanError::Unexpected { tag: wanted.tag.clone(), page: target.page.clone(), names })
}

fn upload(file: &File) -> Step {
    Step::Upload { name: file.name.clone(), size_bytes: file.size_bytes, digest: file.digest }
}

fn ending(wanted: &Wanted, mut steps: Vec<Step>) -> Vec<Step> {
    steps.push(Step::Compare { files: wanted.files.len() });
    steps.push(Step::Publish { tag: wanted.tag.clone() });
    steps
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateDraft { tag } => write!(f, "create the draft release `{tag}`"),
            Self::DeleteDraft { id } => write!(f, "delete the empty draft {id} of the same tag"),
            Self::DeleteLeftover { name, .. } => {
                write!(f, "delete what a broken upload left of {name}")
            }
            Self::Upload { name, size_bytes, digest } => {
                write!(f, "upload {name} ({size_bytes} bytes, {digest})")
            }
            Self::Compare { files } => {
                write!(f, "compare the digests of {files} files with what the forge has")
            }
            Self::Publish { tag } => write!(f, "publish the release `{tag}`"),
        }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (digest, size) = self.here;
        write!(f, "{} is {digest} ({size} bytes) here and ", self.name)?;
        match self.there {
            (Some(digest), size) => write!(f, "{digest} ({size} bytes) there"),
            (None, size) => write!(f, "has {size} bytes there"),
        }
    }
}

#[cfg(test)]
mod tests;
