//! The files of a release in `dist/`, with everything that is missing told at once, and the entry they make. ⚡
//!
//! What is known of a file comes from `SHA256SUMS`, which a build writes; its bytes are compared with that when they
//! are sent. What an archive holds comes from its index.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use rnx_spec::artifact::{
    EntryKind, FileIndex, PART_BYTES_MAX, archive_file, definition_file, index_file, metadata_file,
    sbom_file,
};
use rnx_spec::manifest::Manifest;
use rnx_spec::registry::{
    self, Artifact, Definition, InsertError, ParseRegistryError, Part, Registry, Release, Requires,
    SideFile,
};
use rnx_spec::source::UrlReference;
use rnx_spec::{Digest, Platform, RuntimeSpec};
use sha2::{Digest as _, Sha256};

use super::{Content, File};
use crate::build::dist::{self, SUMS_FILE, WriteDistError};

/// A runtime that a tag releases, as the tagged commit defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged {
    /// The name of its folder in `runtimes/`.
    pub folder: String,
    pub manifest: Manifest,
    /// The text of its manifest.
    pub text: String,
    /// The platforms that were built for it.
    pub builds: Vec<Platform>,
}

/// What is known of a release besides its files.
pub struct Facts<'a> {
    /// When the tag's commit was made, in RFC 3339: the same wherever publishing is repeated.
    pub released_at: &'a str,
    pub commit: &'a str,
    /// Where users will find a file.
    pub url: &'a dyn Fn(&str) -> Option<UrlReference>,
}

/// Everything that a release is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collected {
    /// In the order of their names, `SHA256SUMS` last.
    pub files: Vec<File>,
    pub releases: Vec<Release>,
}

/// Something about a file that keeps a release from being made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("{file} is missing: {spec} was not built for {platform}")]
    NotBuilt { spec: RuntimeSpec, platform: Platform, file: String },
    #[error("{file} is missing")]
    Missing { file: String },
    #[error("{file} has no line in {SUMS_FILE}")]
    NoSum { file: String },
    #[error("{file} is empty")]
    Empty { file: String },
    #[error("{file} has {size_bytes} bytes, and no parts of at most {PART_BYTES_MAX}")]
    TooLarge { file: String, size_bytes: u64 },
    #[error("the parts of {file} are not numbered from 1 without a gap")]
    Gap { file: String },
    #[error("{file} was packed from another manifest than the tag's")]
    OtherManifest { file: String },
}

/// A release could not be collected.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    #[error("`{}` does not hold the release: {}", dist.display(), listed(problems))]
    Problems { dist: PathBuf, problems: Vec<Problem> },
    #[error("failed to read the digests of what was built")]
    Sums { source: WriteDistError },
    #[error("failed to read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{}` is no index of an archive", path.display())]
    Index { path: PathBuf, source: serde_json::Error },
    #[error("the release makes no entry of a registry")]
    Entry { source: InsertError },
    #[error("the release makes no registry")]
    Registry { source: ParseRegistryError },
    #[error("`{file}` has no address on the forge")]
    Address { file: String },
}

/// What is in a folder of built files.
struct Dist<'a> {
    dir: &'a Path,
    sums: BTreeMap<String, Digest>,
    problems: Vec<Problem>,
    files: BTreeMap<String, File>,
}

/// Collects what was built for `runtimes` from the folder `dist`.
pub fn collect(
    dist: &Path,
    runtimes: &[Tagged],
    facts: &Facts<'_>,
) -> Result<Collected, CollectError> {
    let sums = dist::read_sums(dist).map_err(|source| CollectError::Sums { source })?;
    let sums = sums.into_iter().filter_map(|(name, hex)| Some((name, hex.parse().ok()?)));
    let mut found =
        Dist { dir: dist, sums: sums.collect(), problems: Vec::new(), files: BTreeMap::new() };
    let mut releases = Vec::new();
    for runtime in runtimes {
        if let Some(release) = found.runtime(runtime, facts)? {
            releases.push(release);
        }
    }
    if !found.problems.is_empty() {
        let (dist, problems) = (dist.to_owned(), found.problems);
        return Err(CollectError::Problems { dist, problems });
    }
    let mut files: Vec<File> = found.files.into_values().collect();
    for release in &releases {
        let registry = alone(release, facts.released_at)?;
        files.push(made(metadata_file(&release.spec), registry::write(&registry)));
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let sums = files.iter().map(|file| format!("{}  {}\n", file.digest.hex(), file.name)).collect();
    files.push(made(SUMS_FILE.to_owned(), sums));
    Ok(Collected { files, releases })
}

/// Returns a registry with one release in it.
fn alone(release: &Release, now: &str) -> Result<Registry, CollectError> {
    let empty = Registry::empty(now).map_err(|source| CollectError::Registry { source })?;
    registry::insert(&empty, release, now).map_err(|source| CollectError::Entry { source })
}

impl Dist<'_> {
    /// Takes the files of one runtime; `None` where some are missing.
    fn runtime(
        &mut self,
        Tagged { manifest, text, builds, .. }: &Tagged,
        facts: &Facts<'_>,
    ) -> Result<Option<Release>, CollectError> {
        let spec = manifest.spec();
        let definition = definition_file(&spec);
        let packed = self.take(&definition);
        if packed.is_some() {
            let path = self.dir.join(&definition);
            let inside = format!("{}/manifest.yaml", spec.name);
            let read = read_packed(&path, &inside)
                .map_err(|source| CollectError::Read { path, source })?;
            if read.as_deref() != Some(text.as_bytes()) {
                self.problems.push(Problem::OtherManifest { file: definition.clone() });
            }
        }
        let mut built = BTreeMap::new();
        for &platform in builds {
            if let Some(artifact) = self.artifact(&spec, platform, facts)? {
                built.insert(platform, artifact);
            }
        }
        let Some((digest, size_bytes)) = packed else { return Ok(None) };
        let mut artifacts = BTreeMap::new();
        for &platform in &manifest.platforms {
            if let Some(artifact) = built.get(&manifest.built_as(platform)) {
                artifacts.insert(platform, artifact.clone());
            }
        }
        Ok(Some(Release {
            description: manifest.description.clone(),
            definition: Definition {
                url: address(facts, &definition)?,
                digest: Some(digest),
                size_bytes: Some(size_bytes),
            },
            platforms: manifest
                .platforms
                .iter()
                .filter(|platform| artifacts.contains_key(platform))
                .copied()
                .collect(),
            released_at: Some(facts.released_at.to_owned()),
            source_commit: Some(facts.commit.to_owned()),
            license: manifest.license.clone(),
            artifacts,
            spec,
        }))
    }

    fn artifact(
        &mut self,
        spec: &RuntimeSpec,
        platform: Platform,
        facts: &Facts<'_>,
    ) -> Result<Option<Artifact>, CollectError> {
        let file = archive_file(spec, platform);
        let parts = self.parts(&file);
        let whole = if parts.is_empty() {
            if !self.dir.join(&file).is_file() {
                let (spec, platform) = (spec.clone(), platform);
                self.problems.push(Problem::NotBuilt { spec, platform, file });
                return Ok(None);
            }
            self.take(&file)
        } else {
            Some(self.whole(&file, &parts)?)
        };
        let index = index_file(spec, platform);
        let index_digest = self.take(&index);
        let sbom = sbom_file(spec, platform);
        let sbom_digest = if self.dir.join(&sbom).is_file() { self.take(&sbom) } else { None };
        let side = |file: &str, digest| -> Result<SideFile, CollectError> {
            Ok(SideFile { url: address(facts, file)?, digest })
        };
        let (Some((digest, size_bytes)), Some((index_digest, _))) = (whole, index_digest) else {
            return Ok(None);
        };
        let (unpacked_bytes, entries) = read_index(&self.dir.join(&index))?;
        Ok(Some(Artifact {
            url: address(facts, &file)?,
            parts: parts
                .into_iter()
                .map(|(part, digest, size_bytes)| {
                    Ok(Part { url: address(facts, &part)?, digest, size_bytes })
                })
                .collect::<Result<_, CollectError>>()?,
            digest,
            size_bytes,
            unpacked_bytes,
            entries,
            files: Some(side(&index, index_digest)?),
            sbom: sbom_digest.map(|(digest, _)| side(&sbom, digest)).transpose()?,
            // Only what was found out about an artifact is claimed of it.
            requires: Requires::default(),
        }))
    }

    /// Takes the parts that an archive was cut into.
    fn parts(&mut self, file: &str) -> Vec<(String, Digest, u64)> {
        let prefix = format!("{file}.part");
        let names: BTreeSet<String> =
            self.sums.keys().filter(|name| name.starts_with(&prefix)).cloned().collect();
        let numbers: Vec<usize> =
            names.iter().filter_map(|name| name.strip_prefix(&prefix)?.parse().ok()).collect();
        if numbers.iter().zip(1..).any(|(number, expected)| *number != expected)
            || numbers.len() != names.len()
        {
            self.problems.push(Problem::Gap { file: file.to_owned() });
        }
        let taken = names.into_iter().filter_map(|name| {
            let (digest, size_bytes) = self.take(&name)?;
            Some((name, digest, size_bytes))
        });
        taken.collect()
    }

    /// Returns the digest and length of an archive that was cut; the whole need not be there any more.
    fn whole(
        &self,
        file: &str,
        parts: &[(String, Digest, u64)],
    ) -> Result<(Digest, u64), CollectError> {
        let size_bytes = parts.iter().map(|(_, _, size_bytes)| size_bytes).sum();
        if let Some(digest) = self.sums.get(file) {
            return Ok((*digest, size_bytes));
        }
        let mut hasher = Sha256::new();
        for (part, _, _) in parts {
            let path = self.dir.join(part);
            fs_err::File::open(&path)
                .and_then(|mut from| io::copy(&mut from, &mut HashWriter(&mut hasher)))
                .map_err(|source| CollectError::Read { path, source })?;
        }
        Ok((Digest::from_bytes(hasher.finalize().into()), size_bytes))
    }

    /// Takes a file into the release; `None`, and a problem, where it cannot be one.
    fn take(&mut self, name: &str) -> Option<(Digest, u64)> {
        let (file, path) = (name.to_owned(), self.dir.join(name));
        let size_bytes = match fs_err::metadata(&path) {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            _ => {
                self.problems.push(Problem::Missing { file });
                return None;
            }
        };
        let Some(&digest) = self.sums.get(name) else {
            self.problems.push(Problem::NoSum { file });
            return None;
        };
        if size_bytes == 0 {
            self.problems.push(Problem::Empty { file });
            return None;
        }
        if size_bytes > PART_BYTES_MAX {
            self.problems.push(Problem::TooLarge { file, size_bytes });
            return None;
        }
        let content = Content::Path(path);
        self.files.insert(file.clone(), File { name: file, content, digest, size_bytes });
        Some((digest, size_bytes))
    }
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn made(name: String, text: String) -> File {
    let bytes = text.into_bytes();
    File {
        name,
        digest: Digest::from_bytes(Sha256::digest(&bytes).into()),
        size_bytes: bytes.len() as u64,
        content: Content::Bytes(bytes),
    }
}

fn address(facts: &Facts<'_>, file: &str) -> Result<UrlReference, CollectError> {
    (facts.url)(file).ok_or_else(|| CollectError::Address { file: file.to_owned() })
}

/// Returns the lengths of all files in an archive together, and the number of its entries.
fn read_index(path: &Path) -> Result<(u64, u64), CollectError> {
    let bytes = fs_err::read(path)
        .map_err(|source| CollectError::Read { path: path.to_owned(), source })?;
    let index: FileIndex = serde_json::from_slice(&bytes)
        .map_err(|source| CollectError::Index { path: path.to_owned(), source })?;
    let length = |kind: &EntryKind| match kind {
        EntryKind::File { size_bytes, .. } => *size_bytes,
        EntryKind::Dir | EntryKind::Symlink { .. } => 0,
    };
    let unpacked = index.entries.iter().map(|entry| length(&entry.kind)).sum();
    Ok((unpacked, index.entries.len() as u64))
}

/// Returns a file's bytes from a `.tar.gz`; `None` if it is not in there.
fn read_packed(archive: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
    let mut tar = tar::Archive::new(MultiGzDecoder::new(fs_err::File::open(archive)?));
    for entry in tar.entries()? {
        let mut entry = entry?;
        if *entry.path_bytes() == *name.as_bytes() {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

fn listed(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}
