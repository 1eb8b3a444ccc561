//! Unpacks the tar archives that a base is made of, each above the ones before it.
//!
//! The caller has made the tree its root folder, so names and links cannot lead out of it; what is checked
//! here keeps an archive from meaning something else than it says.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use fs_err::File;
use fs_err::os::unix::fs::symlink;
use rustix::fs::{AtFlags, CWD, Gid, Mode, Timespec, Timestamps, Uid};
use tar::{Archive, Entry, EntryType};

/// More than any base has; less than what fills a disk or a machine's memory.
const ENTRIES_MAX: u64 = 4_000_000;
const BYTES_MAX: u64 = 64 << 30;

/// Whose files are unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// Those of the archive.
    Kept,
    /// All the one user that exists.
    One,
}

/// An archive could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error("the archive cannot be read as tar")]
    Archive { source: io::Error },
    #[error("the archive has an entry named `{name}`, which is no path inside a tree")]
    Name { name: String },
    #[error("the archive has a hard link `{}` to nowhere", path.display())]
    LinkTarget { path: PathBuf },
    #[error("the archive has an entry `{}` of the unknown type {kind:?}", path.display())]
    Kind { path: PathBuf, kind: EntryType },
    #[error("the archive ends in the middle of `{}`", path.display())]
    Short { path: PathBuf },
    #[error("the archive holds more than {ENTRIES_MAX} entries")]
    Entries,
    #[error("the archive holds more than {BYTES_MAX} bytes")]
    Bytes,
    #[error("failed to make `{}`", path.display())]
    Make { path: PathBuf, source: io::Error },
    #[error("failed to give `{}` to {uid}:{gid}; the build's ids do not reach that far", path.display())]
    Owner { path: PathBuf, uid: u64, gid: u64, source: io::Error },
    #[error("failed to delete `{}`, which a later layer takes away", path.display())]
    Whiteout { path: PathBuf, source: io::Error },
}

/// Unpacks one archive, plain or gzip, into `root`.
///
/// With `whiteouts`, names that begin with `.wh.` take away what lower layers hold (OCI image-spec, `layer.md`).
pub(crate) fn unpack(
    archive: File,
    root: &Path,
    owners: Owners,
    whiteouts: bool,
) -> Result<(), UnpackError> {
    let reader = decompressed(archive).map_err(|source| UnpackError::Archive { source })?;
    let mut layer = Layer { root, owners, whiteouts, own: BTreeSet::new() };
    let mut archive = Archive::new(reader);
    let entries = archive.entries().map_err(|source| UnpackError::Archive { source })?;
    let (mut count, mut bytes) = (0, 0_u64);
    for entry in entries {
        let entry = entry.map_err(|source| UnpackError::Archive { source })?;
        count += 1;
        bytes = bytes.saturating_add(entry.size());
        if count > ENTRIES_MAX {
            return Err(UnpackError::Entries);
        }
        if bytes > BYTES_MAX {
            return Err(UnpackError::Bytes);
        }
        layer.apply(entry)?;
    }
    Ok(())
}

/// One archive on its way into the tree.
struct Layer<'a> {
    root: &'a Path,
    owners: Owners,
    whiteouts: bool,
    /// What this layer made, with all parents: a whiteout never takes that away.
    own: BTreeSet<PathBuf>,
}

impl Layer<'_> {
    fn apply<R: Read>(&mut self, mut entry: Entry<'_, R>) -> Result<(), UnpackError> {
        let Some(name) = clean(&entry.path_bytes())? else {
            // The root folder itself: it is there, with the mode that it needs.
            return Ok(());
        };
        if self.whiteouts
            && let Some(hidden) = whiteout(&name)
        {
            return self.take_away(&hidden);
        }
        let path = self.root.join(&name);
        if let Some(parent) = path.parent() {
            fs_err::create_dir_all(parent)
                .map_err(|source| UnpackError::Make { path: parent.to_owned(), source })?;
        }
        if self.make(&mut entry, &path)? {
            self.settle(&entry, &path)?;
            self.own.extend(name.ancestors().map(Path::to_owned));
        }
        Ok(())
    }

    /// Makes the entry at `path`; returns whether there is one now.
    fn make<R: Read>(&self, entry: &mut Entry<'_, R>, path: &Path) -> Result<bool, UnpackError> {
        let fail = |source| UnpackError::Make { path: path.to_owned(), source };
        let kind = entry.header().entry_type();
        match kind {
            EntryType::Directory => {
                if !fs_err::symlink_metadata(path).is_ok_and(|meta| meta.is_dir()) {
                    remove_any(path).map_err(fail)?;
                    fs_err::create_dir(path).map_err(fail)?;
                }
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                remove_any(path).map_err(fail)?;
                let mut file =
                    File::options().write(true).create_new(true).open(path).map_err(fail)?;
                if io::copy(entry, &mut file).map_err(fail)? != entry.size() {
                    return Err(UnpackError::Short { path: path.to_owned() });
                }
            }
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                remove_any(path).map_err(fail)?;
                symlink(OsString::from_vec(target), path).map_err(fail)?;
            }
            EntryType::Link => {
                let target = entry.link_name_bytes().unwrap_or_default();
                let target = clean(&target)?
                    .ok_or_else(|| UnpackError::LinkTarget { path: path.to_owned() })?;
                remove_any(path).map_err(fail)?;
                fs_err::hard_link(self.root.join(target), path).map_err(fail)?;
                // Its owner and mode are those of the file that it is another name of.
                return Ok(false);
            }
            // A user namespace makes no devices, and `/dev` is given to each build; no base needs a FIFO.
            EntryType::Char | EntryType::Block | EntryType::Fifo | EntryType::XGlobalHeader => {
                return Ok(false);
            }
            kind => return Err(UnpackError::Kind { path: path.to_owned(), kind }),
        }
        Ok(true)
    }

    /// Gives what was just made its owner, then its mode (`chown` clears setuid), then its time.
    fn settle<R: Read>(&self, entry: &Entry<'_, R>, path: &Path) -> Result<(), UnpackError> {
        let archive = |source| UnpackError::Archive { source };
        let make = |source: rustix::io::Errno| UnpackError::Make {
            path: path.to_owned(),
            source: source.into(),
        };
        let header = entry.header();
        if self.owners == Owners::Kept {
            let (uid, gid) = (header.uid().map_err(archive)?, header.gid().map_err(archive)?);
            chown(path, uid, gid).map_err(|source| UnpackError::Owner {
                path: path.to_owned(),
                uid,
                gid,
                source,
            })?;
        }
        let kind = header.entry_type();
        if !kind.is_symlink() {
            let mode = Mode::from_raw_mode(header.mode().map_err(archive)? & 0o7777);
            rustix::fs::chmod(path, mode).map_err(make)?;
        }
        if !kind.is_dir() {
            let seconds = i64::try_from(header.mtime().map_err(archive)?).unwrap_or(0);
            let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
            let times = Timestamps { last_access: time, last_modification: time };
            rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(make)?;
        }
        Ok(())
    }

    fn take_away(&self, hidden: &Hidden) -> Result<(), UnpackError> {
        let (name, inner_only) = match hidden {
            Hidden::Entry(name) => (name, false),
            Hidden::Content(name) => (name, true),
            Hidden::Nothing => return Ok(()),
        };
        let path = self.root.join(name);
        let fail = |source| UnpackError::Whiteout { path: path.clone(), source };
        if inner_only || self.own.contains(name) {
            self.remove_content(name).map_err(fail)
        } else {
            remove_any(&path).map_err(fail)
        }
    }

    /// Removes what is below the folder `name` and not this layer's own.
    fn remove_content(&self, name: &Path) -> io::Result<()> {
        let path = self.root.join(name);
        match fs_err::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
        for entry in fs_err::read_dir(&path)? {
            let child = name.join(entry?.file_name());
            if self.own.contains(&child) {
                self.remove_content(&child)?;
            } else {
                remove_any(&self.root.join(&child))?;
            }
        }
        Ok(())
    }
}

/// What a whiteout hides.
#[derive(Debug, PartialEq, Eq)]
enum Hidden {
    Entry(PathBuf),
    Content(PathBuf),
    /// Names kept for a storage driver's own use.
    Nothing,
}

fn whiteout(name: &Path) -> Option<Hidden> {
    let parent = name.parent().unwrap_or(Path::new(""));
    let hidden = name.file_name()?.as_bytes().strip_prefix(b".wh.")?;
    Some(match hidden {
        b".wh..opq" => Hidden::Content(parent.to_owned()),
        b"" | b"." | b".." => Hidden::Nothing,
        other if other.starts_with(b".wh.") => Hidden::Nothing,
        other => Hidden::Entry(parent.join(OsStr::from_bytes(other))),
    })
}

/// Returns the entry's path below the root; `None` is the root itself.
fn clean(name: &[u8]) -> Result<Option<PathBuf>, UnpackError> {
    let bad = || UnpackError::Name { name: String::from_utf8_lossy(name).into_owned() };
    if name.is_empty() || name.contains(&0) {
        return Err(bad());
    }
    let mut path = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(name)).components() {
        match component {
            Component::Normal(part) => path.push(part),
            // Tools write `./etc` and `/etc` for `etc`.
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(bad()),
        }
    }
    Ok((!path.as_os_str().is_empty()).then_some(path))
}

fn remove_any(path: &Path) -> io::Result<()> {
    match fs_err::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs_err::remove_dir_all(path),
        Ok(_) => fs_err::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn chown(path: &Path, uid: u64, gid: u64) -> io::Result<()> {
    let raw = |id: u64| u32::try_from(id).map_err(|_too_large| io::ErrorKind::InvalidInput);
    let (uid, gid) = (Uid::from_raw(raw(uid)?), Gid::from_raw(raw(gid)?));
    rustix::fs::chownat(CWD, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}

/// Undoes gzip where the archive begins like one.
fn decompressed(mut archive: File) -> io::Result<Box<dyn Read>> {
    use std::io::Seek;
    let mut magic = Vec::new();
    archive.by_ref().take(2).read_to_end(&mut magic)?;
    archive.rewind()?;
    let reader = BufReader::with_capacity(1 << 20, archive);
    if magic == [0x1f, 0x8b] {
        return Ok(Box::new(MultiGzDecoder::new(reader)));
    }
    Ok(Box::new(reader))
}
