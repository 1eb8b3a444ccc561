//! The same `name@version` carries the same package versions on all platforms. Pure: a lock in, findings out.

use std::collections::{BTreeMap, BTreeSet};

use rnx_spec::Platform;
use rnx_spec::diagnostic::{Diagnostic, Severity, codes};
use rnx_spec::lock::{DistroFormat, LockFile, PlatformLock};
use rnx_spec::manifest::{self, Manifest};

use crate::lock::observed::normalised;

/// How many packages one finding names.
const NAMED_MAX: usize = 10;

/// Compares the sections of the manifest's platforms with the first of them.
///
/// A package of a distro is compared where both platforms have it on the same release of the distro: architectures
/// depend on different libraries, and other distros have other versions. A package of a language is compared everywhere.
pub(super) fn check(text: &str, manifest: &Manifest, lock: &LockFile) -> Vec<Diagnostic> {
    let wanted: BTreeSet<Platform> =
        manifest.platforms.iter().map(|platform| manifest.built_as(*platform)).collect();
    let mut sections = lock.platforms.iter().filter(|(platform, _)| wanted.contains(platform));
    let Some(first) = sections.next() else { return Vec::new() };
    let explained: BTreeSet<String> = manifest.parity.keys().map(|name| normalised(name)).collect();
    sections
        .filter_map(|other| {
            let mut found = differing(first.1, other.1);
            found.retain(|name, _| !explained.contains(name));
            (!found.is_empty()).then(|| finding(text, (first.0, other.0), &found))
        })
        .collect()
}

/// The versions on both platforms, by name; empty where the package is not there.
type Differing = BTreeMap<String, (String, String)>;

fn differing(one: &PlatformLock, other: &PlatformLock) -> Differing {
    let (left, right) = (languages(one), languages(other));
    let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let mut found = Differing::new();
    for name in names {
        let versions = |side: &Versions| {
            side.get(name).into_iter().flatten().cloned().collect::<Vec<_>>().join(", ")
        };
        let (left, right) = (versions(&left), versions(&right));
        if left != right {
            found.insert(name.clone(), (left, right));
        }
    }
    let same_distro =
        (&one.base.os, &one.base.os_version) == (&other.base.os, &other.base.os_version);
    if same_distro && !one.base.os.is_empty() {
        let (left, right) = (distro(one), distro(other));
        for (name, version) in left {
            if let Some(there) = right.get(&name)
                && *there != version
            {
                found.insert(name, (version, there.clone()));
            }
        }
    }
    found
}

type Versions = BTreeMap<String, BTreeSet<String>>;

fn languages(section: &PlatformLock) -> Versions {
    let mut versions = Versions::new();
    for package in &section.language {
        versions.entry(normalised(&package.name)).or_default().insert(package.version.clone());
    }
    versions
}

fn distro(section: &PlatformLock) -> BTreeMap<String, String> {
    let in_tree = section.distro.iter().filter(|package| package.in_tree);
    in_tree
        .map(|package| {
            let version = match package.format {
                DistroFormat::Deb => source_version(&package.version),
                DistroFormat::Rpm => &package.version,
            };
            (package.name.clone(), version.to_owned())
        })
        .collect()
}

/// Takes the number of the distro's own rebuild (`+b2`) away, which each architecture counts for itself.
fn source_version(version: &str) -> &str {
    match version.rsplit_once("+b") {
        Some((source, number)) if number.bytes().all(|b| b.is_ascii_digit()) => source,
        _ => version,
    }
}

fn finding(text: &str, (first, other): (&Platform, &Platform), found: &Differing) -> Diagnostic {
    let or_none = |version: &str| {
        if version.is_empty() { "nothing".to_owned() } else { version.to_owned() }
    };
    let mut named: Vec<String> = found
        .iter()
        .take(NAMED_MAX)
        .map(|(name, (left, right))| format!("{name} ({} and {})", or_none(left), or_none(right)))
        .collect();
    if found.len() > NAMED_MAX {
        named.push(format!("and {} more", found.len() - NAMED_MAX));
    }
    Diagnostic {
        code: codes::VERSIONS_DIFFER,
        severity: Severity::Error,
        message: format!(
            "by versions.lock, {} package(s) differ between `{first}` and `{other}`: {}",
            found.len(),
            named.join(", ")
        ),
        span: manifest::locate(text, &["platforms", &other.to_string()]),
        help: Some(
            "lock the older platform again: `cargo xtask lock NAME --platform PLATFORM`; or say why: `parity: {package: reason}`"
                .to_owned(),
        ),
        fix: None,
    }
}
