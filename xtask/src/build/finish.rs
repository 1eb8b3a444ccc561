//! Everything after the setup script: the tree is completed, audited, packed, and tested as packed.

use std::path::{Path, PathBuf};

use rnx_spec::artifact::SourceDateEpoch;
use rnx_spec::lock::{Change, PlatformLock, changes};
use rnx_spec::runtime_yml;
use rnx_spec::{Platform, RuntimeSpec};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::dist::{self, Written, WrittenArchive};
use super::duplicates;
use super::prepare::Prepared;
use super::{BuildError, Event, Workshop, contract, describe, locked};
use crate::audit::{self, Finding};
use crate::closure::{self, CopyStep};
use crate::definitions::Definition;
use crate::lock::{self, Subject, Told};
use crate::rootfs;
use crate::runtime_tests::{self, TestOutcome};
use crate::sbom::{self, Sbom};

/// What a script's tree became.
pub(super) struct Finished {
    pub(super) archive: WrittenArchive,
    pub(super) definition: Written,
    pub(super) copied: Vec<CopyStep>,
    pub(super) warnings: Vec<Finding>,
    pub(super) tests: Vec<TestOutcome>,
    pub(super) lock: PlatformLock,
    pub(super) unlocked: Option<Vec<Change>>,
}

/// Takes what the script left to a tested artifact in `dist`.
pub(super) fn finish(
    definition: &Definition,
    platform: Platform,
    workshop: &Workshop<'_>,
    (prepared, mut packed_definition): (&Prepared, Written),
    on: &mut dyn FnMut(Event<'_>),
) -> Result<Finished, BuildError> {
    let spec = definition.manifest.spec();
    let tree = take_over(&spec, workshop, prepared)?;
    describe_tree(definition, platform, &tree)?;

    on(Event::Step("completing the libraries".to_owned()));
    let upper = prepared.work.upper();
    let layers = [upper.as_path(), prepared.base.as_path()];
    let copied = closure::complete(&tree, &layers, platform.arch)
        .map_err(|source| BuildError::Closure { source: Box::new(source) })?;
    for step in &copied {
        on(Event::Note(format!("the script forgot a library: {step}")));
    }

    let merged = duplicates::merge(&tree).map_err(|source| BuildError::Merge { source })?;
    if !merged.is_empty() {
        let bytes: u64 = merged.iter().map(|step| step.size_bytes).sum();
        let (count, kib) = (merged.len(), bytes / 1024);
        on(Event::Note(format!("{count} duplicates became links, {kib} KiB less")));
    }

    on(Event::Step("listing what is inside".to_owned()));
    let told = tell(definition, platform, workshop, (prepared, &tree))?;
    let unlocked = compare(definition, platform, &told.lock)?;
    note_changes(unlocked.as_deref(), platform, on);
    if workshop.locked {
        // A section that went away while the script ran is no reason to take what came.
        let changes = unlocked.as_deref().unwrap_or_default();
        let section = locked::section(definition, platform)?;
        let broken = locked::broken(&section, changes);
        if !broken.is_empty() {
            return Err(BuildError::NotAsLocked { spec, platform, changes: broken });
        }
    }

    check_claims(definition, &told.lock, on)?;

    on(Event::Step("auditing".to_owned()));
    let warnings = audit_tree(&tree, &spec, platform, workshop, prepared)?;

    on(Event::Step("packing".to_owned()));
    // Written beside `dist` first: what fails its tests is never seen there.
    let dist_error = |source| BuildError::Dist { source };
    let staged = prepared.work.dist();
    let into = dist::Into {
        dist: &staged,
        epoch: SourceDateEpoch(prepared.epoch),
        part_bytes_max: workshop.part_bytes_max,
    };
    let mut archive = dist::write_runtime(&tree, &spec, platform, &into).map_err(dist_error)?;
    check_limits(definition, &archive)?;

    let sbom = sbom(definition, platform, (&told, &tree), &archive)?;
    archive.sbom = Some(dist::write_sbom(&sbom, &spec, platform, &staged).map_err(dist_error)?);

    let tests = test(definition, &archive, prepared, on)?;
    if tests.iter().any(TestOutcome::failed) {
        return Err(BuildError::TestsFailed { spec, platform, tests });
    }

    archive.publish(workshop.dist, [&mut packed_definition]).map_err(dist_error)?;
    let lock = told.lock;
    Ok(Finished { archive, definition: packed_definition, copied, warnings, tests, lock, unlocked })
}

/// Asks the chroot, as the script left it, and the tree.
fn tell(
    definition: &Definition,
    platform: Platform,
    workshop: &Workshop<'_>,
    (prepared, tree): (&Prepared, &Path),
) -> Result<Told, BuildError> {
    let manifest = &definition.manifest;
    let subject = Subject {
        manifest,
        platform,
        chroot: prepared.chroot(manifest, platform, workshop, &[]),
        scratch: &prepared.work.root,
        tree,
        base: (&prepared.base_name, prepared.base_digest),
    };
    lock::tell(&subject).map_err(|source| BuildError::Tell { source: Box::new(source) })
}

/// Fails over what the manifest says is inside and is not.
fn check_claims(
    definition: &Definition,
    got: &PlatformLock,
    on: &mut dyn FnMut(Event<'_>),
) -> Result<(), BuildError> {
    let checked = lock::claims::check(&definition.manifest.packages, got);
    for unread in checked.unread {
        on(Event::Note(format!(
            "`packages` says `{unread}`, which is not checked: write NAME==VERSION"
        )));
    }
    let wrong = checked.wrong;
    if wrong.is_empty() { Ok(()) } else { Err(BuildError::FalseClaims { wrong }) }
}

/// Returns the SBOM of a packed tree.
fn sbom(
    definition: &Definition,
    platform: Platform,
    (told, tree): (&Told, &Path),
    archive: &WrittenArchive,
) -> Result<Sbom, BuildError> {
    let named = told.lock.distro.iter().filter(|one| one.in_tree).map(|one| one.name.as_str());
    let licenses = sbom::licenses::in_tree(&tree.join("isolated"), named)
        .map_err(|source| BuildError::Describe { source })?;
    let archive = archive.archive.digest;
    let manifest = &definition.manifest;
    Ok(sbom::document(&sbom::Subject { manifest, platform, told, licenses: &licenses, archive }))
}

/// Returns what the definition's lock file says otherwise; `None` where it says nothing of this platform.
fn compare(
    definition: &Definition,
    platform: Platform,
    got: &PlatformLock,
) -> Result<Option<Vec<Change>>, BuildError> {
    let file = lock::read(&definition.dir)
        .map_err(|source| BuildError::LockFile { source: Box::new(source) })?;
    Ok(file.platforms.get(&platform).map(|locked| changes(locked, got)))
}

fn note_changes(unlocked: Option<&[Change]>, platform: Platform, on: &mut dyn FnMut(Event<'_>)) {
    const SHOWN_MAX: usize = 10;
    let Some(found) = unlocked else {
        on(Event::Note(format!("versions.lock says nothing of {platform}")));
        return;
    };
    if found.is_empty() {
        on(Event::Note("everything is as versions.lock says".to_owned()));
    }
    for change in found.iter().take(SHOWN_MAX) {
        on(Event::Note(format!("otherwise in versions.lock: {change}")));
    }
    if found.len() > SHOWN_MAX {
        let more = found.len() - SHOWN_MAX;
        on(Event::Note(format!("otherwise in versions.lock: {more} more")));
    }
}

/// Returns the tree that the script filled, owned by the caller and readable.
fn take_over(
    spec: &RuntimeSpec,
    workshop: &Workshop<'_>,
    prepared: &Prepared,
) -> Result<PathBuf, BuildError> {
    let output = contract::output_dir(&spec.name);
    let relative = output.strip_prefix("/").unwrap_or(&output);
    let tree = prepared.work.upper().join(relative);
    if !leads_through_folders(&prepared.work.upper(), &relative.join("isolated")) {
        return Err(BuildError::NoTree { expected: output.join("isolated") });
    }
    let inside = Path::new("upper").join(relative);
    rootfs::inside::hand_over(&prepared.work.root, &inside, &workshop.provisioning)
        .map_err(|source| BuildError::Base { source: Box::new(source) })?;
    Ok(tree)
}

/// Makes sure that there is a `runtime.yml`, and that it speaks of this runtime.
fn describe_tree(
    definition: &Definition,
    platform: Platform,
    tree: &Path,
) -> Result<(), BuildError> {
    let manifest = &definition.manifest;
    let path = tree.join("runtime.yml");
    let describe = |source| BuildError::Describe { source };
    if path.symlink_metadata().is_err() {
        let isolated = tree.join("isolated");
        let mut top_level = Vec::new();
        for entry in fs_err::read_dir(&isolated).map_err(describe)? {
            let entry = entry.map_err(describe)?;
            top_level.push(entry.file_name().to_string_lossy().into_owned());
        }
        top_level.sort();
        let has = |entry: &str| is_folder_inside(&isolated, entry);
        let document = describe::runtime_yml(manifest, platform.arch, &top_level, has);
        let text = runtime_yml::write(&document)
            .map_err(|source| BuildError::WriteRuntimeYml { source })?;
        fs_err::write(&path, text).map_err(describe)?;
    }
    let text = audit::read_runtime_yml(&path).map_err(|why| BuildError::NoRuntimeYml { why })?;
    let document =
        runtime_yml::parse(&text).map_err(|source| BuildError::ParseRuntimeYml { source })?;
    let wrong = describe::contradictions(&document, &manifest.name, manifest.version);
    if wrong.is_empty() { Ok(()) } else { Err(BuildError::Contradiction { wrong }) }
}

fn audit_tree(
    tree: &Path,
    spec: &RuntimeSpec,
    platform: Platform,
    workshop: &Workshop<'_>,
    prepared: &Prepared,
) -> Result<Vec<Finding>, BuildError> {
    let host_paths = [&prepared.work.root, workshop.repo, workshop.provisioning.cache_dir]
        .map(|path: &Path| path.display().to_string());
    let options = audit::Options {
        arch: platform.arch,
        spec: Some(spec.clone()),
        forbidden: host_paths.to_vec(),
    };
    let findings = audit::check(tree, &options)
        .map_err(|source| BuildError::Audit { source: Box::new(source) })?;
    let (errors, warnings): (Vec<_>, Vec<_>) = findings.into_iter().partition(Finding::is_error);
    if errors.is_empty() {
        return Ok(warnings);
    }
    Err(BuildError::AuditFailed { spec: spec.clone(), platform, errors })
}

/// Runs the manifest's tests in what the archive unpacks to.
fn test(
    definition: &Definition,
    archive: &WrittenArchive,
    prepared: &Prepared,
    on: &mut dyn FnMut(Event<'_>),
) -> Result<Vec<TestOutcome>, BuildError> {
    let tests = &definition.manifest.tests;
    let failed = |source| BuildError::Tests { source: Box::new(source) };
    on(Event::Step("unpacking for the tests".to_owned()));
    let runtime = runtime_tests::unpack(archive, &prepared.work.unpacked()).map_err(failed)?;
    let tests = (tests.as_slice(), definition.dir.as_path());
    let mut show = |name: &str| on(Event::Step(format!("testing: {name}")));
    runtime_tests::run_all(tests, &runtime, &prepared.work.root, &mut show).map_err(failed)
}

fn check_limits(definition: &Definition, archive: &WrittenArchive) -> Result<(), BuildError> {
    let limits = definition.manifest.limits;
    let budgets = [
        ("unpacked", archive.packed.unpacked_bytes, limits.unpacked_bytes_max),
        ("archive", archive.packed.size_bytes, limits.archive_bytes_max),
    ];
    for (what, bytes, bytes_max) in budgets {
        if let Some(bytes_max) = bytes_max
            && bytes > bytes_max
        {
            return Err(BuildError::OverBudget { what, bytes, bytes_max });
        }
    }
    Ok(())
}

/// Whether every part of `path` below `root` is a folder. A link that the script put in place of one would lead us,
/// who are outside its chroot, to the host's files.
fn leads_through_folders(root: &Path, path: &Path) -> bool {
    let mut place = root.to_owned();
    path.components().all(|part| {
        place.push(part);
        place.symlink_metadata().is_ok_and(|meta| meta.is_dir())
    })
}

/// Whether a job that has `root` as its `/` finds a folder at `path`, through links too.
fn is_folder_inside(root: &Path, path: &str) -> bool {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(root, flags, Mode::empty())
        .and_then(|root| openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT))
        .is_ok()
}
