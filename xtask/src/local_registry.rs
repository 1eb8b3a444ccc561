//! A registry in a folder: `registry.json` with the files of releases beside it, for `rnx --registry DIR`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use rnx_spec::Platform;
use rnx_spec::manifest::Manifest;
use rnx_spec::registry::{
    self, Artifact, Definition, InsertError, ParseRegistryError, Registry, Release, Requires,
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
    let archives = built.archives.values().flat_map(|one| [&one.archive, &one.index]);
    let sboms = built.archives.values().filter_map(|one| one.sbom.as_ref());
    for file in archives.chain(sboms).chain([built.definition]) {
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
    Ok(Artifact {
        url: reference(&archive.archive)?,
        parts: Vec::new(),
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
