//! Writing entries below a folder, by descriptors alone: no path is ever resolved through a link.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use rnx_spec::Digest;
use rnx_spec::artifact::Mode;
use rustix::fs::{AtFlags, Mode as Bits, OFlags, Timespec, Timestamps};
use sha2::{Digest as _, Sha256};

use crate::path::TreePath;
use crate::unpack::error::UnpackError;

pub(crate) const DIR_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const FILE_FLAGS: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
const DIR_BITS: Bits = Bits::from_raw_mode(0o755);

/// One thing to write, checked against all entries before it. Operations may be carried out in
/// any order and on any thread: their folders exist, and no two concern the same name.
#[derive(Debug)]
pub(crate) enum Op<'chunk> {
    File { entry: usize, path: TreePath, mode: Mode, mtime: i64, content: &'chunk [u8] },
    Part { path: TreePath, file: Arc<OwnedFd>, offset: u64, content: &'chunk [u8], chain: Chain },
    Symlink { path: TreePath, target: String, mtime: i64 },
}

/// How the digest of a file in several parts goes from one part to the next. Each part is written
/// before it hands the state on, so whoever ends the file knows that all of it is written.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) earlier: Option<Receiver<Sha256>>,
    pub(crate) next: Next,
}

#[derive(Debug)]
pub(crate) enum Next {
    Part(Sender<Sha256>),
    End { entry: usize, mtime: i64 },
}

/// The digest of an entry's content, by the entry's place in the index.
pub(crate) type EntryDigest = (usize, Digest);

/// Carries out one operation.
pub(crate) fn apply(dirs: &mut Dirs<'_>, op: Op<'_>) -> Result<Option<EntryDigest>, UnpackError> {
    match op {
        Op::File { entry, path, mode, mtime, content } => {
            let file = create(dirs, &path, mode)?;
            write_at(&file, 0, content).map_err(|errno| write_error(&path, errno))?;
            set_time(&file, mtime).map_err(|errno| write_error(&path, errno))?;
            Ok(Some((entry, Digest::from_bytes(Sha256::digest(content).into()))))
        }
        Op::Part { path, file, offset, content, chain } => {
            write_at(&file, offset, content).map_err(|errno| write_error(&path, errno))?;
            // Nobody sends where an earlier part failed, and then nobody looks at the digest.
            let before = chain.earlier.and_then(|earlier| earlier.recv().ok());
            let mut digest = before.unwrap_or_default();
            digest.update(content);
            match chain.next {
                Next::Part(later) => {
                    // The part after may have been given up.
                    drop(later.send(digest));
                    Ok(None)
                }
                Next::End { entry, mtime } => {
                    set_time(&file, mtime).map_err(|errno| write_error(&path, errno))?;
                    Ok(Some((entry, Digest::from_bytes(digest.finalize().into()))))
                }
            }
        }
        Op::Symlink { path, target, mtime } => {
            let (dir, name) = dirs.parent(&path)?;
            rustix::fs::symlinkat(&target, dir, name)
                .and_then(|()| {
                    let flags = AtFlags::SYMLINK_NOFOLLOW;
                    rustix::fs::utimensat(dir, name, &times(mtime), flags)
                })
                .map_err(|errno| write_error(&path, errno.into()))?;
            Ok(None)
        }
    }
}

/// Creates a file, which must not exist, with exactly its mode.
pub(crate) fn create(
    dirs: &mut Dirs<'_>,
    path: &TreePath,
    mode: Mode,
) -> Result<OwnedFd, UnpackError> {
    let (dir, name) = dirs.parent(path)?;
    let bits = Bits::from_raw_mode(mode.bits());
    rustix::fs::openat(dir, name, FILE_FLAGS, bits)
        .and_then(|file| set_mode(&file, bits).map(|()| file))
        .map_err(|errno| write_error(path, errno.into()))
}

/// The folders of the tree, opened from the root down; keeps those on the way to the last one.
pub(crate) struct Dirs<'root> {
    root: BorrowedFd<'root>,
    open: Vec<(String, OwnedFd)>,
}

impl<'root> Dirs<'root> {
    pub(crate) fn new(root: BorrowedFd<'root>) -> Self {
        Self { root, open: vec![] }
    }

    /// Returns the folder a path is in, and the path's name there.
    pub(crate) fn parent<'path>(
        &mut self,
        path: &'path TreePath,
    ) -> Result<(BorrowedFd<'_>, &'path str), UnpackError> {
        let (dir, name) = path.split();
        let opened = self.open(dir).map_err(|source| write_error(path, source))?;
        Ok((opened, name))
    }

    /// Makes a folder, which must not exist.
    pub(crate) fn make(&mut self, path: &TreePath) -> Result<(), UnpackError> {
        let (dir, name) = self.parent(path)?;
        rustix::fs::mkdirat(dir, name, DIR_BITS)
            .map_err(|errno| write_error(path, errno.into()))?;
        let made = self.open(path.as_str()).map_err(|source| write_error(path, source))?;
        set_mode(&made, DIR_BITS).map_err(|errno| write_error(path, errno.into()))
    }

    /// Sets the time of a folder, after everything in it was written.
    pub(crate) fn set_time(&mut self, path: &TreePath, mtime: i64) -> Result<(), UnpackError> {
        let (dir, name) = self.parent(path)?;
        rustix::fs::utimensat(dir, name, &times(mtime), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| write_error(path, errno.into()))
    }

    fn open(&mut self, dir: &str) -> io::Result<BorrowedFd<'_>> {
        while let Some((last, _)) = self.open.last() {
            let rest = dir.strip_prefix(last.as_str());
            if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
                break;
            }
            self.open.pop();
        }
        let mut from = self.open.last().map_or(0, |(last, _)| last.len() + 1);
        while from < dir.len() {
            let to = dir[from..].find('/').map_or(dir.len(), |length| from + length);
            let parent = self.open.last().map_or(self.root, |(_, parent)| parent.as_fd());
            let opened = rustix::fs::openat(parent, &dir[from..to], DIR_FLAGS, Bits::empty())?;
            self.open.push((dir[..to].to_owned(), opened));
            from = to + 1;
        }
        Ok(self.open.last().map_or(self.root, |(_, last)| last.as_fd()))
    }
}

/// Corrects what the umask, a default ACL or a setgid folder has made of the mode.
fn set_mode(file: &impl AsFd, bits: Bits) -> rustix::io::Result<()> {
    if rustix::fs::fstat(file)?.st_mode & 0o7777 == bits.bits() {
        Ok(())
    } else {
        rustix::fs::fchmod(file, bits)
    }
}

pub(crate) fn set_time(file: &OwnedFd, mtime: i64) -> io::Result<()> {
    Ok(rustix::fs::futimens(file, &times(mtime))?)
}

fn times(mtime: i64) -> Timestamps {
    let time = Timespec { tv_sec: mtime, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

pub(crate) fn write_at(file: &OwnedFd, mut offset: u64, mut content: &[u8]) -> io::Result<()> {
    while !content.is_empty() {
        match rustix::io::pwrite(file, content, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                content = &content[written..];
                offset += written as u64;
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

pub(crate) fn write_error(path: &TreePath, source: io::Error) -> UnpackError {
    UnpackError::Write { path: path.to_string(), source }
}
