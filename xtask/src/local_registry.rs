//! A registry in a folder: `registry.json` with the files of releases beside it, for `rnx --registry DIR`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use rnx_spec::Platform;
use rnx_spec::manifest::Manifest;
use rnx_spec::registry::{
    self, Artifact, Definition, InsertError, ParseRegistryError, Part, Registry, Release, Requires,
    SideFile,
};
use rnx_spec::source::{ParseUrlError, UrlReference};

use crate::build::dist::{Written, WrittenArchive};

/// What is released: a definition's archive, and a built runtime per platform that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built<'a> {
    pub manifest: &'a Manifest,
    pub definition: &'a Written,
    pub archives: &'a BTreeMap<Platform, WrittenArchive>,
    /// Now, in RFC 3339.
    pub now: &'a str,
}

/// A folder registry could not be written. `registry.json` is as it was.
#[derive(Debug, thiserror::Error)]
pub enum WriteRegistryError {
    #[error("failed to write the registry `{}`", dir.display())]
    Write { dir: PathBuf, source: io::Error },
    #[error("`{}` is not a registry that can be added to", path.display())]
    Parse { path: PathBuf, source: ParseRegistryError },
    #[error("`{name}` cannot be named in a registry")]
    Name { name: String, source: ParseUrlError },
    #[error("the registry refuses the release")]
    Insert { source: InsertError },
}

/// Writes the registry `dir` with this one release, replacing what an earlier trial left there.
///
/// A trial is repeated with changed bytes under the same version, which a published registry refuses; so it starts
/// empty each time.
pub fn write_trial(dir: &Path, built: &Built<'_>) -> Result<PathBuf, WriteRegistryError> {
    let write = |source| WriteRegistryError::Write { dir: dir.to_owned(), source };
    match fs_err::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(write(error)),
        _ => fs_err::create_dir_all(dir).map_err(write)?,
    }
    let path = dir.join("registry.json");
    let parse = |source| WriteRegistryError::Parse { path: path.clone(), source };
    let empty = Registry::empty(built.now).map_err(parse)?;
    let filled = registry::insert(&empty, &release(built)?, built.now)
        .map_err(|source| WriteRegistryError::Insert { source })?;
    let archives = built.archives.values().flat_map(WrittenArchive::files);
    let indexes = built.archives.values().map(|one| &one.index);
    let sboms = built.archives.values().filter_map(|one| one.sbom.as_ref());
    for file in archives.chain(indexes).chain(sboms).chain([built.definition]) {
        let target = dir.join(file.path.file_name().unwrap_or_default());
        // A link costs nothing; another filesystem wants a copy.
        if fs_err::hard_link(&file.path, &target).is_err() {
            fs_err::copy(&file.path, &target).map_err(write)?;
        }
    }
    fs_err::write(&path, registry::write(&filled)).map_err(write)?;
    Ok(path)
}

/// Returns the registry's entry: every platform of the manifest names the build that serves it.
pub fn release(built: &Built<'_>) -> Result<Release, WriteRegistryError> {
    let manifest = built.manifest;
    let mut artifacts = BTreeMap::new();
    for platform in &manifest.platforms {
        if let Some(archive) = built.archives.get(&manifest.built_as(*platform)) {
            artifacts.insert(*platform, artifact(archive)?);
        }
    }
    Ok(Release {
        spec: manifest.spec(),
        description: manifest.description.clone(),
        definition: Definition {
            url: reference(built.definition)?,
            digest: Some(built.definition.digest),
            size_bytes: Some(built.definition.size_bytes),
        },
        platforms: manifest.platforms.clone(),
        released_at: Some(built.now.to_owned()),
        source_commit: None,
        license: manifest.license.clone(),
        artifacts,
    })
}

fn artifact(archive: &WrittenArchive) -> Result<Artifact, WriteRegistryError> {
    let part = |part: &Written| -> Result<Part, WriteRegistryError> {
        let url = reference(part)?;
        Ok(Part { url, digest: part.digest, size_bytes: part.size_bytes })
    };
    let parts = archive.parts.iter().map(part).collect::<Result<_, _>>()?;
    Ok(Artifact {
        url: reference(&archive.archive)?,
        parts,
        digest: archive.archive.digest,
        size_bytes: archive.archive.size_bytes,
        unpacked_bytes: archive.packed.unpacked_bytes,
        entries: archive.packed.entries,
        files: Some(side_file(&archive.index)?),
        sbom: archive.sbom.as_ref().map(side_file).transpose()?,
        // Only what was found out about an artifact is claimed of it.
        requires: Requires::default(),
    })
}

fn side_file(file: &Written) -> Result<SideFile, WriteRegistryError> {
    Ok(SideFile { url: reference(file)?, digest: file.digest })
}

fn reference(file: &Written) -> Result<UrlReference, WriteRegistryError> {
    let name = file.path.file_name().unwrap_or_default().to_string_lossy();
    name.parse().map_err(|source| WriteRegistryError::Name { name: name.into_owned(), source })
}

#[cfg(test)]
mod tests {
    use rnx_spec::Digest;
    use rnx_spec::artifact::SourceDateEpoch;
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::build::dist;

    #[test]
    fn an_archive_in_parts_is_registered_with_each_of_them() {
        let dir = tempfile::tempdir().unwrap();
        let text = "name: demo\nversion: 1.0.0\ndescription: d\nplatforms: [ubuntu-amd64, rhel-amd64]\nreuse: {rhel: ubuntu}\n";
        let manifest = rnx_spec::manifest::parse(text).value.unwrap();
        let tree = dir.path().join("tree");
        test_support::fixture::write_runtime(&tree, &manifest.spec());
        let platform: Platform = "ubuntu-amd64".parse().unwrap();
        let into = dist::Into {
            dist: &dir.path().join("dist"),
            epoch: SourceDateEpoch(1),
            part_bytes_max: 300_000,
        };
        let archive = dist::write_runtime(&tree, &manifest.spec(), platform, &into).unwrap();
        let definition = archive.index.clone();
        let registry = dir.path().join("registry");
        let (archives, now) = (BTreeMap::from([(platform, archive)]), "2026-01-01T00:00:00Z");
        let built =
            Built { manifest: &manifest, definition: &definition, archives: &archives, now };
        let release = release(&built).unwrap();
        for artifact in release.artifacts.values() {
            let sizes: Vec<u64> = artifact.parts.iter().map(|part| part.size_bytes).collect();
            assert_eq!(sizes, [300_000, artifact.size_bytes - 300_000]);
            assert_eq!(artifact.digest, archives[&platform].packed.sha256);
        }
        assert_eq!(release.artifacts.len(), 2);
        write_trial(&registry, &built).unwrap();
        for part in &release.artifacts[&platform].parts {
            let file = fs_err::read(registry.join(part.url.to_string())).unwrap();
            assert_eq!(part.digest, Digest::from_bytes(Sha256::digest(&file).into()));
        }
    }
}
