//! Writes the files of a release into `dist/`: archives, their index, and `SHA256SUMS`.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Read, Write};
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rnx_archive::{Entry, PackError, Packed, PathError, ScanError, Tree, TreePath, pack};
use rnx_spec::artifact::{self, SourceDateEpoch};
use rnx_spec::{Digest, Platform, RuntimeSpec};
use rnx_store::guard::{LockError, StoreGuard};
use sha2::{Digest as _, Sha256};

use super::parts::{Cutter, superseded};
use crate::sbom::Sbom;

/// The file in `dist/` that `sha256sum -c` reads.
pub const SUMS_FILE: &str = "SHA256SUMS";

/// A file of a release that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub path: PathBuf,
    pub digest: Digest,
    pub size_bytes: u64,
}

/// An archive and the index of what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenArchive {
    /// The whole archive. Where there are parts, its path is only what it is called.
    pub archive: Written,
    /// The parts that it was cut into, in order; none if it is one file.
    pub parts: Vec<Written>,
    pub index: Written,
    /// Written last, since it names the archive's digest.
    pub sbom: Option<Written>,
    pub packed: Packed,
}

/// A file of a release could not be written. What was there before is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum WriteDistError {
    #[error("failed to read the finished tree")]
    Scan { source: ScanError },
    #[error("failed to pack `{}`", path.display())]
    Pack { path: PathBuf, source: PackError },
    #[error("`{name}` cannot be a folder of an archive")]
    Folder { name: String, source: PathError },
    #[error("failed to write `{}`", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("failed to wait for another build that writes into `dist`")]
    Lock { source: LockError },
    #[error("failed to write into `dist`")]
    Write { source: io::Error },
}

/// How an archive is written, and where.
#[derive(Debug, Clone, Copy)]
pub struct Into<'a> {
    pub dist: &'a Path,
    pub epoch: SourceDateEpoch,
    /// A larger archive is cut into parts of so many bytes.
    pub part_bytes_max: u64,
}

/// Packs the built runtime in `tree_dir`, which holds `runtime.yml` and `isolated/`.
///
/// Compiled Python that names the time of its source is left out: it differs from one build to the next, and is stale
/// once unpacked. Compiled with `--invalidation-mode unchecked-hash` it stays.
pub fn write_runtime(
    tree_dir: &Path,
    spec: &RuntimeSpec,
    platform: Platform,
    into: &Into<'_>,
) -> Result<WrittenArchive, WriteDistError> {
    let mut tree = Tree::scan(tree_dir).map_err(|source| WriteDistError::Scan { source })?;
    drop_timed_bytecode(&mut tree)?;
    tree.0.retain(|path, _| {
        let top = path.as_str().split('/').next();
        top == Some("isolated") || path.as_str() == "runtime.yml"
    });
    fs_err::create_dir_all(into.dist).map_err(write_error)?;
    let path = into.dist.join(artifact::archive_file(spec, platform));
    let mut cutter = Cutter::new(&path, into.part_bytes_max);
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let packed = pack(&tree, into.epoch, threads, &mut cutter)
        .map_err(|source| WriteDistError::Pack { path: path.clone(), source })?;
    let mut parts = cutter.finish().map_err(write_error)?;
    if let [single] = parts.as_slice()
        && single.path == path
    {
        parts.clear();
    }
    let index = write_index(&packed, &into.dist.join(artifact::index_file(spec, platform)))?;
    let archive = Written { path, digest: packed.sha256, size_bytes: packed.size_bytes };
    Ok(WrittenArchive { archive, parts, index, sbom: None, packed })
}

/// Writes what is in the archive of a built runtime, beside it.
pub fn write_sbom(
    sbom: &Sbom,
    spec: &RuntimeSpec,
    platform: Platform,
    dist: &Path,
) -> Result<Written, WriteDistError> {
    let path = dist.join(artifact::sbom_file(spec, platform));
    let text = serde_json::to_vec_pretty(sbom)
        .map_err(|source| WriteDistError::Json { path: path.clone(), source })?;
    write_text(text, path)
}

/// Packs the definition, as the folder `<name>/` that existing readers expect in it.
pub fn write_definition(
    definition: &Path,
    spec: &RuntimeSpec,
    epoch: SourceDateEpoch,
    dist: &Path,
) -> Result<Written, WriteDistError> {
    let scanned = Tree::scan(definition).map_err(|source| WriteDistError::Scan { source })?;
    let named = |path: &str| {
        TreePath::from_bytes(path.as_bytes())
            .map_err(|source| WriteDistError::Folder { name: path.to_owned(), source })
    };
    let mut entries = BTreeMap::from([(named(spec.name.as_str())?, Entry::Dir)]);
    for (path, entry) in scanned.0 {
        entries.insert(named(&format!("{}/{}", spec.name, path.as_str()))?, entry);
    }
    let path = dist.join(artifact::definition_file(spec));
    Ok(write_archive(&Tree(entries), epoch, &path)?.0)
}

/// Moves the files of one build into `dist`, and brings `SHA256SUMS` up to date with them.
///
/// One build at a time does so, in this order: the files' old lines go, then the files come, then their new lines.
/// Whatever moment this is killed at, every line in `SHA256SUMS` is true. Lines of files that are gone are dropped. An
/// archive that came in parts before, or in other parts, leaves none of them.
pub fn publish(dist: &Path, files: &mut [&mut Written]) -> Result<(), WriteDistError> {
    fs_err::create_dir_all(dist).map_err(write_error)?;
    let lock = |source| WriteDistError::Lock { source };
    let guard = StoreGuard::lock(&dist.join(".lock")).map_err(lock)?;
    let mut sums = read_sums(dist)?;
    let new: Vec<String> = files.iter().map(|file| file.name()).collect();
    let old = superseded(&names_in(dist)?, &new);
    for name in new.iter().chain(&old) {
        sums.remove(name);
    }
    write_sums(dist, &sums)?;
    for name in old {
        fs_err::remove_file(dist.join(name)).map_err(write_error)?;
    }
    for file in &mut *files {
        file.move_to(dist)?;
        sums.insert(file.name(), file.digest.hex());
    }
    write_sums(dist, &sums)?;
    guard.delete().map_err(lock)
}

impl WrittenArchive {
    /// Returns the files that the archive lies in: itself, or its parts in order.
    pub fn files(&self) -> Vec<&Written> {
        if self.parts.is_empty() { vec![&self.archive] } else { self.parts.iter().collect() }
    }

    /// The same, to be moved. The whole that lies in parts moves too, by name.
    pub(super) fn publish(
        &mut self,
        dist: &Path,
        others: [&mut Written; 1],
    ) -> Result<(), WriteDistError> {
        let in_parts = !self.parts.is_empty();
        let archive = if in_parts { None } else { Some(&mut self.archive) };
        let mut files: Vec<&mut Written> = self
            .parts
            .iter_mut()
            .chain(archive)
            .chain([&mut self.index])
            .chain(&mut self.sbom)
            .collect();
        files.extend(others);
        publish(dist, &mut files)?;
        if in_parts {
            self.archive.path = dist.join(self.archive.name());
        }
        Ok(())
    }
}

impl Written {
    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn move_to(&mut self, folder: &Path) -> Result<(), WriteDistError> {
        let path = folder.join(self.name());
        if fs_err::rename(&self.path, &path).is_err() {
            // Another filesystem: a copy beside the target, then a rename there.
            replace(&path, |file| {
                fs_err::File::open(&self.path)
                    .and_then(|mut source| io::copy(&mut source, file))
                    .map_err(write_error)
            })?;
            fs_err::remove_file(&self.path).map_err(write_error)?;
        }
        self.path = path;
        Ok(())
    }
}

fn names_in(dist: &Path) -> Result<Vec<String>, WriteDistError> {
    let mut names = Vec::new();
    for entry in fs_err::read_dir(dist).map_err(write_error)? {
        names.push(entry.map_err(write_error)?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

/// Reads `SHA256SUMS`: the hex digests of the files that are there, by name.
pub(crate) fn read_sums(dist: &Path) -> Result<BTreeMap<String, String>, WriteDistError> {
    let text = match fs_err::read_to_string(dist.join(SUMS_FILE)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(write_error(error)),
    };
    Ok(text
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(digest, name)| (name.to_owned(), digest.to_owned()))
        .filter(|(name, _)| dist.join(name).is_file())
        .collect())
}

fn write_sums(dist: &Path, sums: &BTreeMap<String, String>) -> Result<(), WriteDistError> {
    let text: String = sums.iter().map(|(name, digest)| format!("{digest}  {name}\n")).collect();
    replace(&dist.join(SUMS_FILE), |file| file.write_all(text.as_bytes()).map_err(write_error))
}

/// The flags of a `.pyc` are a little-endian word after its magic number (PEP 552); 1 is an unchecked hash.
fn drop_timed_bytecode(tree: &mut Tree) -> Result<(), WriteDistError> {
    const UNCHECKED_HASH: [u8; 4] = 1u32.to_le_bytes();
    let mut timed = Vec::new();
    for (path, entry) in &tree.0 {
        let Entry::File { content, .. } = entry else { continue };
        if path.as_str().rsplit_once('.').is_none_or(|(_, extension)| extension != "pyc") {
            continue;
        }
        let mut head = Vec::new();
        fs_err::File::open(content)
            .and_then(|file| file.take(8).read_to_end(&mut head))
            .map_err(write_error)?;
        if head.get(4..8) != Some(&UNCHECKED_HASH) {
            timed.push(path.clone());
        }
    }
    for path in timed {
        tree.0.remove(&path);
    }
    Ok(())
}

fn write_archive(
    tree: &Tree,
    epoch: SourceDateEpoch,
    path: &Path,
) -> Result<(Written, Packed), WriteDistError> {
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let packed = replace(path, |file| {
        pack(tree, epoch, threads, BufWriter::new(file))
            .map_err(|source| WriteDistError::Pack { path: path.to_owned(), source })
    })?;
    let (digest, size_bytes) = (packed.sha256, packed.size_bytes);
    Ok((Written { path: path.to_owned(), digest, size_bytes }, packed))
}

fn write_index(packed: &Packed, path: &Path) -> Result<Written, WriteDistError> {
    let text = serde_json::to_vec(&packed.index)
        .map_err(|source| WriteDistError::Json { path: path.to_owned(), source })?;
    write_text(text, path.to_owned())
}

fn write_text(mut text: Vec<u8>, path: PathBuf) -> Result<Written, WriteDistError> {
    text.push(b'\n');
    replace(&path, |file| file.write_all(&text).map_err(write_error))?;
    Ok(Written {
        path,
        digest: Digest::from_bytes(Sha256::digest(&text).into()),
        size_bytes: text.len() as u64,
    })
}

/// Writes a file beside `path` and renames it over: a reader sees the old file or the whole new one.
fn replace<T>(
    path: &Path,
    fill: impl FnOnce(&mut fs_err::File) -> Result<T, WriteDistError>,
) -> Result<T, WriteDistError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let scratch = fs_err::create_dir_all(folder)
        .and_then(|()| tempfile::Builder::new().prefix(".partial-").tempfile_in(folder))
        .map_err(write_error)?;
    let file = scratch.as_file().try_clone().map_err(write_error)?;
    let mut file = fs_err::File::from_parts(file, scratch.path());
    let filled = fill(&mut file)?;
    file.set_permissions(PermissionsExt::from_mode(0o644)).map_err(write_error)?;
    scratch.persist(path).map_err(|error| write_error(error.error))?;
    Ok(filled)
}

fn write_error(source: io::Error) -> WriteDistError {
    WriteDistError::Write { source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn staged(folder: &Path, name: &str, content: &str) -> Written {
        let path = folder.join(name);
        fs_err::write(&path, content).unwrap();
        let digest = Digest::from_bytes(Sha256::digest(content).into());
        Written { path, digest, size_bytes: content.len() as u64 }
    }

    #[test]
    fn sums_name_what_is_there_and_survive_other_builds() {
        let (dist, stage) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut a = staged(stage.path(), "a", "1");
        let mut b = staged(stage.path(), "b", "2");
        publish(dist.path(), &mut [&mut a, &mut b]).unwrap();
        assert_eq!(a.path, dist.path().join("a"));
        fs_err::remove_file(dist.path().join("a")).unwrap();
        let mut b = staged(stage.path(), "b", "3");
        publish(dist.path(), &mut [&mut b]).unwrap();
        let text = fs_err::read_to_string(dist.path().join(SUMS_FILE)).unwrap();
        assert_eq!(text, format!("{}  b\n", b.digest.hex()));
        let mut names: Vec<_> =
            fs_err::read_dir(dist.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [SUMS_FILE, "b"]);
    }

    #[test]
    fn builds_that_end_at_once_all_have_their_lines() {
        let (dist, stage) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (dist, stage) = (dist.path(), stage.path());
        std::thread::scope(|scope| {
            for build in 0..8 {
                scope.spawn(move || {
                    for round in 0..8 {
                        let name = format!("{build}-{round}");
                        let mut file = staged(stage, &name, &name);
                        publish(dist, &mut [&mut file]).unwrap();
                    }
                });
            }
        });
        assert_eq!(read_sums(dist).unwrap().len(), 64);
    }

    #[test]
    fn no_line_lies_when_a_build_is_killed_between_its_files() {
        let (dist, stage) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut old = [staged(stage.path(), "a", "1"), staged(stage.path(), "b", "1")];
        publish(dist.path(), &mut old.iter_mut().collect::<Vec<_>>()).unwrap();
        let mut a = staged(stage.path(), "a", "2");
        // The second file cannot be moved, as if the end had come there.
        let mut b = Written { path: stage.path().join("b"), ..a.clone() };
        publish(dist.path(), &mut [&mut a, &mut b]).unwrap_err();
        for (name, digest) in read_sums(dist.path()).unwrap() {
            let content = fs_err::read(dist.path().join(name)).unwrap();
            assert_eq!(digest, Digest::from_bytes(Sha256::digest(content).into()).hex());
        }
    }

    #[test]
    fn a_definition_is_packed_below_its_name() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("manifest.yaml"), "name: a\n").unwrap();
        let dist = tempfile::tempdir().unwrap();
        let spec = "a@1.0.0".parse().unwrap();
        let epoch = SourceDateEpoch(7);
        let written = write_definition(folder.path(), &spec, epoch, dist.path()).unwrap();
        let listing =
            crate::tool::run(&crate::tool::Invocation::new("tar").arg("-tzf").arg(&written.path))
                .unwrap();
        assert_eq!(String::from_utf8_lossy(&listing.stdout), "a/\na/manifest.yaml\n");
    }
}
