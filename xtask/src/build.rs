//! Builds a runtime: base → setup script → closure → audit → pack → tests.

pub mod contract;
pub mod describe;
mod diagnosis;
pub mod disk;
pub mod dist;
pub mod duplicates;
mod error;
mod finish;
pub mod inputs;
mod locked;
pub mod parts;
pub mod plan;
mod prepare;
pub mod record;
pub mod script;
pub(crate) mod stage;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rnx_sandbox::plan::SandboxPlan;
use rnx_spec::artifact::SourceDateEpoch;
use rnx_spec::lock::{Change, PlatformLock};
use rnx_spec::manifest::Manifest;
use rnx_spec::{Platform, RuntimeSpec};

use self::disk::DiskLimit;
use self::dist::{Written, WrittenArchive};
use self::inputs::HostEnvironment;
use self::plan::WorkFolder;
use crate::audit::Finding;
use crate::closure::CopyStep;
use crate::definitions::Definition;
use crate::rootfs::Provisioning;
use crate::runtime_tests::TestOutcome;
use crate::sources::SourceMirror;

pub use self::error::BuildError;
pub use self::prepare::Prepared;

/// Where builds happen, and with what of the host.
#[derive(Debug, Clone, Copy)]
pub struct Workshop<'a> {
    pub repo: &'a Path,
    /// Where the files of releases and the logs go.
    pub dist: &'a Path,
    /// A larger archive is cut into parts of so many bytes.
    pub part_bytes_max: u64,
    pub provisioning: Provisioning<'a>,
    /// Is asked for sources first.
    pub source_mirror: Option<&'a SourceMirror>,
    pub environment: &'a HostEnvironment,
    /// Whether a build installs what `versions.lock` says, and refuses anything else.
    pub locked: bool,
    /// Whether to use what is in the cache, and no network at all.
    pub offline: bool,
    /// Becomes true when the person presses Ctrl-C.
    pub interrupted: &'a AtomicBool,
}

/// What a build tells while it works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// A new part of the build begins.
    Step(String),
    /// Something that stays worth knowing, for example that a base was reused.
    Note(String),
    /// The setup script, or a tool, said a line.
    Line(&'a str),
}

/// A build that passed everything.
#[derive(Debug)]
pub struct Built {
    pub spec: RuntimeSpec,
    pub platform: Platform,
    pub archive: WrittenArchive,
    pub definition: Written,
    pub base_reused: bool,
    /// Libraries that the script forgot and the chroot had.
    pub copied: Vec<CopyStep>,
    /// What the audit found that is no error.
    pub warnings: Vec<Finding>,
    pub tests: Vec<TestOutcome>,
    /// What the build got: the section of `versions.lock` for this platform.
    pub lock: PlatformLock,
    /// What of it is otherwise in the definition's `versions.lock`; `None` where that has no such section.
    pub unlocked: Option<Vec<Change>>,
    pub log: PathBuf,
    pub took: Duration,
}

/// Builds one runtime for one platform.
///
/// Afterwards `dist` holds everything of this build, or of it nothing that `SHA256SUMS` names. A failed script's chroot is kept
/// for [`chroot_to_look_around`]; everything else that is half done is removed.
pub fn build(
    definition: &Definition,
    platform: Platform,
    workshop: &Workshop<'_>,
    on: &mut dyn FnMut(Event<'_>),
) -> Result<Built, BuildError> {
    let started = Instant::now();
    // What is not locked cannot be built so; said before anything is fetched.
    let section = workshop.locked.then(|| locked::section(definition, platform)).transpose()?;
    let spec = definition.manifest.spec();
    let prepared = prepare::prepare(definition, platform, workshop, on)?;
    let inputs = record::inputs(definition, platform, workshop, &prepared)?;
    let work = prepared.work.clone();
    let result = run(definition, platform, workshop, (&prepared, section.as_ref()), on);
    let mut cleaned = Ok(());
    if !matches!(&result, Err(error) if error.leaves_a_chroot()) {
        on(Event::Step("cleaning up".to_owned()));
        cleaned = prepare::discard(&work, workshop);
    }
    // The error at hand says more than one from cleaning up.
    let finished = result?;
    if let Err(error) = cleaned {
        let failure = error.into_failure(&spec, platform);
        on(Event::Note(format!("not all could be cleaned up: {}", failure.causes.join(": "))));
    }
    let built = Built {
        spec,
        platform,
        archive: finished.archive,
        definition: finished.definition,
        base_reused: prepared.base_reused,
        copied: finished.copied,
        warnings: finished.warnings,
        tests: finished.tests,
        lock: finished.lock,
        unlocked: finished.unlocked,
        log: prepared.log.clone(),
        took: started.elapsed(),
    };
    record::write(inputs, &built, workshop)?;
    Ok(built)
}

fn run(
    definition: &Definition,
    platform: Platform,
    workshop: &Workshop<'_>,
    (prepared, section): (&Prepared, Option<&PlatformLock>),
    on: &mut dyn FnMut(Event<'_>),
) -> Result<finish::Finished, BuildError> {
    // Before the script: what cannot be packed is said now, and not after an hour.
    let spec = definition.manifest.spec();
    let epoch = SourceDateEpoch(prepared.epoch);
    let packed = dist::write_definition(&definition.dir, &spec, epoch, &prepared.work.dist())
        .map_err(|source| BuildError::Dist { source })?;
    if let Some(section) = section {
        locked::enforce(section, (definition, platform), workshop, prepared, on)?;
    }
    on(Event::Step(format!("running {}", prepared.script)));
    let chroot = prepared.chroot(&definition.manifest, platform, workshop, &[&prepared.script]);
    let disk = prepared.disk_limit(&definition.manifest);
    let stop = stop(&definition.manifest, workshop, &disk);
    script::run(&chroot, &prepared.log, stop, &mut |line| on(Event::Line(line))).map_err(
        |source| match section {
            Some(section) => {
                locked::explain(source, section, (definition, platform), workshop, prepared)
            }
            None => BuildError::Script { log: prepared.log.clone(), source: Box::new(source) },
        },
    )?;
    finish::finish(definition, platform, workshop, (prepared, packed), on)
}

/// Returns when a script of this runtime is stopped.
fn stop<'a>(manifest: &Manifest, workshop: &Workshop<'a>, disk: &'a DiskLimit) -> script::Stop<'a> {
    let minutes_max = manifest.limits.build_minutes_max;
    let processes_max = manifest.limits.build_processes_max;
    script::Stop { minutes_max, disk, processes_max, interrupted: workshop.interrupted }
}

/// A chroot to look around in; the build's work folder is locked as long as this lives.
#[derive(Debug)]
pub struct Chroot {
    pub plan: SandboxPlan,
    _prepared: Prepared,
}

/// Returns the chroot that a failed build left, or, where there is none, a fresh one.
pub fn chroot_to_look_around(
    (definition, platform): (&Definition, Platform),
    workshop: &Workshop<'_>,
    argv: &[&str],
    on: &mut dyn FnMut(Event<'_>),
) -> Result<Chroot, BuildError> {
    let work = work_folder(workshop.provisioning.cache_dir, &definition.manifest.spec(), platform);
    let prepared = if work.upper().is_dir() {
        on(Event::Note("this is what the failed build left".to_owned()));
        prepare::enter(definition, platform, workshop, on)?
    } else {
        on(Event::Note("no failed build: this is where the setup script would start".to_owned()));
        prepare::prepare(definition, platform, workshop, on)?
    };
    let mut plan = prepared.chroot(&definition.manifest, platform, workshop, argv);
    plan.process.env.retain(|(name, _)| name != "TERM");
    plan.process.env.push(("TERM".into(), "xterm".into()));
    Ok(Chroot { plan, _prepared: prepared })
}

/// Returns the work folder of a build, kept or not.
pub fn work_folder(cache_dir: &Path, spec: &RuntimeSpec, platform: Platform) -> WorkFolder {
    WorkFolder { root: cache_dir.join("builds").join(format!("{}-{platform}", spec.folder())) }
}
