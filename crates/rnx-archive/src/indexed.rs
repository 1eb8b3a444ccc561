//! Making a tree from its index: files that the host has are linked, and only the gzip members that carry the others
//! are read.
//!
//! The index is trusted no more than an archive: names, links and sizes are checked first, and every byte that comes
//! from a member is compared with the member's digest, and then with the file's.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::ops::Range;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rnx_spec::Digest;
use rnx_spec::artifact::{EntryKind, FileIndex, Member, Mode};
use rustix::fs::{AtFlags, CWD};
use sha2::{Digest as _, Sha256};

use crate::inflate::Inflater;
use crate::member::{self, HEADER_BYTES, MEMBER_BYTES_MAX};
use crate::path::TreePath;
use crate::unpack::apply::{self, Dirs};
use crate::unpack::{Limits, UnpackError, open_empty};

const CHUNK_BYTES: usize = 64 * 1024;

/// An index that describes a tree, as far as it can be told without the archive.
#[derive(Debug)]
pub struct CheckedIndex<'a> {
    index: &'a FileIndex,
    paths: Vec<TreePath>,
    files: BTreeMap<&'a str, File>,
    /// The members that begin with an entry; any other goes on with a file of the one before.
    begins: BTreeSet<usize>,
}

/// What the index says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    pub mode: Mode,
    pub size_bytes: u64,
    pub sha256: Digest,
    member: usize,
}

impl<'a> CheckedIndex<'a> {
    /// Checks names, links, order, members and the promised numbers.
    pub fn new(index: &'a FileIndex, limits: &Limits) -> Result<Self, UnpackError> {
        let mut checked =
            Self { index, paths: vec![], files: BTreeMap::new(), begins: BTreeSet::new() };
        let refused = |reason| UnpackError::Index { reason };
        if index.schema_version != 1 {
            return Err(refused("its format is not 1"));
        }
        check_members(&index.members, limits)?;
        if index.entries.len() as u64 > limits.entries {
            return Err(UnpackError::TooManyEntries { limit: limits.entries });
        }
        let mut dirs = BTreeSet::new();
        let mut unpacked_bytes = 0_u64;
        let mut seen = BTreeSet::new();
        for entry in &index.entries {
            let path: TreePath = entry.path.parse().map_err(|source| UnpackError::Path {
                path: entry.path.escape_default().to_string(),
                source,
            })?;
            if path.parent().is_some_and(|parent| !dirs.contains(&parent)) {
                return Err(refused("an entry is in no folder"));
            }
            let member = entry.member as usize;
            if member >= index.members.len() {
                return Err(refused("an entry is in no member"));
            }
            checked.begins.insert(member);
            match &entry.kind {
                EntryKind::Dir => drop(dirs.insert(path.clone())),
                EntryKind::Symlink { target } => path
                    .check_link(target.as_bytes())
                    .map_err(|source| UnpackError::Link { path: path.to_string(), source })?,
                &EntryKind::File { mode, size_bytes, sha256 } => {
                    unpacked_bytes = unpacked_bytes.saturating_add(size_bytes);
                    checked.files.insert(&entry.path, File { mode, size_bytes, sha256, member });
                }
            }
            if !seen.insert(path.clone()) {
                return Err(UnpackError::Duplicate { path: path.to_string() });
            }
            checked.paths.push(path);
        }
        if unpacked_bytes > limits.unpacked_bytes {
            return Err(UnpackError::TooManyBytes { limit: limits.unpacked_bytes });
        }
        Ok(checked)
    }

    /// Returns the files by path.
    pub fn files(&self) -> &BTreeMap<&'a str, File> {
        &self.files
    }

    /// Returns the members that carry the files `wanted`, as runs that begin and end between entries, in order.
    pub fn runs<'p>(&self, wanted: impl IntoIterator<Item = &'p str>) -> Vec<Range<usize>> {
        let groups: BTreeSet<usize> = wanted
            .into_iter()
            .filter_map(|path| self.begins.range(..=self.files.get(path)?.member).next_back())
            .copied()
            .collect();
        let mut runs: Vec<Range<usize>> = vec![];
        for start in groups {
            let next = self.begins.range(start + 1..).next();
            let end = next.copied().unwrap_or(self.index.members.len());
            match runs.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => runs.push(start..end),
            }
        }
        runs
    }

    /// Makes all folders and symlinks in the empty folder `dest`, and a hard link for each file of `have`: the path of
    /// a file with the same content and mode. Empty files are made, too. Returns the files that are still wanted, those
    /// that could not be linked among them.
    pub fn lay(
        &self,
        dest: &Path,
        have: &BTreeMap<&str, PathBuf>,
    ) -> Result<BTreeSet<&'a str>, UnpackError> {
        let root = open_empty(dest)?;
        let mut dirs = Dirs::new(root.as_fd());
        let mut wanted = BTreeSet::new();
        for (entry, path) in self.index.entries.iter().zip(&self.paths) {
            match &entry.kind {
                EntryKind::Dir => dirs.make(path)?,
                EntryKind::Symlink { target } => {
                    let (dir, name) = dirs.parent(path)?;
                    rustix::fs::symlinkat(target, dir, name)
                        .map_err(|errno| apply::write_error(path, errno.into()))?;
                }
                EntryKind::File { mode, size_bytes: 0, .. } => {
                    drop(apply::create(&mut dirs, path, *mode)?);
                }
                EntryKind::File { .. } => {
                    let (dir, name) = dirs.parent(path)?;
                    let linked = have.get(entry.path.as_str()).is_some_and(|from| {
                        rustix::fs::linkat(CWD, from, dir, name, AtFlags::empty()).is_ok()
                    });
                    if !linked {
                        wanted.insert(entry.path.as_str());
                    }
                }
            }
        }
        Ok(wanted)
    }

    /// Writes those files of `wanted` that the run of members carries below `dest`, where their folders are, and takes
    /// them out of `wanted`. `read` fills a buffer with the bytes of a member, as they are in the archive. Returns the
    /// time that the archive's entries carry.
    pub fn extract(
        &self,
        dest: &Path,
        run: Range<usize>,
        wanted: &mut BTreeSet<&str>,
        read: &mut impl FnMut(&Member, &mut Vec<u8>) -> io::Result<()>,
    ) -> Result<i64, UnpackError> {
        let root = rustix::fs::open(dest, apply::DIR_FLAGS, rustix::fs::Mode::empty())
            .map_err(|errno| UnpackError::Dest { path: dest.to_owned(), source: errno.into() })?;
        let mut content = Content::new(&self.index.members, run, read)?;
        let mut mtime = 0;
        let extracted =
            self.extract_from(&mut content, &mut Dirs::new(root.as_fd()), |path, at| {
                mtime = at;
                wanted.remove(path)
            });
        // What a member was refused for says more than what the reader of tar made of it.
        match (content.failed, extracted) {
            (Some(error), _) | (None, Err(error)) => Err(error),
            (None, Ok(())) => Ok(mtime),
        }
    }

    fn extract_from(
        &self,
        content: &mut impl Read,
        dirs: &mut Dirs<'_>,
        mut take: impl FnMut(&str, i64) -> bool,
    ) -> Result<(), UnpackError> {
        let damaged = |source| UnpackError::ReadArchive { source };
        let mut archive = tar::Archive::new(content);
        for entry in archive.entries().map_err(damaged)? {
            let mut entry = entry.map_err(damaged)?;
            let mtime = entry.header().mtime().map_err(damaged)?.cast_signed();
            let bytes = entry.path_bytes().into_owned();
            let Ok(path) = TreePath::from_bytes(&bytes) else { continue };
            let known = self.files.get(path.as_str());
            let Some(&expected) = known.filter(|_| entry.header().entry_type().is_file()) else {
                continue;
            };
            if take(path.as_str(), mtime) {
                write(dirs, &path, expected, mtime, &mut entry)?;
            }
        }
        Ok(())
    }

    /// Gives all that [`Self::lay`] made below `dest` the archive's time, after everything was written.
    pub fn set_times(&self, dest: &Path, mtime: i64) -> Result<(), UnpackError> {
        let root = rustix::fs::open(dest, apply::DIR_FLAGS, rustix::fs::Mode::empty())
            .map_err(|errno| UnpackError::Dest { path: dest.to_owned(), source: errno.into() })?;
        let mut dirs = Dirs::new(root.as_fd());
        for (entry, path) in self.index.entries.iter().zip(&self.paths).rev() {
            match entry.kind {
                EntryKind::File { size_bytes, .. } if size_bytes > 0 => {}
                _ => dirs.set_time(path, mtime)?,
            }
        }
        Ok(())
    }
}

fn check_members(members: &[Member], limits: &Limits) -> Result<(), UnpackError> {
    let mut offset = 0_u64;
    for member in members {
        let sized = HEADER_BYTES as u64..=u64::from(MEMBER_BYTES_MAX);
        if member.offset != offset || !sized.contains(&member.size_bytes) {
            return Err(UnpackError::Index { reason: "its members do not make an archive" });
        }
        offset += member.size_bytes;
    }
    if offset == limits.archive_bytes {
        Ok(())
    } else {
        Err(UnpackError::Index { reason: "its members do not make this archive" })
    }
}

/// Writes one file, and compares it with what the index says.
fn write(
    dirs: &mut Dirs<'_>,
    path: &TreePath,
    expected: File,
    mtime: i64,
    content: &mut impl Read,
) -> Result<(), UnpackError> {
    let file = apply::create(dirs, path, expected.mode)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut offset = 0;
    loop {
        let read =
            content.read(&mut buffer).map_err(|source| UnpackError::ReadArchive { source })?;
        if read == 0 {
            break;
        }
        digest.update(&buffer[..read]);
        apply::write_at(&file, offset, &buffer[..read])
            .map_err(|source| apply::write_error(path, source))?;
        offset += read as u64;
    }
    apply::set_time(&file, mtime).map_err(|source| apply::write_error(path, source))?;
    let actual = Digest::from_bytes(digest.finalize().into());
    if offset == expected.size_bytes && actual == expected.sha256 {
        Ok(())
    } else {
        Err(UnpackError::NotAsIndexed { path: path.to_string() })
    }
}

/// The tar that a run of members holds.
struct Content<'a, R> {
    members: std::slice::Iter<'a, Member>,
    /// The place of the next one in the archive.
    next: usize,
    read: &'a mut R,
    inflater: Inflater,
    packed: Vec<u8>,
    inflated: Vec<u8>,
    at: usize,
    failed: Option<UnpackError>,
}

impl<'a, R: FnMut(&Member, &mut Vec<u8>) -> io::Result<()>> Content<'a, R> {
    fn new(members: &'a [Member], run: Range<usize>, read: &'a mut R) -> Result<Self, UnpackError> {
        let out_of_memory =
            || UnpackError::ReadArchive { source: io::ErrorKind::OutOfMemory.into() };
        Ok(Self {
            members: members.get(run.clone()).unwrap_or_default().iter(),
            next: run.start,
            read,
            inflater: Inflater::new().ok_or_else(out_of_memory)?,
            packed: vec![],
            inflated: vec![],
            at: 0,
            failed: None,
        })
    }

    fn inflate(&mut self, expected: &Member) -> Result<(), UnpackError> {
        let member = self.next;
        self.next += 1;
        self.at = 0;
        (self.read)(expected, &mut self.packed)
            .map_err(|source| UnpackError::GetMember { member, source })?;
        if Digest::from_bytes(Sha256::digest(&self.packed).into()) != expected.sha256 {
            return Err(UnpackError::MemberDigest { member });
        }
        member::read(&mut self.inflater, &self.packed, &mut self.inflated)
            .map_err(|source| UnpackError::Member { member, offset: expected.offset, source })
    }
}

impl<R: FnMut(&Member, &mut Vec<u8>) -> io::Result<()>> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.inflated.len() {
            let Some(member) = self.members.next() else { return Ok(0) };
            if let Err(error) = self.inflate(member) {
                self.failed = Some(error);
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        let left = &self.inflated[self.at..];
        let read = left.len().min(buffer.len());
        buffer[..read].copy_from_slice(&left[..read]);
        self.at += read;
        Ok(read)
    }
}
