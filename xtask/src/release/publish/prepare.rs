//! From a tag of this clone to the release that it makes: the commit, the time, the files, the notes. ⚡

use std::path::Path;

use rnx_spec::lock::{self, Change, PlatformLock};
use rnx_spec::registry::Release;
use rnx_spec::source::UrlReference;
use rnx_spec::{RuntimeSpec, Tag, Version};

use super::Wanted;
use super::collect::{self, CollectError, Facts, Tagged};
use super::notes::{self, About};
use crate::git::{Git, GitError};

/// A release as it should be, and the entries of a registry that it makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    pub wanted: Wanted,
    pub releases: Vec<Release>,
}

/// The commit of a tag, and when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagFacts {
    pub commit: String,
    /// In RFC 3339.
    pub made_at: String,
}

/// A tag makes no release here.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    #[error(transparent)]
    Git(Box<GitError>),
    #[error("this clone has no tag `{tag}`")]
    NoTag { tag: Tag, source: Box<GitError> },
    #[error("`{tag}` is the commit {commit}, and {head} is checked out")]
    OtherCommit { tag: Tag, commit: String, head: String },
    #[error("there are changes that are in no commit: {}", paths.join(", "))]
    Changed { paths: Vec<String> },
    #[error("git says of the commit of `{tag}` that it was made at `{time}`, which is no time")]
    Time { tag: Tag, time: String },
    #[error("failed to collect the release")]
    Collect { source: Box<CollectError> },
}

/// Reads a tag, and checks that what it names is checked out, unchanged.
pub fn read_tag(git: &Git, tag: &Tag) -> Result<TagFacts, PrepareError> {
    let commit = format!("{}^{{commit}}", tag.reference());
    let commit = git
        .ask("find the tag", ["rev-parse", "--verify", "--quiet", commit.as_str()])
        .map_err(|source| PrepareError::NoTag { tag: tag.clone(), source: Box::new(source) })?;
    let ask = |doing, args: &[&str]| {
        git.ask(doing, args.iter().copied()).map_err(|error| PrepareError::Git(Box::new(error)))
    };
    let head = ask("find what is checked out", &["rev-parse", "HEAD"])?;
    if head != commit {
        return Err(PrepareError::OtherCommit { tag: tag.clone(), commit, head });
    }
    let status = ["status", "--porcelain", "--untracked-files=all", "--", "runtimes"];
    let changed = ask("look for changes", &status)?;
    if !changed.is_empty() {
        let paths = changed.lines().filter_map(|line| line.get(3..)).map(str::to_owned).collect();
        return Err(PrepareError::Changed { paths });
    }
    // Not the tag's time: a workflow's checkout has the commit alone, and the release must be the same everywhere.
    let show = ["show", "--no-patch", "--format=%ct", &commit];
    let time = ask("find when the commit was made", &show)?;
    let made_at = time.parse().ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let made_at = made_at.ok_or_else(|| PrepareError::Time { tag: tag.clone(), time })?;
    Ok(TagFacts { commit, made_at: made_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string() })
}

/// Returns the release that a tag makes of what is in `dist`.
pub fn prepare(
    git: &Git,
    (tag, facts): (&Tag, &TagFacts),
    runtimes: &[Tagged],
    dist: &Path,
    url: &dyn Fn(&str) -> Option<UrlReference>,
) -> Result<Prepared, PrepareError> {
    let known = Facts { released_at: &facts.made_at, commit: &facts.commit, url };
    let collected = collect::collect(dist, runtimes, &known)
        .map_err(|source| PrepareError::Collect { source: Box::new(source) })?;
    let mut about = Vec::new();
    for release in &collected.releases {
        let Some(runtime) = runtimes.iter().find(|one| one.manifest.spec() == release.spec) else {
            continue;
        };
        let changes =
            changes(git, tag, runtime).map_err(|error| PrepareError::Git(Box::new(error)))?;
        about.push(About { manifest: &runtime.manifest, release, changes });
    }
    let wanted = Wanted {
        tag: tag.clone(),
        commit: facts.commit.clone(),
        notes: notes::notes(&about, &collected.files),
        files: collected.files,
    };
    Ok(Prepared { wanted, releases: collected.releases })
}

/// Returns what differs between the lock files of a runtime and of its last version before that has a tag here.
fn changes(
    git: &Git,
    tag: &Tag,
    runtime: &Tagged,
) -> Result<Option<(Version, Vec<Change>)>, GitError> {
    let spec = runtime.manifest.spec();
    let Some((version, before_tag)) = before(git, &spec)? else { return Ok(None) };
    let file =
        |tag: &Tag| format!("{}:runtimes/{}/{}", tag.reference(), runtime.folder, lock::FILE);
    let (Some(was), Some(is)) = (read_lock(git, &file(&before_tag)), read_lock(git, &file(tag)))
    else {
        return Ok(None);
    };
    let both = runtime
        .builds
        .iter()
        .find_map(|platform| Some((was.platforms.get(platform)?, is.platforms.get(platform)?)));
    let differing = |(was, is): (&PlatformLock, &PlatformLock)| (version, lock::changes(was, is));
    Ok(both.map(differing))
}

/// Returns the highest version below that has a tag, and the tag.
fn before(git: &Git, spec: &RuntimeSpec) -> Result<Option<(Version, Tag)>, GitError> {
    let listed = git.ask("list the tags", ["tag", "--list"])?;
    let tags = listed.lines().filter_map(|line| line.parse::<Tag>().ok());
    let earlier = tags.filter(|tag| tag.covers(&spec.name).is_some());
    let earlier = earlier.map(|tag| (tag.version(), tag)).filter(|(v, _)| *v < spec.version);
    Ok(earlier.max())
}

/// Returns a lock file of a commit; nothing where there is none that can be read, since notes can do without.
fn read_lock(git: &Git, blob: &str) -> Option<lock::LockFile> {
    let text = git.ask("read a lock file", ["cat-file", "blob", blob]).ok()?;
    lock::parse(&format!("{text}\n")).ok()
}
