//! What is built for a tag: every runtime that it releases, on every platform that has a build of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use rnx_spec::registry::Registry;
use rnx_spec::{Arch, Platform, RuntimeName, RuntimeSpec, Tag, Version, manifest};

use super::tagged::{self, TaggedError};
use crate::definitions::{self, Definition, LoadDefinitionError};
use crate::git::{Git, GitError};

/// What is built for a tag, and what is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleasePlan {
    /// `None` for everything that the repository defines, released or not.
    pub tag: Option<Tag>,
    /// In the order of their folders.
    pub runtimes: Vec<PlannedRuntime>,
    /// Runtimes that a bulk tag leaves out: nothing of theirs changed since their last release.
    pub unchanged: Vec<RuntimeSpec>,
}

/// A runtime to build and publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedRuntime {
    pub spec: RuntimeSpec,
    /// The platforms that are built; what `reuse` serves with another's build is not among them.
    pub builds: Vec<Platform>,
}

/// A plan could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error("the tag and this checkout do not belong together")]
    Tagged { source: Box<TaggedError> },
    #[error("failed to find what changed since the last release")]
    History { source: GitError },
}

/// The last releases of runtimes, as the registry knows them, and the commits that they were made from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastReleases(BTreeMap<RuntimeName, LastRelease>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct LastRelease {
    version: Version,
    tag: Tag,
}

/// Returns what is built for `tag` from the checkout `repo`.
///
/// A bulk tag leaves out what did not change since the registry's newest version of it; `None` for `published` builds
/// everything.
pub fn plan(
    repo: &Path,
    tag: &Tag,
    published: Option<&Registry>,
) -> Result<ReleasePlan, PlanError> {
    let definitions = tagged::definitions(repo, tag)
        .map_err(|source| PlanError::Tagged { source: Box::new(source) })?;
    let git = Git::new(repo);
    let last = match (tag, published) {
        (Tag::All(_), Some(registry)) => {
            LastReleases::find(&git, registry).map_err(|source| PlanError::History { source })?
        }
        _ => LastReleases::default(),
    };
    let mut plan =
        ReleasePlan { tag: Some(tag.clone()), runtimes: Vec::new(), unchanged: Vec::new() };
    for definition in definitions {
        let spec = definition.manifest.spec();
        let unchanged =
            last.unchanged(&git, &definition).map_err(|source| PlanError::History { source })?;
        match unchanged {
            Some(version) => {
                plan.unchanged.push(RuntimeSpec { name: spec.name, version });
            }
            None => plan.runtimes.push(PlannedRuntime { spec, builds: builds(&definition) }),
        }
    }
    Ok(plan)
}

/// Returns a plan to build everything that the repository defines.
pub fn everything(repo: &Path) -> Result<ReleasePlan, LoadDefinitionError> {
    let mut runtimes = Vec::new();
    // What cannot be listed has no definitions; loading one would say why.
    for folder in definitions::folders(repo).unwrap_or_default() {
        let definition = definitions::load(repo, &folder)?;
        let (spec, builds) = (definition.manifest.spec(), builds(&definition));
        runtimes.push(PlannedRuntime { spec, builds });
    }
    Ok(ReleasePlan { tag: None, runtimes, unchanged: Vec::new() })
}

/// Returns the platforms that are built for a definition, in the author's order.
pub fn builds(definition: &Definition) -> Vec<Platform> {
    let manifest = &definition.manifest;
    let mut builds = Vec::new();
    for platform in &manifest.platforms {
        let build = manifest.built_as(*platform);
        if !builds.contains(&build) {
            builds.push(build);
        }
    }
    builds
}

/// Returns the label of the GitHub runner that builds natively for an architecture.
pub fn runner(arch: Arch) -> &'static str {
    match arch {
        Arch::Amd64 => "ubuntu-24.04",
        Arch::Arm64 => "ubuntu-24.04-arm",
    }
}

impl ReleasePlan {
    /// Returns the jobs as the value of `strategy.matrix` in a GitHub workflow, on one line.
    pub fn github_matrix(&self) -> String {
        let jobs = self.jobs().map(|(spec, platform)| {
            serde_json::json!({
                "name": spec.name,
                "version": spec.version,
                "platform": platform,
                "runner": runner(platform.arch),
            })
        });
        serde_json::json!({"include": jobs.collect::<Vec<_>>()}).to_string()
    }

    /// Returns every build of the plan.
    pub fn jobs(&self) -> impl Iterator<Item = (&RuntimeSpec, Platform)> {
        self.runtimes.iter().flat_map(|one| one.builds.iter().map(|build| (&one.spec, *build)))
    }
}

impl LastReleases {
    fn find(git: &Git, registry: &Registry) -> Result<Self, GitError> {
        let listed = git.ask("list the tags", ["tag", "--list"])?;
        let tags: Vec<Tag> = listed.lines().filter_map(|line| line.parse().ok()).collect();
        let mut last = BTreeMap::new();
        for (name, versions) in registry.runtimes() {
            let Some((&version, _)) = versions.last_key_value() else { continue };
            let made_it = |tag: &&Tag| tag.covers(name).is_some_and(|spec| spec.version == version);
            // Of a release whose tag is not here, nothing can be said: it is built again.
            if let Some(tag) = tags.iter().find(made_it) {
                last.insert(name.clone(), LastRelease { version, tag: tag.clone() });
            }
        }
        Ok(Self(last))
    }

    /// Returns the version of the last release, if a build of it would read what a build of `definition` reads.
    fn unchanged(&self, git: &Git, definition: &Definition) -> Result<Option<Version>, GitError> {
        let Some(last) = self.0.get(&definition.manifest.name) else { return Ok(None) };
        let folder = definition.dir.file_name().unwrap_or_default().to_string_lossy();
        let folder = format!("runtimes/{folder}");
        let manifest_path = format!("{folder}/manifest.yaml");
        let reference = last.tag.reference();
        let diff = ["diff", "--name-only", "--no-renames", &reference, "--", &folder];
        let shared = ["runtimes/lib", "runtimes/bases.yaml"];
        let changed =
            git.ask("find what changed since the last release", diff.into_iter().chain(shared))?;
        if changed.lines().any(|path| path != manifest_path) {
            return Ok(None);
        }
        let blob = format!("{reference}:{manifest_path}");
        let old = git.ask("read the manifest of the last release", ["cat-file", "blob", &blob])?;
        let same = same_but_version(&old, definition.text.trim_end_matches('\n'));
        Ok(same.then_some(last.version))
    }
}

/// Whether two manifests differ in their version at most: every manifest of a bulk release has a new one.
fn same_but_version(old: &str, new: &str) -> bool {
    let zero = Version { major: 0, minor: 0, patch: 0 };
    let (old, new) = (manifest::with_version(old, zero), manifest::with_version(new, zero));
    matches!((old, new), (Ok(old), Ok(new)) if old.trim_end_matches('\n') == new)
}

impl fmt::Display for ReleasePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tag {
            Some(tag) => writeln!(f, "{tag}")?,
            None => writeln!(f, "all runtimes")?,
        }
        for (spec, platform) in self.jobs() {
            writeln!(f, "  build {spec} for {platform} on {}", runner(platform.arch))?;
        }
        for spec in &self.unchanged {
            writeln!(f, "  skip {}: nothing changed since {spec}", spec.name)?;
        }
        Ok(())
    }
}
