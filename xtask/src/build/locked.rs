//! `build --locked`: the chroot can install what `versions.lock` says, and nothing else.
//!
//! apt and dnf are told through their own settings, pip through a constraints file, so that setup scripts need not know.
//! What a build got is compared with the lock afterwards in any case.

mod apt;
mod dnf;

use std::collections::{BTreeMap, BTreeSet};

use rnx_spec::Platform;
use rnx_spec::lock::{Change, DistroFormat, DistroPackage, LanguageKind, PlatformLock};

use super::prepare::Prepared;
use super::script::{self, ScriptError};
use super::stage::{below, write};
use super::{BuildError, Event, Workshop, contract};
use crate::definitions::Definition;
use crate::lock;

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
    let (debs, rpms) = (of(section, DistroFormat::Deb), of(section, DistroFormat::Rpm));
    let (align, drifted) = if !debs.is_empty() {
        write(&below(&upper, apt::PREFERENCES), &apt::preferences(&debs)).map_err(stage)?;
        (apt::ALIGN, apt::drifted(&debs, &prepared.base))
    } else if !rpms.is_empty() {
        let ask = ["/bin/sh", "-c", dnf::BASE];
        let chroot = prepared.chroot(&definition.manifest, platform, workshop, &[]);
        let said = lock::ask(&chroot, &ask, &prepared.work.root)
            .map_err(|source| BuildError::AskBase { source: Box::new(source) })?;
        let base = dnf::Base::read(&said);
        write(&below(&upper, dnf::CONFIG), &base.config(&rpms)).map_err(stage)?;
        (dnf::ALIGN, base.drifted(&rpms))
    } else {
        return Ok(());
    };
    if drifted.is_empty() {
        return Ok(());
    }
    on(Event::Step(format!("bringing {} packages of the base to their versions", drifted.len())));
    let argv: Vec<&str> = ["/bin/sh", "-c", align, "sh"]
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
    if !matches!(*source, ScriptError::Failed { .. }) {
        return BuildError::Script { log, source };
    }
    let (debs, rpms) = (of(section, DistroFormat::Deb), of(section, DistroFormat::Rpm));
    let chroot = prepared.chroot(&definition.manifest, platform, workshop, &[]);
    // Where the package manager cannot be asked, the script's own failure is all that is known.
    let ask = |script: &str, debs: &[&DistroPackage]| {
        let names = debs.iter().map(|one| one.name.as_str());
        let argv: Vec<&str> = ["/bin/sh", "-c", script, "sh"].into_iter().chain(names).collect();
        lock::ask(&chroot, &argv, &prepared.work.root).unwrap_or_default()
    };
    let gone = if debs.is_empty() {
        dnf::gone(&rpms, &ask(dnf::AVAILABLE, &[]))
    } else {
        apt::gone(&debs, &ask(apt::POLICY, &debs))
    };
    if gone.is_empty() {
        BuildError::Script { log, source }
    } else {
        BuildError::LockedGone { gone, log, source }
    }
}

fn of(section: &PlatformLock, format: DistroFormat) -> Vec<&DistroPackage> {
    section.distro.iter().filter(|one| one.format == format).collect()
}

/// Returns what stands between a build and its lock.
///
/// A base of another digest is none where its package manager vouches for every package in it: a base that is made
/// anew, elsewhere or later, seldom has the same bytes in its caches.
pub(super) fn broken(section: &PlatformLock, changes: &[Change]) -> Vec<Change> {
    let vouched = !section.distro.is_empty();
    changes.iter().filter(|change| !(vouched && change.is_base())).cloned().collect()
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
