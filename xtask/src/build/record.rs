//! What a build in `dist` was made from: by this, one whose inputs are the same is not built again.

use std::io;
use std::path::{Path, PathBuf};

use rnx_spec::artifact::definition_file;
use rnx_spec::lock::{self, LockFile, PlatformLock};
use rnx_spec::{Digest, Platform, RuntimeSpec};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use walkdir::WalkDir;

use super::dist::{self, Written};
use super::inputs::{ReadInputsError, add_content};
use super::prepare::{self, Prepared};
use super::{BuildError, Built, Event, Workshop};
use crate::definitions::Definition;

/// The folder of `dist` that the records are in.
const RECORDS: &str = "records";

/// Everything that decides what a build is, but for what the archives of packages answer on the day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// Of the definition, the platform and the base.
    pub build_id: String,
    /// The digest of `runtimes/lib/`.
    pub lib: Digest,
    /// The digest of this platform's section of `versions.lock`.
    pub lock: Option<Digest>,
    pub locked: bool,
    pub epoch: u64,
    /// The digest of the program that built.
    pub program: Digest,
}

/// What [`write`] leaves and [`current`] reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    inputs: Inputs,
    /// Every file of the build, as `SHA256SUMS` has it: name and digest.
    files: Vec<(String, String)>,
}

/// Returns whether `dist` holds this build, made from the same inputs, all files as they were written.
pub fn current(
    definition: &Definition,
    platform: Platform,
    workshop: &Workshop<'_>,
    on: &mut dyn FnMut(Event<'_>),
) -> Result<bool, BuildError> {
    let spec = definition.manifest.spec();
    // What cannot be read is no record, and then there is a build.
    let text = fs_err::read(path(workshop.dist, &spec, platform)).unwrap_or_default();
    let Ok(record) = serde_json::from_slice::<Record>(&text) else { return Ok(false) };
    let sums = dist::read_sums(workshop.dist).map_err(|source| BuildError::Dist { source })?;
    let is_there = |(name, digest): &(String, String)| {
        sums.get(name) == Some(digest) && workshop.dist.join(name).is_file()
    };
    // That of the definition changes with the lock of another platform.
    let has_definition = workshop.dist.join(definition_file(&spec)).is_file();
    if !has_definition || !record.files.iter().all(is_there) {
        return Ok(false);
    }
    let prepared = prepare::enter(definition, platform, workshop, on)?;
    Ok(inputs(definition, platform, workshop, &prepared)? == record.inputs)
}

/// Writes down what a build was made from. A definition that changed while it was built has other inputs next time.
pub(super) fn write(
    inputs: Inputs,
    built: &Built,
    workshop: &Workshop<'_>,
) -> Result<(), BuildError> {
    let file = |one: &Written| {
        let name = one.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (name, one.digest.hex())
    };
    let files = built.archive.files().into_iter().chain([&built.archive.index]);
    let files = files.chain(&built.archive.sbom).map(file).collect();
    let path = path(workshop.dist, &built.spec, built.platform);
    let log = |source: io::Error| BuildError::Log { source };
    let text =
        serde_json::to_vec_pretty(&Record { inputs, files }).map_err(|error| log(error.into()))?;
    fs_err::create_dir_all(workshop.dist.join(RECORDS)).map_err(log)?;
    fs_err::write(path, text).map_err(log)
}

/// Returns what a build would be made from now.
pub(super) fn inputs(
    definition: &Definition,
    platform: Platform,
    workshop: &Workshop<'_>,
    prepared: &Prepared,
) -> Result<Inputs, BuildError> {
    let read = |source| BuildError::Inputs { source: ReadInputsError::Read { source } };
    let mut file = crate::lock::read(&definition.dir)
        .map_err(|source| BuildError::LockFile { source: Box::new(source) })?;
    let program = fs_err::read(workshop.provisioning.helper).map_err(read)?;
    Ok(Inputs {
        build_id: prepared.build_id.clone(),
        lib: folder_digest(&workshop.repo.join("runtimes/lib")).map_err(read)?,
        lock: file.platforms.remove(&platform).map(|section| section_digest(platform, section)),
        locked: workshop.locked,
        epoch: prepared.epoch,
        program: digest(&program),
    })
}

fn section_digest(platform: Platform, section: PlatformLock) -> Digest {
    let platforms = [(platform, section)].into();
    digest(lock::write(&LockFile { platforms }).as_bytes())
}

/// Of names and contents; a repository without the folder has the digest of nothing.
fn folder_digest(folder: &Path) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(_missing) if !folder.exists() => break,
            Err(error) => return Err(error.into()),
        };
        hasher.update(
            entry.path().strip_prefix(folder).unwrap_or(folder).as_os_str().as_encoded_bytes(),
        );
        hasher.update(b"\0");
        add_content(&entry, &mut hasher)?;
    }
    Ok(Digest::from_bytes(hasher.finalize().into()))
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

fn path(dist: &Path, spec: &RuntimeSpec, platform: Platform) -> PathBuf {
    dist.join(RECORDS).join(format!("{}-{platform}.json", spec.folder()))
}
