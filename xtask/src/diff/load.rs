//! Artifacts by name: a file in `dist/`, or a version that is built there or published.

use std::io;
use std::path::{Path, PathBuf};

use rnx_spec::artifact::{FileIndex, archive_file};
use rnx_spec::registry::{self, ParseRegistryError, SideFile};
use rnx_spec::{Digest, Platform, RuntimeSpec, SourceUrl};
use rnx_store::blob::{self, AddBlobError, BlobRequest, SizeBound};
use rnx_store::fetch::{FetchOptions, FetchOptionsError, Fetcher};

use super::Artifact;
use crate::sbom::Sbom;

const ARCHIVE: &str = ".tar.gz";
const INDEX: &str = ".files.json";
const SBOM: &str = ".sbom.json";

/// An index of a million files is some 300 MB.
const SIDE_BYTES_MAX: u64 = 1 << 30;

/// An artifact could not be described.
#[derive(Debug, thiserror::Error)]
pub enum LoadArtifactError {
    #[error("`{}` is no file of an artifact: expected `….tar.gz`, `….files.json` or `….sbom.json`", path.display())]
    NotArtifact { path: PathBuf },
    #[error("failed to read an artifact")]
    Read { source: io::Error },
    #[error("`{}` cannot be read", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("neither `{}` nor its SBOM is there, so its digest is not known", archive.display())]
    NoDigest { archive: PathBuf },
    #[error("`{}` is no registry", path.display())]
    Registry { path: PathBuf, source: ParseRegistryError },
    #[error("the fetch options are unusable")]
    Options { source: FetchOptionsError },
    #[error("failed to fetch the {what} of {label}")]
    Fetch { what: &'static str, label: String, source: Box<AddBlobError> },
    #[error("{label} has no index of its files")]
    NoIndex { label: String },
}

/// Where published artifacts are looked up.
#[derive(Debug, Clone, Copy)]
pub struct Published<'a> {
    /// The `registry.json`.
    pub registry: &'a Path,
    /// Where what was fetched is kept.
    pub cache_dir: &'a Path,
    pub fetch: &'a FetchOptions,
}

/// Describes the artifact that one of its files in a folder belongs to. ⚡
pub fn from_file(path: &Path) -> Result<Artifact, LoadArtifactError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stem = [ARCHIVE, INDEX, SBOM].iter().find_map(|end| name.strip_suffix(end));
    let Some(stem) = stem else {
        return Err(LoadArtifactError::NotArtifact { path: path.to_owned() });
    };
    let beside = |end: &str| path.with_file_name(format!("{stem}{end}"));
    let sbom_path = beside(SBOM);
    let sbom: Option<Sbom> = sbom_path.is_file().then(|| json(&sbom_path)).transpose()?;
    let archive = beside(ARCHIVE);
    let digest = if archive.is_file() {
        // `blob::digest` hashes what it reads.
        let file = fs_err::File::open(&archive);
        file.and_then(blob::digest).map_err(|source| LoadArtifactError::Read { source })?
    } else {
        // An archive that is cut has no file of its own.
        let told = sbom.as_ref().and_then(told_digest);
        told.ok_or(LoadArtifactError::NoDigest { archive })?
    };
    let index = json(&beside(INDEX))?;
    Ok(Artifact { label: stem.to_owned(), digest, index, sbom })
}

/// Describes a version that is built in `dist`, if it is. ⚡
pub fn from_dist(
    dist: &Path,
    spec: &RuntimeSpec,
    platform: Platform,
) -> Result<Option<Artifact>, LoadArtifactError> {
    let path = dist.join(archive_file(spec, platform));
    let index = dist.join(rnx_spec::artifact::index_file(spec, platform));
    index.is_file().then(|| from_file(&path)).transpose()
}

/// Describes a published version, if there is one: its index and SBOM are fetched and verified. ⚡
pub fn from_registry(
    from: &Published<'_>,
    spec: &RuntimeSpec,
    platform: Platform,
) -> Result<Option<Artifact>, LoadArtifactError> {
    let bytes = match fs_err::read(from.registry) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(LoadArtifactError::Read { source }),
    };
    let path = from.registry.to_owned();
    let registry =
        registry::parse(&bytes).map_err(|source| LoadArtifactError::Registry { path, source })?;
    let Some(artifact) = registry.get(spec).and_then(|release| release.artifacts.get(&platform))
    else {
        return Ok(None);
    };
    let label = format!("{spec} {platform}");
    let Some(files) = &artifact.files else { return Err(LoadArtifactError::NoIndex { label }) };
    let index: FileIndex = json(&fetch(from, (files, "index"), &label)?)?;
    let sbom = artifact.sbom.as_ref().map(|sbom| fetch(from, (sbom, "SBOM"), &label));
    let sbom = sbom.transpose()?.map(|path| json(&path)).transpose()?;
    Ok(Some(Artifact { label, digest: artifact.digest, index, sbom }))
}

fn fetch(
    from: &Published<'_>,
    (file, what): (&SideFile, &'static str),
    label: &str,
) -> Result<PathBuf, LoadArtifactError> {
    let failed = |source| {
        let source = Box::new(source);
        LoadArtifactError::Fetch { what, label: label.to_owned(), source }
    };
    let fetcher =
        Fetcher::new(from.fetch).map_err(|source| LoadArtifactError::Options { source })?;
    let absolute =
        fs_err::canonicalize(from.registry).map_err(|source| LoadArtifactError::Read { source })?;
    // A canonical path is absolute, and such a path always has a URL.
    let document = SourceUrl::from_path(&absolute)
        .ok_or_else(|| LoadArtifactError::NotArtifact { path: absolute.clone() })?;
    let request = BlobRequest {
        url: file.url.resolve(&document),
        digest: file.digest,
        size: SizeBound::AtMost(SIDE_BYTES_MAX),
    };
    blob::add(&fetcher, &request, &from.cache_dir.join("published"), &mut |_bytes| {})
        .map_err(failed)
}

fn told_digest(sbom: &Sbom) -> Option<Digest> {
    sbom.metadata.component.hashes.first()?.content.parse().ok()
}

fn json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, LoadArtifactError> {
    let bytes = fs_err::read(path).map_err(|source| LoadArtifactError::Read { source })?;
    serde_json::from_slice(&bytes)
        .map_err(|source| LoadArtifactError::Json { path: path.to_owned(), source })
}
