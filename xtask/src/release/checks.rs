//! What stands in the way of a release: all of it at once, as findings.

use std::collections::BTreeSet;

use rnx_spec::diagnostic::{Code, Diagnostic, Severity, codes};
use rnx_spec::{RuntimeSpec, Tag, Version};

use super::facts::Facts;

/// How many changed files a finding names.
const PATHS_MAX: usize = 5;

/// One runtime that is to be released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// With the version that it gets.
    pub spec: RuntimeSpec,
    /// The version that the manifest has now.
    pub current: Version,
    /// What `validate --strict` counts: errors and warnings.
    pub findings: usize,
    /// Why the lock file is not of this definition, if it is not.
    pub lock: Option<String>,
}

/// Returns everything that stands in the way of releasing these runtimes as `tags`.
pub fn check(facts: &Facts, candidates: &[Candidate], tags: &[Tag]) -> Vec<Diagnostic> {
    let mut found: Vec<Diagnostic> =
        [clean(facts), on_default_branch(facts), up_to_date(facts)].into_iter().flatten().collect();
    for candidate in candidates {
        found.extend(without_findings(candidate.spec.name.as_str(), candidate.findings));
        found.extend(version_is_higher(facts, candidate));
        found.extend(candidate.lock.as_ref().map(|why| {
            let name = &candidate.spec.name;
            let help = format!("`cargo xtask lock {name}` writes it, `--platform` for another architecture; then commit it");
            finding(codes::LOCK_NOT_FRESH, format!("{name}: {why}"), help)
        }));
    }
    found.extend(tags.iter().filter_map(|tag| tag_is_free(facts, tag)));
    found
}

fn clean(facts: &Facts) -> Option<Diagnostic> {
    let paths = &facts.changed_paths;
    let named = paths.iter().take(PATHS_MAX).map(|path| format!("`{path}`"));
    let mut named = named.collect::<Vec<_>>().join(", ");
    if paths.len() > PATHS_MAX {
        named.extend([format!(" and {} more", paths.len() - PATHS_MAX)]);
    }
    let message = format!("the working tree is not clean: {named}");
    let help = "commit them, or put them aside: `git stash --include-untracked`";
    (!paths.is_empty()).then(|| finding(codes::TREE_NOT_CLEAN, message, help))
}

fn on_default_branch(facts: &Facts) -> Option<Diagnostic> {
    let default = facts.remote_refs.default_branch.as_deref()?;
    let here = match facts.branch.as_deref() {
        Some(branch) if branch == default => return None,
        Some(branch) => format!("`{branch}` is checked out"),
        None => "no branch is checked out".to_owned(),
    };
    let message = format!("releases are made from `{default}`, and {here}");
    Some(finding(codes::NOT_ON_DEFAULT_BRANCH, message, format!("`git switch {default}`")))
}

fn up_to_date(facts: &Facts) -> Option<Diagnostic> {
    let (message, help) = match (facts.ahead, facts.behind) {
        (0, 0) => return None,
        (ahead, 0) => {
            (format!("`{}` lacks {} of here", facts.remote, commits(ahead)), "`git push`")
        }
        (0, behind) => (
            format!("{} of `{}` are missing here", commits(behind), facts.remote),
            "`git pull --rebase`",
        ),
        (ahead, behind) => (
            format!(
                "this branch and `{}` went apart: {} here, {} there",
                facts.remote,
                commits(ahead),
                commits(behind)
            ),
            "`git pull --rebase`, then `git push`",
        ),
    };
    Some(finding(codes::NOT_UP_TO_DATE, message, help))
}

pub(super) fn without_findings(name: &str, count: usize) -> Option<Diagnostic> {
    let message = format!("{name}: the definition has {count} finding(s)");
    let help = format!("`cargo xtask validate --strict {name}` shows them");
    (count > 0).then(|| finding(codes::DEFINITION_HAS_FINDINGS, message, help))
}

fn version_is_higher(facts: &Facts, candidate: &Candidate) -> Option<Diagnostic> {
    let RuntimeSpec { name, version } = &candidate.spec;
    let used = used_versions(facts, &candidate.spec);
    let message = match used.last() {
        _ if candidate.current > *version => {
            format!("{name}: {version} is lower than the manifest's {}", candidate.current)
        }
        Some(_) if used.contains(version) => {
            format!("{name}: {version} is published, and what is published never changes")
        }
        Some(highest) if highest > version => {
            format!("{name}: {version} is not higher than {highest}, which is published")
        }
        _ => return None,
    };
    let help = format!("release a higher version: `cargo xtask release {name} --bump patch`");
    Some(finding(codes::VERSION_NOT_HIGHER, message, help))
}

/// The versions of a runtime that are published, were withdrawn, or have a tag of their own on the remote.
fn used_versions(facts: &Facts, spec: &RuntimeSpec) -> BTreeSet<Version> {
    let mut used = BTreeSet::new();
    if let Some(registry) = &facts.registry {
        used.extend(registry.runtimes().get(&spec.name).into_iter().flatten().map(|(v, _)| *v));
        used.extend(registry.yanked().get(&spec.name).into_iter().flatten().map(|(v, _)| *v));
    }
    let tagged = facts.remote_refs.refs.keys().filter_map(|name| {
        match name.strip_prefix("refs/tags/")?.parse().ok()? {
            Tag::One(other) if other.name == spec.name && other.version != spec.version => {
                Some(other.version)
            }
            // That this very tag is taken is another finding.
            Tag::One(_) | Tag::All(_) => None,
        }
    });
    used.extend(tagged);
    used
}

fn tag_is_free(facts: &Facts, tag: &Tag) -> Option<Diagnostic> {
    let message = if facts.remote_refs.refs.contains_key(&tag.reference()) {
        format!("the tag `{tag}` is on `{}`", facts.remote)
    } else {
        let commit = facts.tags.get(tag)?;
        // Made by `cargo xtask tag`, or by a release that was not finished: it says what is meant.
        if *commit == facts.head {
            return None;
        }
        let commit = commit.get(..12).unwrap_or(commit);
        format!("the tag `{tag}` names another commit in this clone: {commit}")
    };
    let help = "a tag never moves: release a higher version, and `cargo xtask yank` a bad one";
    Some(finding(codes::TAG_TAKEN, message, help))
}

fn commits(count: u64) -> String {
    if count == 1 { "1 commit".to_owned() } else { format!("{count} commits") }
}

fn finding(code: Code, message: String, help: impl Into<String>) -> Diagnostic {
    let help = Some(help.into());
    Diagnostic { code, severity: Severity::Error, message, span: None, help, fix: None }
}
