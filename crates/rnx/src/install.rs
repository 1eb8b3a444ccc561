//! Installing: an artifact of a registry becomes a folder, whole or not at all.
//!
//! The order, and what a crash after each step leaves: download into `.store` (taken up again later), unpack into
//! `.staging` (removed by the next command), write the index and the next record (removed, as no folder has
//! the identity in it), rename into place (this is the commit: the record that waits is about this folder), alias,
//! record (both finished by the next command).

pub(crate) mod delta;
mod download;
mod error;
pub(crate) mod place;
pub mod plan;
pub(crate) mod share;
mod space;

use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rnx_archive::unpack::{Archive, Limits, Options, UnpackError, verify_and_unpack};
use rnx_spec::RuntimeSpec;
use rnx_spec::artifact::FileIndex;
use rnx_store::blob::AddBlobError;
use rnx_store::fetch::Fetcher;
use rnx_store::guard::StoreGuard;
use rnx_store::layout::Layout;

use self::delta::Delta;
pub use self::delta::INDEX_BYTES_MAX;
pub use self::error::InstallError;
use self::place::make_dir;
pub use self::plan::InstallPlan;
use crate::alias;
use crate::record::{self, Record, SCHEMA_VERSION, folder_id};

/// Unpacking uses all cores and some mebibytes for each: one install after the other.
static UNPACKING: Mutex<()> = Mutex::new(());

/// How an install ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Installed,
    /// It was there, perhaps since another process installed it in the meantime.
    AlreadyInstalled,
}

/// What an install is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Another process installs the same.
    Waiting,
    /// So many bytes.
    Downloading {
        bytes: u64,
    },
    Unpacking,
    /// Everything is flushed to disk and put in place.
    Finishing,
}

/// Told how far an install is.
pub trait Progress: Send {
    /// A stage begins.
    fn stage(&mut self, stage: Stage);
    /// So many bytes of the download are there.
    fn downloaded(&mut self, bytes: u64);
    /// The download broke off, and goes on after a pause.
    fn paused(&mut self, why: &AddBlobError, pause: Duration);
}

/// Carries out a plan. `now` is in RFC 3339.
pub fn install(
    layout: &Layout,
    fetcher: &Fetcher,
    plan: &InstallPlan,
    now: &str,
    progress: &mut dyn Progress,
) -> Result<Outcome, InstallError> {
    for dir in [layout.base().to_owned(), layout.store(), layout.staging(), layout.state()] {
        if !dir.is_dir() {
            make_dir(&dir)?;
        }
    }
    let guard = lock(layout, &plan.resolved.spec, progress)?;
    let outcome = install_locked(layout, fetcher, plan, now, progress);
    // After a failure too: whoever comes next finds nothing half-done.
    let settled = record::settle_one(layout, &plan.resolved.spec).map_err(InstallError::Record);
    guard.delete().map_err(InstallError::Lock)?;
    outcome.and_then(|outcome| settled.map(|()| outcome))
}

fn lock(
    layout: &Layout,
    spec: &RuntimeSpec,
    progress: &mut dyn Progress,
) -> Result<StoreGuard, InstallError> {
    let path = layout.install_lock(spec);
    if let Some(guard) = StoreGuard::try_lock(&path).map_err(InstallError::Lock)? {
        return Ok(guard);
    }
    progress.stage(Stage::Waiting);
    StoreGuard::lock(&path).map_err(InstallError::Lock)
}

fn install_locked(
    layout: &Layout,
    fetcher: &Fetcher,
    plan: &InstallPlan,
    now: &str,
    progress: &mut dyn Progress,
) -> Result<Outcome, InstallError> {
    let resolved = &plan.resolved;
    let spec = &resolved.spec;
    record::settle_one(layout, spec).map_err(InstallError::Record)?;
    if record::is_installed(layout, spec) && !plan.replace {
        return Ok(Outcome::AlreadyInstalled);
    }
    let tree = layout.staged_tree(spec);
    let index = make_tree(layout, fetcher, plan, &tree, progress)?;
    place::check_runtime_yml(spec, &tree)?;
    progress.stage(Stage::Finishing);
    let next = Record {
        schema_version: SCHEMA_VERSION,
        name: spec.name.clone(),
        version: spec.version,
        platform: resolved.platform,
        registry: resolved.registry.document.clone(),
        archive: resolved.digest,
        unpacked_bytes: share::contents(&index).map(|(_, content)| content.size_bytes).sum(),
        entries: index.entries.len() as u64,
        installed_at: now.to_owned(),
        folder: folder_id(&tree).ok_or_else(|| InstallError::Place {
            path: tree.clone(),
            source: io::ErrorKind::NotFound.into(),
        })?,
    };
    place::write_state(layout, &next, &index)?;
    place::flush(&tree)?;
    place::place(layout, spec)?;
    alias::refresh(layout, &spec.name)
        .map_err(|source| InstallError::Alias { spec: spec.clone(), source })?;
    Ok(Outcome::Installed)
}

/// Makes the tree of an install: from what other installs have, where that is most of it, or from the whole archive.
fn make_tree(
    layout: &Layout,
    fetcher: &Fetcher,
    plan: &InstallPlan,
    tree: &Path,
    progress: &mut dyn Progress,
) -> Result<FileIndex, InstallError> {
    let resolved = &plan.resolved;
    // Who asks for it again does not want what is here.
    if !plan.replace
        && let Some(delta) = delta::plan(layout, fetcher, resolved).map_err(InstallError::Record)?
        && let Some(index) = from_delta(layout, fetcher, (plan, delta), tree, progress)?
    {
        return Ok(index);
    }
    let _room = space::promise(layout.base(), plan.needed_bytes())?;
    progress.stage(Stage::Downloading { bytes: resolved.size_bytes });
    let blobs = download::download(layout, fetcher, plan, progress)?;
    let alone = UNPACKING.lock().unwrap_or_else(PoisonError::into_inner);
    make_dir(tree)?;
    progress.stage(Stage::Unpacking);
    let index = unpack(layout, plan, &blobs, tree);
    drop(alone);
    // Unpacked they are of no more use, and refused they never will be. Where the host failed, they are kept.
    if !index.as_ref().is_err_and(InstallError::is_of_host) {
        for blob in &blobs {
            record::remove(blob).map_err(InstallError::Record)?;
        }
    }
    let index = index?;
    let spare = layout.staged(&resolved.spec).join("link");
    share::link_known(layout, (&resolved.spec, &index), tree, &spare)
        .map_err(InstallError::Record)?;
    Ok(index)
}

/// Makes the tree from what is here and the rest; nothing where that is not to be had, whatever the reason: the whole
/// archive is another way.
fn from_delta(
    layout: &Layout,
    fetcher: &Fetcher,
    (plan, delta): (&InstallPlan, Delta),
    tree: &Path,
    progress: &mut dyn Progress,
) -> Result<Option<FileIndex>, InstallError> {
    let _room = space::promise(layout.base(), plan.needed_bytes_of(delta.written_bytes))?;
    make_dir(tree)?;
    match delta::unpack(delta, fetcher, &plan.resolved, tree, progress) {
        Ok(index) => Ok(Some(index)),
        Err(source @ (UnpackError::Write { .. } | UnpackError::Dest { .. })) => {
            let spec = plan.resolved.spec.clone();
            Err(InstallError::Unpack { spec, source: source.into() })
        }
        Err(_other) => record::remove(tree).map(|()| None).map_err(InstallError::Record),
    }
}

fn unpack(
    layout: &Layout,
    plan: &InstallPlan,
    blobs: &[PathBuf],
    tree: &Path,
) -> Result<FileIndex, InstallError> {
    let resolved = &plan.resolved;
    let spec = || resolved.spec.clone();
    let failed = |source: UnpackError| InstallError::Unpack { spec: spec(), source: source.into() };
    // Parts are read where they lie: put together they would need their space a second time.
    let archive = Archive::open_parts(blobs).map_err(failed)?;
    let options = Options {
        limits: Limits {
            archive_bytes: resolved.size_bytes,
            unpacked_bytes: match resolved.unpacked_bytes {
                plan::UNPACKED_BYTES_UNKNOWN => space::free_bytes(layout.base())?,
                promised => promised,
            },
            entries: resolved.entries,
        },
        threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
    };
    verify_and_unpack(&archive, resolved.size_bytes, resolved.digest, tree, &options)
        .map(|unpacked| unpacked.index)
        .map_err(failed)
}
