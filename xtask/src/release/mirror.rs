//! Copies a registry, or some runtimes of it, into a folder: for hosts that reach nothing else. ⚡
//!
//! Every file is verified before it stands under its name, a release is in the copy's registry only when all its files
//! are, and what is there and right is not fetched again. So a copy can be broken off, and brought up to date.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use rnx_spec::registry::{self, Ledger, ParseRegistryError, Registry, Release};
use rnx_spec::source::UrlReference;
use rnx_spec::{Digest, RuntimeName, RuntimeSpec, SourceUrl, Tag};
use rnx_store::blob::{self, AddBlobError, BlobRequest, SizeBound};
use rnx_store::fetch::{Fetcher, ReadAllError};

use super::publish::folder;
use super::registry_branch::{Change, ChangeError, with_releases};
use super::registry_file::{self, RegistryFileError};

/// The largest registry that is read.
const REGISTRY_BYTES_MAX: u64 = 64 << 20;
/// The largest index or SBOM that is fetched: the registry names no size of them.
const SIDE_FILE_BYTES_MAX: u64 = 1 << 30;
/// What is being fetched lies here, by its digest.
const FETCHING: &str = ".fetching";

/// What a copy did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mirrored {
    pub releases: Vec<RuntimeSpec>,
    /// How many files were fetched, and how many were there already.
    pub fetched: usize,
    pub kept: usize,
    /// Releases that are left out: their files have no digest to verify.
    pub unverifiable: Vec<RuntimeSpec>,
}

/// A registry was not copied to its end. The copy holds what was copied before, and nothing else.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    #[error("failed to read the registry")]
    Read { source: ReadAllError },
    #[error("`{url}` is no registry")]
    Parse { url: SourceUrl, source: ParseRegistryError },
    #[error("the registry has no runtime `{name}`")]
    Unknown { name: RuntimeName, known: BTreeSet<RuntimeName> },
    #[error("failed to fetch a file of `{spec}`")]
    Fetch { spec: RuntimeSpec, source: Box<AddBlobError> },
    #[error("`{url}` of `{spec}` has no name that a file can have")]
    Name { spec: RuntimeSpec, url: SourceUrl },
    #[error("failed to write the copy")]
    Write { source: io::Error },
    #[error("failed to change the copy's registry")]
    Registry { source: RegistryFileError },
}

/// One file of a release: where it is, and what is known of it.
struct Wanted<'a> {
    reference: &'a mut UrlReference,
    digest: Digest,
    size: SizeBound,
}

/// Copies the runtimes `names` of the registry at `from`, or all of them, into the folder `dir`.
///
/// `now` is in RFC 3339; `on` hears what is about to be copied.
pub fn mirror(
    fetcher: &Fetcher,
    (from, names): (&SourceUrl, &[RuntimeName]),
    (dir, now): (&Path, &str),
    on: &mut dyn FnMut(&RuntimeSpec),
) -> Result<Mirrored, MirrorError> {
    let parse = |source| MirrorError::Parse { url: from.clone(), source };
    let bytes = fetcher
        .read_all(from, REGISTRY_BYTES_MAX)
        .map_err(|source| MirrorError::Read { source })?;
    let ledger = Ledger::read(String::from_utf8_lossy(&bytes).into_owned()).map_err(parse)?;
    let known = ledger.names();
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        return Err(MirrorError::Unknown { name: unknown.clone(), known });
    }
    let names: Vec<&RuntimeName> =
        if names.is_empty() { known.iter().collect() } else { names.iter().collect() };
    fs_err::create_dir_all(dir).map_err(|source| MirrorError::Write { source })?;
    let mut mirrored = Mirrored::default();
    for name in names {
        let source = ledger.registry([name]).map_err(parse)?;
        for release in source.runtimes().get(name).into_iter().flat_map(|all| all.values()) {
            if release.definition.digest.is_none() {
                mirrored.unverifiable.push(release.spec.clone());
                continue;
            }
            on(&release.spec);
            let copied = copy(fetcher, (from, dir), release, &mut mirrored)?;
            register(dir, &copied, now)?;
            mirrored.releases.push(copied.spec);
        }
        withdraw(dir, name, &source, now)?;
    }
    match fs_err::remove_dir(dir.join(FETCHING)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(MirrorError::Write { source: error })
        }
        _ => Ok(mirrored),
    }
}

/// Copies the files of a release, and returns it with their addresses in the copy.
fn copy(
    fetcher: &Fetcher,
    (from, dir): (&SourceUrl, &Path),
    release: &Release,
    mirrored: &mut Mirrored,
) -> Result<Release, MirrorError> {
    let spec = &release.spec;
    let tag = Tag::One(spec.clone());
    let folder = dir.join(tag.to_string());
    fs_err::create_dir_all(&folder).map_err(|source| MirrorError::Write { source })?;
    let mut copied = release.clone();
    for Wanted { reference, digest, size } in files(&mut copied) {
        let url = reference.resolve(from);
        let name = file_name(&url);
        let named = || MirrorError::Name { spec: spec.clone(), url: url.clone() };
        let address = folder::address(&tag, &name).filter(|_| !name.is_empty());
        *reference = address.ok_or_else(named)?;
        let path = folder.join(&name);
        let there = fs_err::File::open(&path).and_then(blob::digest);
        if there.is_ok_and(|there| there == digest) {
            mirrored.kept += 1;
            continue;
        }
        let request = BlobRequest { url, digest, size };
        let blob =
            blob::add(fetcher, &request, &dir.join(FETCHING), &mut |_| {}).map_err(|source| {
                MirrorError::Fetch { spec: spec.clone(), source: Box::new(source) }
            })?;
        place(&blob, &path).map_err(|source| MirrorError::Write { source })?;
        mirrored.fetched += 1;
    }
    Ok(copied)
}

fn place(blob: &Path, path: &PathBuf) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs_err::set_permissions(blob, PermissionsExt::from_mode(0o644))?;
    fs_err::rename(blob, path)
}

/// Returns every file of a release. An archive that was cut is its parts.
fn files(release: &mut Release) -> Vec<Wanted<'_>> {
    let mut files = Vec::new();
    let definition = &mut release.definition;
    if let Some(digest) = definition.digest {
        let size = definition.size_bytes;
        let size = size.map_or(SizeBound::AtMost(SIDE_FILE_BYTES_MAX), SizeBound::Exactly);
        files.push(Wanted { reference: &mut definition.url, digest, size });
    }
    for artifact in release.artifacts.values_mut() {
        let size = SizeBound::Exactly(artifact.size_bytes);
        if artifact.parts.is_empty() {
            files.push(Wanted { reference: &mut artifact.url, digest: artifact.digest, size });
        }
        for part in &mut artifact.parts {
            let size = SizeBound::Exactly(part.size_bytes);
            files.push(Wanted { reference: &mut part.url, digest: part.digest, size });
        }
        for side in [&mut artifact.files, &mut artifact.sbom].into_iter().flatten() {
            let size = SizeBound::AtMost(SIDE_FILE_BYTES_MAX);
            files.push(Wanted { reference: &mut side.url, digest: side.digest, size });
        }
    }
    files
}

/// Returns the last segment of an address, its percent-encoding undone as far as a relative address can have it.
fn file_name(url: &SourceUrl) -> String {
    url.file_name().replace("%40", "@").replace("%2B", "+").replace("%2b", "+")
}

fn register(dir: &Path, release: &Release, now: &str) -> Result<(), MirrorError> {
    let change = Change {
        message: String::new(),
        names: vec![release.spec.name.clone()],
        apply: &|registry| with_releases(registry, std::slice::from_ref(release), now),
        now: now.to_owned(),
    };
    registry_file::change(dir, &change).map_err(|source| MirrorError::Registry { source })
}

/// Withdraws from the copy what the registry withdrew.
fn withdraw(dir: &Path, name: &RuntimeName, from: &Registry, now: &str) -> Result<(), MirrorError> {
    let Some(yanked) = from.yanked().get(name) else { return Ok(()) };
    let apply = |registry: &Registry| {
        let mut changed = registry.clone();
        for (version, yank) in yanked {
            let spec = RuntimeSpec { name: name.clone(), version: *version };
            if changed.get(&spec).is_some() {
                let why = (yank.reason.as_str(), yank.replacement);
                changed = registry::yank(&changed, &spec, why, now).map_err(ChangeError::Yank)?;
            }
        }
        Ok(changed)
    };
    let change = Change {
        message: String::new(),
        names: vec![name.clone()],
        apply: &apply,
        now: now.to_owned(),
    };
    registry_file::change(dir, &change).map_err(|source| MirrorError::Registry { source })
}
