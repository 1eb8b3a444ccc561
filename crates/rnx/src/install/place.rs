//! Giving a finished tree its name, so that it is there as a whole or not at all.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rnx_spec::RuntimeSpec;
use rnx_spec::artifact::FileIndex;
use rnx_spec::runtime_yml;
use rnx_store::layout::Layout;
use rustix::fs::{CWD, RenameFlags};

use super::InstallError;
use crate::record::{self, Record, RecordError};

/// Makes sure that the tree is of the runtime that it is installed as.
pub(super) fn check_runtime_yml(spec: &RuntimeSpec, tree: &Path) -> Result<(), InstallError> {
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
pub(super) fn write_state(
    layout: &Layout,
    next: &Record,
    index: &FileIndex,
) -> Result<(), InstallError> {
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
pub(crate) fn flush(tree: &Path) -> Result<(), InstallError> {
    let error = |source| InstallError::Flush { path: tree.to_owned(), source };
    let dir = fs::File::open(tree).map_err(error)?;
    rustix::fs::syncfs(&dir).map_err(|errno| error(errno.into()))
}

/// Gives the staged tree its name. What had the name takes its place in `.staging`.
pub(super) fn place(layout: &Layout, spec: &RuntimeSpec) -> Result<(), InstallError> {
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
pub(crate) fn make_dir(path: &Path) -> Result<(), InstallError> {
    fs::create_dir_all(path)
        .and_then(|()| fs::set_permissions(path, PermissionsExt::from_mode(0o755)))
        .map_err(|source| InstallError::MakeFolder { path: path.to_owned(), source })
}
