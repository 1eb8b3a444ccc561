//! Installing: an artifact of a registry becomes a folder, whole or not at all.
//!
//! The order, and what a crash after each step leaves: download into `.store` (taken up again later), unpack into
//! `.staging` (removed by the next command), write the index and the next record (removed, as no folder has
//! the identity in it), rename into place (this is the commit: the record that waits is about this folder), alias,
//! record (both finished by the next command).

pub mod plan;

use std::io::{self, Seek, Write};
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;

use fs_err as fs;
use rnx_archive::unpack::{Limits, Options, UnpackError, verify_and_unpack};
use rnx_spec::RuntimeSpec;
use rnx_spec::artifact::FileIndex;
use rnx_spec::runtime_yml::{self, ParseRuntimeYmlError};
use rnx_store::blob::{self, AddBlobError};
use rnx_store::fetch::Fetcher;
use rnx_store::guard::{LockError, StoreGuard};
use rnx_store::layout::Layout;
use rustix::fs::{CWD, RenameFlags};

pub use self::plan::InstallPlan;
use crate::alias::{self, AliasError};
use crate::record::{self, Record, RecordError, SCHEMA_VERSION, folder_id};

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
    Downloading,
    Unpacking,
    /// Everything is flushed to disk and put in place.
    Finishing,
}

/// Told how far an install is.
pub trait Progress {
    /// A stage begins.
    fn stage(&mut self, stage: Stage);
    /// So many bytes of the download are there.
    fn downloaded(&mut self, bytes: u64);
}

/// An install that failed. What was installed before is as it was.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error("failed to make the folder `{}`", path.display())]
    MakeFolder { path: PathBuf, source: io::Error },
    #[error("failed to wait for another install of the same runtime")]
    Lock(#[source] LockError),
    #[error(
        "`{}` has too little space: {needed_bytes} bytes are needed, {free_bytes} are free",
        path.display()
    )]
    Space { path: PathBuf, needed_bytes: u64, free_bytes: u64 },
    #[error("failed to find out how much space `{}` has", path.display())]
    AskSpace { path: PathBuf, source: io::Error },
    #[error("failed to download `{spec}`")]
    Download { spec: RuntimeSpec, source: Box<AddBlobError> },
    #[error("failed to put the parts of `{spec}` together")]
    Assemble { spec: RuntimeSpec, source: io::Error },
    #[error("failed to unpack `{spec}`")]
    Unpack { spec: RuntimeSpec, source: Box<UnpackError> },
    #[error("the archive of `{spec}` has no `runtime.yml` at its root")]
    NoRuntimeYml { spec: RuntimeSpec, source: io::Error },
    #[error("the `runtime.yml` of `{spec}` cannot be read")]
    RuntimeYml { spec: RuntimeSpec, source: Box<ParseRuntimeYmlError> },
    #[error("the archive of `{spec}` holds `{found}`")]
    OtherRuntime { spec: RuntimeSpec, found: String },
    #[error("failed to flush `{}` to disk", path.display())]
    Flush { path: PathBuf, source: io::Error },
    #[error("failed to move the install to `{}`", path.display())]
    Place { path: PathBuf, source: io::Error },
    #[error("failed to keep the record of the install")]
    Record(#[source] RecordError),
    #[error("`{spec}` is installed, but its alias is not set")]
    Alias { spec: RuntimeSpec, source: AliasError },
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
    check_space(layout, plan)?;
    progress.stage(Stage::Downloading);
    let blobs = download(layout, fetcher, plan, progress)?;
    let tree = layout.staged_tree(spec);
    make_dir(&tree)?;
    progress.stage(Stage::Unpacking);
    let index = unpack(layout, plan, &blobs, &tree);
    if index.is_ok() || !matches!(index, Err(InstallError::Assemble { .. })) {
        // Unpacked they are of no more use, and refused they never will be.
        for blob in &blobs {
            record::remove(blob).map_err(InstallError::Record)?;
        }
    }
    let index = index?;
    check_runtime_yml(spec, &tree)?;
    progress.stage(Stage::Finishing);
    let next = Record {
        schema_version: SCHEMA_VERSION,
        name: spec.name.clone(),
        version: spec.version,
        platform: resolved.platform,
        registry: resolved.registry.document.clone(),
        archive: resolved.digest,
        unpacked_bytes: resolved.unpacked_bytes,
        entries: resolved.entries,
        installed_at: now.to_owned(),
        folder: folder_id(&tree).ok_or_else(|| InstallError::Place {
            path: tree.clone(),
            source: io::ErrorKind::NotFound.into(),
        })?,
    };
    write_state(layout, &next, &index)?;
    flush(&tree)?;
    place(layout, spec)?;
    alias::refresh(layout, &spec.name)
        .map_err(|source| InstallError::Alias { spec: spec.clone(), source })?;
    Ok(Outcome::Installed)
}

/// Makes sure that the download and the unpacked files fit on the disk.
fn check_space(layout: &Layout, plan: &InstallPlan) -> Result<(), InstallError> {
    let path = layout.base().to_owned();
    let stat = rustix::fs::statvfs(&path)
        .map_err(|errno| InstallError::AskSpace { path: path.clone(), source: errno.into() })?;
    let free_bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
    let needed_bytes = plan.needed_bytes();
    if needed_bytes > free_bytes {
        return Err(InstallError::Space { path, needed_bytes, free_bytes });
    }
    Ok(())
}

fn download(
    layout: &Layout,
    fetcher: &Fetcher,
    plan: &InstallPlan,
    progress: &mut dyn Progress,
) -> Result<Vec<PathBuf>, InstallError> {
    let mut blobs = Vec::new();
    let mut before = 0;
    for piece in &plan.resolved.pieces {
        let mut last = 0;
        let mut downloaded = |bytes| {
            last = bytes;
            progress.downloaded(before + bytes);
        };
        let added = blob::add(fetcher, piece, &layout.store(), &mut downloaded);
        let spec = || plan.resolved.spec.clone();
        blobs.push(
            added
                .map_err(|source| InstallError::Download { spec: spec(), source: source.into() })?,
        );
        before += last;
    }
    Ok(blobs)
}

fn unpack(
    layout: &Layout,
    plan: &InstallPlan,
    blobs: &[PathBuf],
    tree: &Path,
) -> Result<FileIndex, InstallError> {
    let resolved = &plan.resolved;
    let spec = || resolved.spec.clone();
    let archive = match blobs {
        [single] => single.clone(),
        parts => assemble(parts, &layout.staged(&resolved.spec).join("archive"))
            .map_err(|source| InstallError::Assemble { spec: spec(), source })?,
    };
    let options = Options {
        limits: Limits {
            archive_bytes: resolved.size_bytes,
            unpacked_bytes: resolved.unpacked_bytes,
            entries: resolved.entries,
        },
        threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
    };
    verify_and_unpack(&archive, resolved.size_bytes, resolved.digest, tree, &options)
        .map(|unpacked| unpacked.index)
        .map_err(|source| InstallError::Unpack { spec: spec(), source: source.into() })
}

fn assemble(parts: &[PathBuf], archive: &Path) -> io::Result<PathBuf> {
    let mut out = fs::File::create(archive)?;
    for part in parts {
        io::copy(&mut fs::File::open(part)?, &mut out)?;
    }
    out.flush()?;
    out.rewind()?;
    Ok(archive.to_owned())
}

fn check_runtime_yml(spec: &RuntimeSpec, tree: &Path) -> Result<(), InstallError> {
    let path = tree.join("runtime.yml");
    let no_file = |source| InstallError::NoRuntimeYml { spec: spec.clone(), source };
    let metadata = path.symlink_metadata().map_err(no_file)?;
    if !metadata.is_file() {
        return Err(no_file(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    let text = fs::read_to_string(&path).map_err(no_file)?;
    let document = runtime_yml::parse(&text)
        .map_err(|source| InstallError::RuntimeYml { spec: spec.clone(), source: source.into() })?;
    if document.name != spec.name.as_str() || document.version != spec.version.to_string() {
        let found = format!("{}@{}", document.name, document.version);
        return Err(InstallError::OtherRuntime { spec: spec.clone(), found });
    }
    Ok(())
}

/// Writes the index and the record that holds as soon as the folder has its name.
fn write_state(layout: &Layout, next: &Record, index: &FileIndex) -> Result<(), InstallError> {
    let spec = RuntimeSpec { name: next.name.clone(), version: next.version };
    let write = |path: PathBuf, json: Result<Vec<u8>, serde_json::Error>| {
        let bytes = json.map_err(|source| RecordError::Parse { path: path.clone(), source })?;
        record::write_file(&path, &bytes)
    };
    write(layout.index(&spec, next.archive), serde_json::to_vec(index))
        .and_then(|()| write(layout.next_record(&spec), serde_json::to_vec_pretty(next)))
        .map_err(InstallError::Record)
}

/// Flushes everything on the tree's filesystem at once: file by file takes many times as long.
fn flush(tree: &Path) -> Result<(), InstallError> {
    let error = |source| InstallError::Flush { path: tree.to_owned(), source };
    let dir = fs::File::open(tree).map_err(error)?;
    rustix::fs::syncfs(&dir).map_err(|errno| error(errno.into()))
}

/// Gives the staged tree its name. What had the name takes its place in `.staging`.
fn place(layout: &Layout, spec: &RuntimeSpec) -> Result<(), InstallError> {
    let (from, to) = (layout.staged_tree(spec), layout.install(spec));
    let error = |source| InstallError::Place { path: to.clone(), source };
    let flags = match to.symlink_metadata() {
        Ok(_) => RenameFlags::EXCHANGE,
        Err(absent) if absent.kind() == io::ErrorKind::NotFound => RenameFlags::NOREPLACE,
        Err(other) => return Err(error(other)),
    };
    match rustix::fs::renameat_with(CWD, &from, CWD, &to, flags) {
        // Some filesystems know no flags. A plain rename never replaces a folder with something in it.
        Err(rustix::io::Errno::INVAL) if flags == RenameFlags::NOREPLACE => {
            fs::rename(&from, &to).map_err(error)?;
        }
        renamed => renamed.map_err(|errno| error(errno.into()))?,
    }
    if flags == RenameFlags::EXCHANGE {
        // What had the name is deleted once no job runs in it.
        record::move_to_wait(layout, spec, &from).map_err(InstallError::Record)?;
    }
    record::sync_dir(layout.base()).map_err(InstallError::Record)
}

/// Makes a folder that everyone may read, whatever the umask.
fn make_dir(path: &Path) -> Result<(), InstallError> {
    fs::create_dir_all(path)
        .and_then(|()| fs::set_permissions(path, PermissionsExt::from_mode(0o755)))
        .map_err(|source| InstallError::MakeFolder { path: path.to_owned(), source })
}
