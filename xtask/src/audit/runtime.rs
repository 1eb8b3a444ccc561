//! The rules for `runtime.yml`: what it mounts, and the environment it gives.

use std::collections::BTreeSet;

use rnx_spec::diagnostic::codes;
use rnx_spec::runtime_yml::{self, Mount, PATH_PREPEND, RuntimeYml};

use super::listing::{Listing, NodeKind};
use super::view::{Found, MountView, below, parts};
use super::{Finding, Options};

/// The name of the document, at the root of every archive.
pub const FILE: &str = "runtime.yml";

const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const LINKS_MAX: usize = 40;

/// A `runtime.yml` as far as it can be used.
#[derive(Debug, Clone, Default)]
pub struct Mounted {
    /// Guest targets and tree paths.
    pub mounts: Vec<(String, String)>,
    /// The folders of the job's `PATH`.
    pub path: Vec<String>,
    /// Those of [`Mounted::path`] that `PATH_PREPEND` names.
    prepended: Vec<String>,
    pub library_path: String,
}

/// Checks the text of a `runtime.yml` against the tree beside it.
pub fn check(text: &str, listing: &Listing, options: &Options) -> (Mounted, Vec<Finding>) {
    let document = match runtime_yml::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let cause = std::error::Error::source(&error).map_or_else(String::new, |source| {
                let text = source.to_string();
                let line = text.lines().next().unwrap_or_default();
                format!(": {}", line.trim_start_matches("error: "))
            });
            let message = format!("{error}{cause}");
            let finding = Finding::error(codes::RUNTIME_YML_INVALID, FILE, message);
            return (Mounted::default(), vec![finding]);
        }
    };
    let mut findings = identity(&document, options);
    let mut mounts = Vec::new();
    let mut targets = BTreeSet::new();
    for mount in &document.mounts {
        if let Some(problem) = target_problem(&mount.target, &mut targets) {
            let message = format!("the mount target `{}` {problem}", mount.target);
            findings.push(Finding::error(codes::MOUNT_TARGET_INVALID, FILE, message));
        } else if let Some(source) = source(mount, listing, &mut findings) {
            mounts.push((mount.target.clone(), source));
        }
        if !mount.readonly {
            let message = format!("`{}` is mounted writable: jobs would change it", mount.target);
            findings.push(Finding::warning(codes::MOUNT_WRITABLE, FILE, message));
        }
    }
    (mounted(&document, mounts), findings)
}

/// Checks that the folders of `PATH_PREPEND` exist.
pub fn check_path(mounted: &Mounted, view: &MountView<'_>) -> Vec<Finding> {
    mounted
        .prepended
        .iter()
        .filter_map(|dir| match view.walk(dir).end {
            Ok(place) if matches!(place.found, Found::Folder | Found::Provided) => None,
            Ok(_) => Some(format!("the folder `{dir}` of `{PATH_PREPEND}` is not a folder")),
            Err(error) => Some(format!("in `{PATH_PREPEND}`: {error}")),
        })
        .map(|message| Finding::warning(codes::PATH_FOLDER_MISSING, FILE, message))
        .collect()
}

fn identity(document: &RuntimeYml, options: &Options) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(spec) = &options.spec {
        let expected = [
            ("name", &document.name, spec.name.to_string()),
            ("version", &document.version, spec.version.to_string()),
        ];
        for (key, actual, expected) in expected {
            if *actual != expected {
                let message = format!("{key} is `{actual}`, but this is `{expected}`");
                findings.push(Finding::error(codes::RUNTIME_YML_OTHER, FILE, message));
            }
        }
    }
    let architectures = &document.requirements.architectures;
    let ours = options.arch.as_str();
    if !architectures.is_empty() && !architectures.iter().any(|arch| arch == ours) {
        let message =
            format!("this build is for {ours}, but it requires {}", architectures.join(" or "));
        findings.push(Finding::error(codes::RUNTIME_YML_ARCHITECTURE, FILE, message));
    }
    findings
}

fn mounted(document: &RuntimeYml, mounts: Vec<(String, String)>) -> Mounted {
    let variable = |name: &str| document.environment.get(name).cloned();
    let split = |text: String| -> Vec<String> {
        text.split(':').filter(|dir| !dir.is_empty()).map(str::to_owned).collect()
    };
    let prepended = split(variable(PATH_PREPEND).unwrap_or_default());
    let mut path = prepended.clone();
    path.extend(split(variable("PATH").unwrap_or_else(|| PATH_DEFAULT.to_owned())));
    let library_path = variable("LD_LIBRARY_PATH").unwrap_or_default();
    Mounted { mounts, path, prepended, library_path }
}

fn target_problem(target: &str, seen: &mut BTreeSet<String>) -> Option<&'static str> {
    if !target.starts_with('/') {
        return Some("is not an absolute path");
    }
    if target.split('/').skip(1).any(|part| matches!(part, "." | ".."))
        || target.contains("//")
        || target.chars().any(char::is_control)
    {
        return Some("is not a plain path");
    }
    if ["/proc", "/dev", "/sys", "/tmp", "/work"].iter().any(|own| below(target, own).is_some()) {
        return Some("belongs to the job runner");
    }
    (!seen.insert(target.trim_end_matches('/').to_owned())).then_some("is mounted twice")
}

fn source(mount: &Mount, listing: &Listing, findings: &mut Vec<Finding>) -> Option<String> {
    let outside = || {
        let message =
            format!("the mount source `{}` leads out of the runtime's folder", mount.source);
        Finding::error(codes::MOUNT_SOURCE_OUTSIDE, FILE, message)
    };
    if mount.source.starts_with('/') {
        findings.push(outside());
        return None;
    }
    let Some(path) = follow(&mount.source, listing) else {
        findings.push(outside());
        return None;
    };
    let Some(node) = listing.nodes.get(&path) else {
        let message = format!("the mount source `{}` does not exist", mount.source);
        findings.push(Finding::error(codes::MOUNT_SOURCE_MISSING, FILE, message));
        return None;
    };
    let inside = format!("{path}/");
    let has_entries = listing.nodes.range(inside.clone()..).next();
    if node.kind == NodeKind::Dir && !has_entries.is_some_and(|(path, _)| path.starts_with(&inside))
    {
        let message = format!("the mount source `{}` is an empty folder", mount.source);
        findings.push(Finding::warning(codes::MOUNT_SOURCE_EMPTY, FILE, message));
    }
    Some(path)
}

/// Follows a relative path from the runtime's folder; `None` if it leads out, or in circles.
fn follow(source: &str, listing: &Listing) -> Option<String> {
    let mut way: Vec<String> = parts(source).rev().collect();
    let mut path: Vec<String> = Vec::new();
    let mut links = 0;
    while let Some(part) = way.pop() {
        if part == ".." {
            path.pop()?;
            continue;
        }
        path.push(part);
        if let Some(node) = listing.nodes.get(&path.join("/"))
            && let NodeKind::Symlink { target } = &node.kind
        {
            links += 1;
            if target.starts_with('/') || links > LINKS_MAX {
                return None;
            }
            path.pop();
            way.extend(parts(target).rev());
        }
    }
    Some(path.join("/"))
}
