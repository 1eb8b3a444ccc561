//! The steps of a release, decided as data and then carried out: edit, commit, tag, push.

use std::fmt;
use std::io;
use std::path::PathBuf;

use rnx_spec::manifest::{self, Bump, BumpError};
use rnx_spec::{RuntimeName, RuntimeSpec, Tag, Version};

use super::facts::Facts;
use crate::definitions::{Definition, RUNTIMES};
use crate::git::{Git, GitError};

/// More than three tags in one push start no workflow on GitHub.
const TAGS_PER_PUSH: usize = 3;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// What the manifests say.
    AsWritten,
    /// The next version after what each manifest says.
    Bumped(Bump),
    /// One version for every runtime, under one tag.
    All(Version),
}

/// One step; every one is repeated without harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    SetVersion { path: PathBuf, spec: RuntimeSpec, from: Version, text: String },
    Commit { message: String, paths: Vec<PathBuf> },
    Tag { tag: Tag, message: String, signed: bool },
    Push { remote: String, refs: Vec<String> },
}

/// A step could not be decided.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    #[error("failed to change the version in `{}`", path.display())]
    Bump { path: PathBuf, source: BumpError },
    #[error("{spec} has no next version")]
    NoNext { spec: RuntimeSpec },
    #[error("failed to find what changed since the last release")]
    History { source: GitError },
}

/// A step could not be carried out. Those before it were.
#[derive(Debug, thiserror::Error)]
pub enum CarryOutError {
    #[error("failed to write the manifest")]
    Write { source: io::Error },
    #[error("failed to write the message of a tag or a commit")]
    Scratch { source: io::Error },
    #[error(transparent)]
    Git(GitError),
    #[error("nothing was released: the push failed")]
    Push { source: GitError },
}

/// Returns the version that a definition gets.
pub fn version_for(definition: &Definition, versions: Versions) -> Result<Version, DecideError> {
    let spec = definition.manifest.spec();
    match versions {
        Versions::AsWritten => Ok(spec.version),
        Versions::Bumped(bump) => bump.apply(spec.version).ok_or(DecideError::NoNext { spec }),
        Versions::All(version) => Ok(version),
    }
}

/// Returns the tags that a release makes, in the order of the definitions.
pub fn tags(specs: &[RuntimeSpec], versions: Versions) -> Vec<Tag> {
    match versions {
        Versions::All(version) => vec![Tag::All(version)],
        Versions::AsWritten | Versions::Bumped(_) => specs.iter().cloned().map(Tag::One).collect(),
    }
}

/// Returns the steps that release these definitions, up to the tags (`push` is false) or up to the remote.
pub fn decide(
    git: &Git,
    facts: &Facts,
    definitions: &[Definition],
    (versions, push): (Versions, bool),
) -> Result<Vec<Step>, DecideError> {
    let mut steps = edits(definitions, versions)?;
    let changed = !steps.is_empty();
    if changed {
        let path = |step: &Step| match step {
            Step::SetVersion { path, .. } => Some(path.clone()),
            _ => None,
        };
        let paths = steps.iter().filter_map(path).collect();
        steps.push(Step::Commit { message: commit_message(&steps, versions), paths });
    }
    let mut specs = Vec::new();
    for definition in definitions {
        let name = definition.manifest.name.clone();
        specs.push(RuntimeSpec { name, version: version_for(definition, versions)? });
    }
    let tags = tags(&specs, versions);
    for tag in &tags {
        // A tag of this commit is from a release that was not finished.
        if changed || !facts.tags.contains_key(tag) {
            let message = tag_message(git, facts, tag, definitions)?;
            steps.push(Step::Tag { tag: tag.clone(), message, signed: facts.signs_tags });
        }
    }
    if push {
        let remote = &facts.remote;
        let default = facts.remote_refs.default_branch.as_deref().unwrap_or("main");
        let branch = changed.then(|| format!("HEAD:refs/heads/{default}"));
        let chunks = tags.chunks(TAGS_PER_PUSH).enumerate();
        steps.extend(chunks.map(|(number, tags)| {
            let branch = branch.clone().filter(|_| number == 0);
            let refs = branch.into_iter().chain(tags.iter().map(Tag::reference)).collect();
            Step::Push { remote: remote.clone(), refs }
        }));
    }
    Ok(steps)
}

fn edits(definitions: &[Definition], versions: Versions) -> Result<Vec<Step>, DecideError> {
    let mut steps = Vec::new();
    for definition in definitions {
        let from = definition.manifest.version;
        let to = version_for(definition, versions)?;
        if from == to {
            continue;
        }
        let folder = definition.dir.file_name().unwrap_or_default();
        let path = PathBuf::from(RUNTIMES).join(folder).join("manifest.yaml");
        let text = manifest::with_version(&definition.text, to)
            .map_err(|source| DecideError::Bump { path: path.clone(), source })?;
        let spec = RuntimeSpec { name: definition.manifest.name.clone(), version: to };
        steps.push(Step::SetVersion { path, spec, from, text });
    }
    Ok(steps)
}

fn commit_message(edits: &[Step], versions: Versions) -> String {
    if let Versions::All(version) = versions {
        return format!("runtimes: all at {version}\n");
    }
    let specs: Vec<&RuntimeSpec> = edits
        .iter()
        .filter_map(|step| match step {
            Step::SetVersion { spec, .. } => Some(spec),
            _ => None,
        })
        .collect();
    if let [spec] = specs[..] {
        return format!("{}: version {}\n", spec.name, spec.version);
    }
    let list: String = specs.iter().map(|spec| format!("- {spec}\n")).collect();
    format!("runtimes: {} new versions\n\n{list}", specs.len())
}

/// Returns a tag's message: what changed in what a build reads, since the last release of that runtime.
fn tag_message(
    git: &Git,
    facts: &Facts,
    tag: &Tag,
    definitions: &[Definition],
) -> Result<String, DecideError> {
    let mut message = match tag {
        Tag::One(spec) => format!("{} {}\n", spec.name, spec.version),
        Tag::All(version) => format!("All runtimes at {version}\n"),
    };
    for definition in definitions {
        let Some(spec) = tag.covers(&definition.manifest.name) else { continue };
        let folder = definition.dir.file_name().unwrap_or_default().to_string_lossy();
        let last = last_release(facts, &spec.name, spec.version);
        let range = last.map_or("HEAD".to_owned(), |(_, commit)| format!("{commit}..HEAD"));
        let folder = format!("{RUNTIMES}/{folder}");
        let log = ["log", "--no-merges", "--format=- %s (%h)", &range, "--", &folder];
        let shared = ["runtimes/lib", "runtimes/bases.yaml"];
        let changes = git
            .ask("list the changes since the last release", log.into_iter().chain(shared))
            .map_err(|source| DecideError::History { source })?;
        let since = last.map_or("The first release".to_owned(), |(version, _)| {
            format!("Changes since {version}")
        });
        let heading = match tag {
            Tag::One(_) => since,
            Tag::All(_) => format!("{}: {}", spec.name, lower_first(&since)),
        };
        let changes = if changes.is_empty() { "- none" } else { &changes };
        message.extend([format!("\n{heading}:\n{changes}\n")]);
    }
    Ok(message)
}

/// Returns the highest version below `version` that has a tag, with its commit.
fn last_release<'a>(
    facts: &'a Facts,
    name: &RuntimeName,
    version: Version,
) -> Option<(Version, &'a str)> {
    facts
        .tags
        .iter()
        .chain(&facts.remote_tags)
        .filter_map(|(tag, commit)| Some((tag.covers(name)?.version, commit.as_str())))
        .filter(|(other, _)| *other < version)
        .max_by_key(|(other, _)| *other)
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_lowercase().chain(letters).collect())
}

/// Carries out steps in their order, telling each before it is done.
pub fn carry_out(
    git: &Git,
    steps: &[Step],
    on: &mut dyn FnMut(&Step),
) -> Result<(), CarryOutError> {
    let file = |text: &str| -> io::Result<tempfile::NamedTempFile> {
        let mut file = tempfile::NamedTempFile::new()?;
        io::Write::write_all(&mut file, text.as_bytes())?;
        Ok(file)
    };
    for step in steps {
        on(step);
        match step {
            Step::SetVersion { path, text, .. } => fs_err::write(git.dir().join(path), text)
                .map_err(|source| CarryOutError::Write { source })?,
            Step::Commit { message, paths } => {
                let file = file(message).map_err(|source| CarryOutError::Scratch { source })?;
                let paths: Vec<String> =
                    paths.iter().map(|path| path.to_string_lossy().into_owned()).collect();
                let name = file.path().to_string_lossy().into_owned();
                let commit = ["commit", "--quiet", "-F", &name, "--"];
                git.ask(
                    "commit the new versions",
                    commit.into_iter().chain(paths.iter().map(String::as_str)),
                )
                .map_err(CarryOutError::Git)?;
            }
            Step::Tag { tag, message, .. } => {
                let file = file(message).map_err(|source| CarryOutError::Scratch { source })?;
                let (tag, name) = (tag.to_string(), file.path().to_string_lossy().into_owned());
                // Git itself reads `tag.gpgSign`; a `#` in a subject is no comment.
                let make = ["tag", "--annotate", "--cleanup=whitespace", "-F", &name, &tag];
                git.ask("make the tag", make).map_err(CarryOutError::Git)?;
            }
            Step::Push { remote, refs } => {
                let push = ["push", "--quiet", "--atomic", "--no-follow-tags", remote];
                git.ask("push", push.into_iter().chain(refs.iter().map(String::as_str)))
                    .map_err(|source| CarryOutError::Push { source })?;
            }
        }
    }
    Ok(())
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetVersion { path, spec, from, .. } => {
                write!(f, "set the version in {}: {from} -> {}", path.display(), spec.version)
            }
            Self::Commit { message, .. } => {
                write!(f, "commit: {}", message.lines().next().unwrap_or_default())
            }
            Self::Tag { tag, message, signed } => {
                let how = if *signed { "signed " } else { "" };
                write!(f, "make the {how}tag {tag}:")?;
                message.trim_end().lines().try_for_each(|line| {
                    let indent = if line.is_empty() { "" } else { "    " };
                    write!(f, "\n{indent}{line}")
                })
            }
            Self::Push { remote, refs } => write!(f, "push to {remote}: {}", refs.join(", ")),
        }
    }
}
