//! What a clone and its remote say, read once before a release is decided. ⚡

use std::collections::BTreeMap;

use rnx_spec::Tag;
use rnx_spec::registry::{self, ParseRegistryError, Registry};

use super::registry_branch::{PushRegistryError, RegistryBranch, Tip};
use crate::git::{Git, GitError, RemoteRefs};

/// The remote's tags lie here, and not among a person's own, where an old one would stand in their way.
const REMOTE_TAGS: &str = "refs/joblet/tags";

/// Everything that a release depends on, besides the definitions themselves.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The commit that is checked out.
    pub head: String,
    /// The branch that is checked out; `None` where none is.
    pub branch: Option<String>,
    /// Files that differ from the commit, and files that git does not know.
    pub changed_paths: Vec<String>,
    pub remote: String,
    pub remote_refs: RemoteRefs,
    /// How many commits only this clone has, and only the remote's default branch.
    pub ahead: u64,
    pub behind: u64,
    /// The tags of releases in this clone, with the commits that they name.
    pub tags: BTreeMap<Tag, String>,
    /// The same on the remote.
    pub remote_tags: BTreeMap<Tag, String>,
    /// The registry on the remote's default branch.
    pub registry: Option<Registry>,
    /// Whether git is configured to sign tags.
    pub signs_tags: bool,
}

/// The facts could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadFactsError {
    #[error(transparent)]
    Git(#[from] GitError),
    #[error("failed to read the registry of the remote")]
    Registry { source: PushRegistryError },
    #[error("the registry of the remote is none")]
    Parse { source: ParseRegistryError },
    #[error("the remote `{remote}` does not say which branch is its default one")]
    NoDefaultBranch { remote: String },
}

/// Asks the clone and its remote; changes nothing that a person would see.
pub fn read(git: &Git, remote: &str) -> Result<Facts, ReadFactsError> {
    let remote_refs = git.remote_refs(remote)?;
    let no_branch = || ReadFactsError::NoDefaultBranch { remote: remote.to_owned() };
    let default = remote_refs.default_branch.clone().ok_or_else(no_branch)?;
    let branch = RegistryBranch { git: git.clone(), remote: remote.to_owned(), branch: default };
    let Tip { commit: tip, text } =
        branch.read().map_err(|source| ReadFactsError::Registry { source })?;
    let registry = text.map(|text| registry::parse(text.as_bytes()));
    let registry = registry.transpose().map_err(|source| ReadFactsError::Parse { source })?;
    let status = ["--no-optional-locks", "status", "--porcelain=v1", "-z", "--untracked-files=all"];
    let changed = git.ask("look for changed files", status)?;
    let counted = git.ask(
        "compare with the remote",
        ["rev-list", "--left-right", "--count", &format!("HEAD...{tip}")],
    )?;
    let (ahead, behind) = counted.split_once('\t').unwrap_or(("0", "0"));
    let branch = git.ask("find the branch", ["rev-parse", "--abbrev-ref", "HEAD"])?;
    Ok(Facts {
        head: git.ask("find the commit", ["rev-parse", "--verify", "HEAD"])?,
        branch: (branch != "HEAD").then_some(branch),
        changed_paths: changed_paths(&changed),
        remote: remote.to_owned(),
        ahead: ahead.parse().unwrap_or(u64::MAX),
        behind: behind.parse().unwrap_or(u64::MAX),
        tags: tags(git, "refs/tags")?,
        remote_tags: tags(git, REMOTE_TAGS)?,
        registry,
        remote_refs,
        // Nothing is printed, and git says 1, where nothing is configured.
        signs_tags: git.ask(
            "read the configuration",
            ["config", "--type=bool", "--default=false", "tag.gpgSign"],
        )? == "true",
    })
}

/// Returns the tags of releases below `prefix` with the commits that they name.
fn tags(git: &Git, prefix: &str) -> Result<BTreeMap<Tag, String>, GitError> {
    // An annotated tag names its commit by `*objectname`, another one is the commit.
    let format = "--format=%(refname)\t%(*objectname)\t%(objectname)";
    let listed = git.ask("list the tags", ["for-each-ref", format, prefix])?;
    Ok(listed
        .lines()
        .filter_map(|line| {
            let (tag, objects) = line.split_once('\t')?;
            let (peeled, own) = objects.split_once('\t')?;
            let commit = if peeled.is_empty() { own } else { peeled };
            let tag = tag.strip_prefix(prefix)?.strip_prefix('/')?;
            Some((tag.parse().ok()?, commit.to_owned()))
        })
        .collect())
}

/// Reads `git status --porcelain=v1 -z`: two letters, a space, a path; a renamed file is followed by its old path.
fn changed_paths(status: &str) -> Vec<String> {
    let mut paths = Vec::new();
    let mut fields = status.split_terminator('\0');
    while let Some(field) = fields.next() {
        paths.extend(field.get(3..).map(str::to_owned));
        if field.starts_with('R') || field.starts_with('C') {
            fields.next();
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renames_are_one_change() {
        let status = " M a b\0R  new\0old\0?? c\0";
        assert_eq!(changed_paths(status), ["a b", "new", "c"]);
    }
}
