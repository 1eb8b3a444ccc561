//! A forge that is a folder: releases below it, `registry.json` beside them, served by any web server or by none. ⚡
//!
//! ```text
//! <dir>/registry.json           its addresses are relative, so the folder can be copied anywhere
//! <dir>/<tag>/<file>…           a release, as one folder
//! <dir>/.drafts/<tag>/<file>…   one that is not published yet
//! ```
//!
//! Publishing is one rename of the draft's folder.

use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rnx_spec::source::UrlReference;
use rnx_spec::{Digest, SourceUrl, Tag};
use rnx_store::guard::{LockError, StoreGuard};
use sha2::{Digest as _, Sha256};

use super::forge::{Forge, ForgeError};
use super::{Content, File, RemoteAsset, RemoteRelease, Wanted};

/// What is not whole yet begins so, and is no file of a release.
const PARTIAL: &str = ".partial-";

/// A draft's number, and a published release's.
const DRAFT: u64 = 1;
const PUBLISHED: u64 = 2;

/// A folder that releases are published into; nobody else publishes into it as long as this lives.
#[derive(Debug)]
pub struct Folder {
    dir: PathBuf,
    /// The tag and the commit that is published. A folder has no tags of its own: the clone's are taken.
    tag: (Tag, String),
    /// `None` for one that only looks.
    guard: Option<StoreGuard>,
}

/// A folder cannot be published into.
#[derive(Debug, thiserror::Error)]
pub enum OpenFolderError {
    #[error("failed to make the folder")]
    Make { source: io::Error },
    #[error("failed to wait for another program that publishes into `{}`", dir.display())]
    Lock { dir: PathBuf, source: LockError },
}

/// Returns the folder that `--to` names: a path, or a `file://` URL; `None` for another URL.
pub fn target(to: &str) -> Option<PathBuf> {
    match to.parse::<SourceUrl>() {
        Ok(url) => url.to_path(),
        Err(_) if to.contains("://") => None,
        Err(_) => Some(PathBuf::from(to)),
    }
}

/// Returns where the registry of a folder says that a file of a tag is.
pub fn address(tag: &Tag, file: &str) -> Option<UrlReference> {
    format!("{tag}/{file}").parse().ok()
}

impl Folder {
    /// Makes the folder where it is not there, and waits until nobody else publishes into it.
    pub fn open(dir: &Path, tag: &Tag, commit: &str) -> Result<Self, OpenFolderError> {
        fs_err::create_dir_all(dir).map_err(|source| OpenFolderError::Make { source })?;
        let lock = |source| OpenFolderError::Lock { dir: dir.to_owned(), source };
        let guard = StoreGuard::lock(&dir.join(".publish.lock")).map_err(lock)?;
        Ok(Self { dir: dir.to_owned(), tag: (tag.clone(), commit.to_owned()), guard: Some(guard) })
    }

    /// Looks at a folder, for a plan that nobody carries out.
    pub fn look(dir: &Path, tag: &Tag, commit: &str) -> Self {
        Self { dir: dir.to_owned(), tag: (tag.clone(), commit.to_owned()), guard: None }
    }

    /// Lets others publish.
    pub fn close(self) -> Result<(), OpenFolderError> {
        let dir = self.dir;
        let Some(guard) = self.guard else { return Ok(()) };
        guard.delete().map_err(|source| OpenFolderError::Lock { dir, source })
    }

    fn place(&self, release: u64) -> PathBuf {
        let tag = self.tag.0.to_string();
        if release == DRAFT { self.dir.join(".drafts").join(tag) } else { self.dir.join(tag) }
    }

    /// Returns a release with its files, which are numbered by their order.
    fn release(&self, id: u64) -> Result<Option<RemoteRelease>, ForgeError> {
        let place = self.place(id);
        let read = |source| ForgeError::Read { path: place.clone(), source };
        let entries = match fs_err::read_dir(&place) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(read(source)),
        };
        let mut assets = Vec::new();
        for entry in entries {
            let entry = entry.map_err(read)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(PARTIAL) {
                continue;
            }
            let size_bytes = entry.metadata().map_err(read)?.len();
            assets.push(RemoteAsset { id: 0, name, complete: true, size_bytes, digest: None });
        }
        assets.sort_by(|a, b| a.name.cmp(&b.name));
        for (number, asset) in (0..).zip(&mut assets) {
            asset.id = number * 4 + id;
        }
        let page = place.display().to_string();
        Ok(Some(RemoteRelease { id, draft: id == DRAFT, immutable: false, page, assets }))
    }

    /// Returns the path of a file by its number.
    fn asset(&self, asset: u64) -> Result<PathBuf, ForgeError> {
        let (id, number) = (asset % 4, asset / 4);
        let release = self.release(id)?;
        let found = release.and_then(|release| {
            release.assets.into_iter().find(|one| one.id == asset).map(|one| one.name)
        });
        let gone = || ForgeError::NotListed { what: format!("the file {number}") };
        Ok(self.place(id).join(found.ok_or_else(gone)?))
    }
}

impl Forge for Folder {
    fn tag_commit(&mut self, tag: &Tag) -> Result<Option<String>, ForgeError> {
        Ok((*tag == self.tag.0).then(|| self.tag.1.clone()))
    }

    fn releases(&mut self, _tag: &Tag) -> Result<Vec<RemoteRelease>, ForgeError> {
        let both = [self.release(DRAFT)?, self.release(PUBLISHED)?];
        Ok(both.into_iter().flatten().collect())
    }

    fn create_draft(&mut self, _wanted: &Wanted) -> Result<u64, ForgeError> {
        let path = self.place(DRAFT);
        fs_err::create_dir_all(&path).map_err(|source| ForgeError::Write { path, source })?;
        Ok(DRAFT)
    }

    fn delete_draft(&mut self, id: u64) -> Result<(), ForgeError> {
        let path = self.place(id);
        fs_err::remove_dir_all(&path).map_err(|source| ForgeError::Write { path, source })
    }

    fn upload(
        &mut self,
        release: &RemoteRelease,
        file: &File,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<RemoteAsset, ForgeError> {
        let folder = self.place(release.id);
        let (partial, path) =
            (folder.join(format!("{PARTIAL}{}", file.name)), folder.join(&file.name));
        let digest = match &file.content {
            Content::Bytes(bytes) => copy(&mut bytes.as_slice(), &partial, on_bytes),
            Content::Path(from) => {
                fs_err::File::open(from).and_then(|mut from| copy(&mut from, &partial, on_bytes))
            }
        };
        let digest =
            digest.map_err(|source| ForgeError::Write { path: partial.clone(), source })?;
        if digest != file.digest {
            let (name, expected) = (file.name.clone(), file.digest);
            return Err(ForgeError::Changed { name, expected, actual: digest });
        }
        fs_err::rename(&partial, &path).map_err(|source| ForgeError::Write { path, source })?;
        let (name, size_bytes) = (file.name.clone(), file.size_bytes);
        Ok(RemoteAsset { id: 0, name, complete: true, size_bytes, digest: Some(digest) })
    }

    fn delete_asset(&mut self, asset: u64) -> Result<(), ForgeError> {
        let path = self.asset(asset)?;
        fs_err::remove_file(&path).map_err(|source| ForgeError::Write { path, source })
    }

    fn fetch_digest(&mut self, asset: u64) -> Result<Digest, ForgeError> {
        let path = self.asset(asset)?;
        fs_err::File::open(&path)
            .and_then(rnx_store::blob::digest)
            .map_err(|source| ForgeError::Read { path, source })
    }

    fn publish(&mut self, release: &RemoteRelease, _wanted: &Wanted) -> Result<(), ForgeError> {
        let (from, path) = (self.place(release.id), self.place(PUBLISHED));
        let publish = || -> io::Result<()> {
            for entry in fs_err::read_dir(&from)? {
                let entry = entry?;
                if entry.file_name().to_string_lossy().starts_with(PARTIAL) {
                    fs_err::remove_file(entry.path())?;
                }
            }
            fs_err::rename(&from, &path)?;
            // Another tag may have a draft.
            match fs_err::remove_dir(self.dir.join(".drafts")) {
                Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => Err(error),
                _ => fs_err::File::open(&self.dir)?.sync_all(),
            }
        };
        publish().map_err(|source| ForgeError::Write { path: path.clone(), source })
    }
}

/// Copies bytes into a file that is on the disk when this returns, and returns their digest.
fn copy(from: &mut dyn Read, to: &Path, on_bytes: &mut dyn FnMut(u64)) -> io::Result<Digest> {
    let mut file = fs_err::File::create(to)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut sent = 0;
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&buffer[..count]);
        file.write_all(&buffer[..count])?;
        sent += count as u64;
        on_bytes(sent);
    }
    file.set_permissions(PermissionsExt::from_mode(0o644))?;
    file.sync_all()?;
    Ok(Digest::from_bytes(hasher.finalize().into()))
}
