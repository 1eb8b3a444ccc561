//! `build --locked`: the chroot can install what `versions.lock` says, and nothing else.
//!
//! apt is told through its own preferences, pip through a constraints file, so that setup scripts need not know. What a
//! build got is compared with the lock afterwards in any case.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rnx_spec::Platform;
use rnx_spec::lock::{Change, DistroFormat, DistroPackage, LanguageKind, PlatformLock};

use super::prepare::Prepared;
use super::script::{self, ScriptError};
use super::stage::{below, write};
use super::{BuildError, Event, Workshop, contract};
use crate::definitions::Definition;
use crate::lock;

/// Read by apt before any other preferences.
const APT_PREFERENCES: &str = "/etc/apt/preferences.d/00-joblet-locked";

/// Brings packages of a base that has drifted to the locked versions; `$@` are `name:arch=version`.
const ALIGN: &str = "set -eu
export DEBIAN_FRONTEND=noninteractive
apt() { apt-get -q -y -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 \"$@\"; }
apt -o APT::Update::Error-Mode=any update
apt --allow-downgrades --no-install-recommends install \"$@\"";

/// Returns what the definition's lock says of a platform, which `--locked` must know.
pub(super) fn section(
    definition: &Definition,
    platform: Platform,
) -> Result<PlatformLock, BuildError> {
    let spec = definition.manifest.spec();
    let mut file = lock::read(&definition.dir)
        .map_err(|source| BuildError::LockFile { source: Box::new(source) })?;
    file.platforms.remove(&platform).ok_or(BuildError::NotLocked { spec, platform })
}

/// Makes the chroot ready, before the setup script starts.
pub(super) fn enforce(
    section: &PlatformLock,
    (definition, platform): (&Definition, Platform),
    workshop: &Workshop<'_>,
    prepared: &Prepared,
    on: &mut dyn FnMut(Event<'_>),
) -> Result<(), BuildError> {
    let stage = |source| BuildError::Stage { source };
    let upper = prepared.work.upper();
    let constraints = below(&upper, contract::PIP_CONSTRAINTS);
    write(&constraints, &pip_constraints(section)).map_err(stage)?;
    let debs: Vec<&DistroPackage> =
        section.distro.iter().filter(|one| one.format == DistroFormat::Deb).collect();
    if debs.is_empty() {
        return Ok(());
    }
    write(&below(&upper, APT_PREFERENCES), &apt_preferences(&debs)).map_err(stage)?;
    let installed = base_debs(&prepared.base);
    let drifted = drifted(&debs, &installed);
    if drifted.is_empty() {
        return Ok(());
    }
    on(Event::Step(format!("bringing {} packages of the base to their versions", drifted.len())));
    let argv: Vec<&str> = ["/bin/sh", "-c", ALIGN, "sh"]
        .into_iter()
        .chain(drifted.iter().map(String::as_str))
        .collect();
    let chroot = prepared.chroot(&definition.manifest, platform, workshop, &argv);
    let disk = prepared.disk_limit(&definition.manifest);
    let stop = super::stop(&definition.manifest, workshop, &disk);
    script::run(&chroot, &prepared.log, stop, &mut |line| on(Event::Line(line)))
        .map_err(|source| explain(source, section, (definition, platform), workshop, prepared))
}

/// Returns why a script failed in a locked chroot: what it could not install, where that is the reason.
pub(super) fn explain(
    error: ScriptError,
    section: &PlatformLock,
    (definition, platform): (&Definition, Platform),
    workshop: &Workshop<'_>,
    prepared: &Prepared,
) -> BuildError {
    let (log, source) = (prepared.log.clone(), Box::new(error));
    let names: Vec<&str> = section.distro.iter().map(|one| one.name.as_str()).collect();
    let chroot = prepared.chroot(&definition.manifest, platform, workshop, &[]);
    let ask = [&["/bin/sh", "-c", "apt-cache policy -- \"$@\"", "sh"], &names[..]].concat();
    // Where apt cannot be asked, the script's own failure is all that is known.
    let said = match &*source {
        ScriptError::Failed { .. } => {
            lock::ask(&chroot, &ask, &prepared.work.root).unwrap_or_default()
        }
        _ => String::new(),
    };
    let gone = gone(section, &said);
    if gone.is_empty() {
        BuildError::Script { log, source }
    } else {
        BuildError::LockedGone { gone, log, source }
    }
}

/// Reads `apt-cache policy`: with [`apt_preferences`] in place, the candidate is the locked version or there is none.
fn gone(section: &PlatformLock, policy: &str) -> Vec<String> {
    let mut candidates: BTreeMap<&str, &str> = BTreeMap::new();
    let mut name = "";
    for line in policy.lines() {
        if let Some(candidate) = line.strip_prefix("  Candidate: ") {
            candidates.insert(name, candidate);
        } else if !line.starts_with(' ') {
            name = line.trim_end_matches(':');
        }
    }
    if candidates.is_empty() {
        return Vec::new();
    }
    let is_gone = |one: &&DistroPackage| candidates.get(&*one.name).copied() != Some(&*one.version);
    section.distro.iter().filter(is_gone).map(ToString::to_string).collect()
}

/// Returns what stands between a build and its lock.
///
/// A base of another digest is none where its package manager vouches for every package in it: a base that is made
/// anew, elsewhere or later, seldom has the same bytes in its caches.
pub(super) fn broken(section: &PlatformLock, changes: &[Change]) -> Vec<Change> {
    let vouched = !section.distro.is_empty();
    changes.iter().filter(|change| !(vouched && change.is_base())).cloned().collect()
}

fn apt_preferences(debs: &[&DistroPackage]) -> String {
    let pins = debs.iter().map(|DistroPackage { name, version, .. }| {
        format!("Package: {name}\nPin: version {version}\nPin-Priority: 1001\n\n")
    });
    // What is not locked cannot be installed at all.
    pins.chain(["Package: *\nPin: release *\nPin-Priority: -1\n".to_owned()]).collect()
}

/// Packages whose wheel is known are pinned to it. Of the others, one that is there in several versions is somebody's own
/// copy, which pip did not install.
fn pip_constraints(section: &PlatformLock) -> String {
    let python = section.language.iter().filter(|one| one.kind == LanguageKind::Pypi);
    let mut versions: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for one in python.clone() {
        versions.entry(lock::observed::normalised(&one.name)).or_default().insert(&one.version);
    }
    let line = |one: &rnx_spec::lock::LanguagePackage| {
        let name = lock::observed::normalised(&one.name);
        let only = versions.get(&name).is_some_and(|versions| versions.len() == 1);
        match one.download {
            Some(digest) => Some(format!("{name}=={} --hash={digest}\n", one.version)),
            None => only.then(|| format!("{name}=={}\n", one.version)),
        }
    };
    let lines: BTreeSet<String> = python.filter_map(line).collect();
    lines.into_iter().collect()
}

/// Returns the versions that dpkg's database of a base says are installed, by name.
fn base_debs(base: &Path) -> BTreeMap<String, String> {
    // A base without one has no packages; the comparison after the build tells of it.
    let text = fs_err::read_to_string(base.join("var/lib/dpkg/status")).unwrap_or_default();
    let stanza = |stanza: &str| {
        let field = |key: &str| {
            stanza
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
                .map(str::to_owned)
        };
        let installed = field("Status")?.ends_with(" installed");
        installed.then(|| Some((field("Package")?, field("Version")?)))?
    };
    text.split("\n\n").filter_map(stanza).collect()
}

fn drifted(debs: &[&DistroPackage], installed: &BTreeMap<String, String>) -> Vec<String> {
    debs.iter()
        .filter(|one| installed.get(&one.name).is_some_and(|version| *version != one.version))
        .map(|one| format!("{}={}", one.name, one.version))
        .collect()
}
