//! Everything before the setup script: base, sources, and a fresh work folder under a lock.

use std::io;
use std::path::{Path, PathBuf};

use rnx_sandbox::plan::{Identity, SandboxPlan};
use rnx_spec::manifest::{BuildNetwork, Manifest, Source};
use rnx_spec::{Digest, Platform, RuntimeSpec};
use rnx_store::blob;

use super::contract::ScriptEnvironment;
use super::disk::DiskLimit;
use super::inputs::{self, EpochFrom};
use super::plan::{self, ChrootInputs, HostFiles, WorkFolder};
use super::{BuildError, Event, Workshop, stage, work_folder};
use crate::definitions::{self, Definition};
use crate::rootfs::{self, Progress, ResolvedBase};
use crate::sources;

/// What a setup script is run with.
#[derive(Debug)]
pub struct Prepared {
    pub work: WorkFolder,
    pub base: PathBuf,
    pub base_name: String,
    pub base_digest: Digest,
    pub base_reused: bool,
    /// The setup script, relative to the definition.
    pub script: String,
    pub build_id: String,
    pub epoch: u64,
    pub log: PathBuf,
    spec: RuntimeSpec,
    host: HostFiles,
    identity: Identity,
    /// Held as long as the work folder is in use; the kernel frees it when this process ends.
    _lock: fs_err::File,
}

impl Prepared {
    /// Returns the chroot in which `argv` runs.
    pub fn chroot(
        &self,
        manifest: &Manifest,
        platform: Platform,
        workshop: &Workshop<'_>,
        argv: &[&str],
    ) -> SandboxPlan {
        let inputs = ChrootInputs {
            base: &self.base,
            work: &self.work,
            host: &self.host,
            identity: &self.identity,
            network: if workshop.offline { BuildNetwork::None } else { manifest.network },
            environment: ScriptEnvironment {
                spec: &self.spec,
                platform,
                build_id: &self.build_id,
                source_date_epoch: self.epoch,
                locked: workshop.locked,
                ca_bundle: self.host.ca_bundle.is_some(),
                proxies: &workshop.environment.proxies,
            },
        };
        plan::chroot(&inputs, argv)
    }

    /// Returns how much a script may fill.
    pub(super) fn disk_limit(&self, manifest: &Manifest) -> DiskLimit {
        DiskLimit {
            folder: self.work.root.clone(),
            bytes_max: manifest.limits.build_disk_bytes_max,
        }
    }
}

/// Makes or finds the base, fetches the sources, and fills a fresh work folder.
pub(crate) fn prepare(
    definition: &Definition,
    platform: Platform,
    workshop: &Workshop<'_>,
    on: &mut dyn FnMut(Event<'_>),
) -> Result<Prepared, BuildError> {
    let prepared = enter(definition, platform, workshop, on)?;
    if prepared.work.root.exists() {
        on(Event::Step("removing what an earlier build left".to_owned()));
    }
    discard(&prepared.work, workshop)?;
    match fill((definition, platform), &prepared, workshop, on) {
        Ok(()) => {
            start_log(&prepared, platform)?;
            Ok(prepared)
        }
        Err(error) => {
            // It would pass for what a failed script left. The error at hand says more than one from cleaning up.
            drop(discard(&prepared.work, workshop));
            Err(error)
        }
    }
}

fn fill(
    (definition, platform): (&Definition, Platform),
    prepared: &Prepared,
    workshop: &Workshop<'_>,
    on: &mut dyn FnMut(Event<'_>),
) -> Result<(), BuildError> {
    stage::stage(&prepared.work, &definition.dir, &prepared.host)
        .map_err(|source| BuildError::Stage { source })?;
    for source in definition.manifest.sources_for(platform) {
        on(Event::Step(format!("fetching {}", source.file)));
        fetch(source, &prepared.work, workshop, on)?;
    }
    Ok(())
}

/// Takes the work folder as an earlier build left it.
pub(crate) fn enter(
    definition: &Definition,
    platform: Platform,
    workshop: &Workshop<'_>,
    on: &mut dyn FnMut(Event<'_>),
) -> Result<Prepared, BuildError> {
    let manifest = &definition.manifest;
    let spec = manifest.spec();
    let script = definition
        .entry_script(platform)
        .and_then(|path| Some(format!("./{}", path.file_name()?.to_string_lossy())))
        .ok_or_else(|| BuildError::NoScript { spec: spec.clone(), platform })?;
    let (base_name, base) = base(manifest, platform, workshop, on)?;
    let work = work_folder(workshop.provisioning.cache_dir, &spec, platform);
    let lock = lock(&work)?;
    let (epoch, from) = inputs::epoch(workshop.repo, &spec.name, workshop.environment);
    if from == EpochFrom::Nothing {
        on(Event::Note("no commit dates this definition: files are dated 1980-01-01".to_owned()));
    }
    let build_id = inputs::build_id(&definition.dir, platform, base.digest)
        .map_err(|source| BuildError::Inputs { source })?;
    let log = workshop.dist.join("logs").join(format!("{}-{platform}.log", spec.folder()));
    let prepared = Prepared {
        work,
        base: base.dir,
        base_name,
        base_digest: base.digest,
        base_reused: base.reused,
        script,
        build_id,
        epoch,
        log,
        spec,
        host: inputs::host_files(workshop.repo, workshop.environment),
        identity: workshop.provisioning.identity.to_sandbox(),
        _lock: lock,
    };
    Ok(prepared)
}

/// Removes a work folder, whoever its files belong to.
pub(crate) fn discard(work: &WorkFolder, workshop: &Workshop<'_>) -> Result<(), BuildError> {
    if !work.root.exists() {
        return Ok(());
    }
    rootfs::remove_tree(&work.root, &workshop.provisioning)
        .map_err(|source| BuildError::Base { source: Box::new(source) })
}

fn base(
    manifest: &Manifest,
    platform: Platform,
    workshop: &Workshop<'_>,
    on: &mut dyn FnMut(Event<'_>),
) -> Result<(String, rootfs::BaseRootfs), BuildError> {
    let bases = definitions::load_bases(workshop.repo)
        .map_err(|source| BuildError::Bases { source: Box::new(source) })?;
    let (name, source) = bases
        .for_platform(&manifest.base, platform)
        .map_err(|source| BuildError::ChooseBase { source })?;
    let resolved =
        ResolvedBase { name: name.to_owned(), arch: platform.arch, source: source.clone() };
    on(Event::Step(format!("base {name} ({})", platform.arch)));
    if workshop.offline {
        let found = rootfs::find(&resolved, &workshop.provisioning)
            .map_err(|source| BuildError::Base { source: Box::new(source) })?;
        let what = format!("base {name} ({})", platform.arch);
        return found.map(|base| (resolved.name, base)).ok_or(BuildError::Offline { what });
    }
    let base = rootfs::ensure(&resolved, &workshop.provisioning, &mut |progress| match progress {
        Progress::Step(step) => on(Event::Step(format!("base {name}: {step}"))),
        Progress::Line(line) => on(Event::Line(line)),
        Progress::Bytes { .. } => {}
    })
    .map_err(|source| BuildError::Base { source: Box::new(source) })?;
    let how = if base.reused { "reused" } else { "made" };
    on(Event::Note(format!("base {name} ({}) {how}: {}", platform.arch, base.digest)));
    Ok((resolved.name, base))
}

/// Waits for nobody: another build of the same runtime is at work in the same folder.
fn lock(work: &WorkFolder) -> Result<fs_err::File, BuildError> {
    // Appended: a version has dots, and `with_extension` would cut it.
    let mut path = work.root.clone().into_os_string();
    path.push(".lock");
    let path = PathBuf::from(path);
    let open = || -> io::Result<fs_err::File> {
        fs_err::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        fs_err::OpenOptions::new().create(true).truncate(false).write(true).open(&path)
    };
    let file = open().map_err(|source| BuildError::Lock { path: path.clone(), source })?;
    match file.file().try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(BuildError::Busy { path }),
        Err(std::fs::TryLockError::Error(source)) => Err(BuildError::Lock { path, source }),
    }
}

fn fetch(
    source: &Source,
    work: &WorkFolder,
    workshop: &Workshop<'_>,
    on: &mut dyn FnMut(Event<'_>),
) -> Result<(), BuildError> {
    let blobs = workshop.provisioning.cache_dir.join("sources");
    let options = workshop.provisioning.fetch;
    if workshop.offline && !blob::path(&blobs, source.sha256).is_file() {
        return Err(BuildError::Offline { what: format!("source {}", source.file) });
    }
    let mut progress =
        |bytes: u64| on(Event::Step(format!("fetching {}: {} MiB", source.file, bytes >> 20)));
    let blob = sources::fetch(source, &blobs, (workshop.source_mirror, options), &mut progress)
        .map_err(|source| BuildError::Source { source: Box::new(source) })?;
    fs_err::copy(blob, work.sources().join(&source.file))
        .map(|_bytes| ())
        .map_err(|source| BuildError::Log { source })
}

/// The log begins with what the build was made from.
fn start_log(prepared: &Prepared, platform: Platform) -> Result<(), BuildError> {
    let base = prepared.base_digest;
    let head = format!(
        "build {} of {} for {platform}\nbase {base}\nSOURCE_DATE_EPOCH {}\n\n",
        prepared.build_id, prepared.spec, prepared.epoch
    );
    fs_err::create_dir_all(prepared.log.parent().unwrap_or(Path::new(".")))
        .and_then(|()| fs_err::write(&prepared.log, head))
        .map_err(|source| BuildError::Log { source })
}
