//! Trees on disk, and what packing and unpacking them gives.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use rnx_archive::unpack::Archive;
use rnx_archive::{Entry, Limits, Options, Packed, Tree, UnpackError, Unpacked};
use rnx_spec::artifact::SourceDateEpoch;

pub(crate) const EPOCH: SourceDateEpoch = SourceDateEpoch(1_700_000_007);

/// What a test puts into a folder.
#[derive(Debug, Clone)]
pub(crate) enum Made {
    Dir,
    File { content: Vec<u8>, executable: bool },
    Symlink(String),
}

pub(crate) fn file(content: impl Into<Vec<u8>>) -> Made {
    Made::File { content: content.into(), executable: false }
}

pub(crate) fn make<'a>(root: &Path, entries: impl IntoIterator<Item = (&'a str, Made)>) {
    for (path, made) in entries {
        let path = root.join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        match made {
            Made::Dir => fs_err::create_dir_all(path).unwrap(),
            Made::Symlink(target) => symlink(target, path).unwrap(),
            Made::File { content, executable } => {
                fs_err::write(&path, content).unwrap();
                // Odd bits on purpose: they must not reach the archive.
                let mode = if executable { 0o711 } else { 0o640 };
                fs_err::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            }
        }
    }
}

/// One of everything: names too long for ustar, names that sort differently by component, an
/// empty file, a file of several members, a long target.
pub(crate) fn sample(root: &Path) -> Tree {
    let long = format!("{}/{}", "long".repeat(30), "name".repeat(40));
    let split = format!("{}/{}", "prefix".repeat(20), "rest".repeat(20));
    let script = Made::File { content: b"#!/bin/sh\n".to_vec(), executable: true };
    make(
        root,
        [
            ("runtime.yml", file("name: sample\n")),
            ("isolated/usr/bin/run", script),
            ("isolated/usr/lib/empty", file("")),
            ("isolated/usr/lib/big", file(noise(2_500_000))),
            ("isolated/usr.d", Made::Dir),
            ("isolated/bin", Made::Symlink("usr/bin".to_owned())),
            ("isolated/sh", Made::Symlink("/bin/sh".to_owned())),
            ("isolated/far", Made::Symlink("target/".repeat(30))),
            ("isolated/über/Ä", file("a")),
            ("isolated/über/ä", file("b")),
            (long.as_str(), file("long")),
            (split.as_str(), file("split")),
        ],
    );
    Tree::scan(root).unwrap()
}

/// Bytes that compress a little, the same on every run.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 26).to_le_bytes()[0]
    })
    .take(length)
    .collect()
}

/// A writer that takes at most so many bytes at a time.
pub(crate) struct Sip(pub(crate) Vec<u8>, pub(crate) usize);

impl Write for Sip {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.1);
        self.0.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn threads(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

pub(crate) fn pack(tree: &Tree, count: usize, sip: usize) -> (Packed, Vec<u8>) {
    let mut out = Sip(vec![], sip);
    let packed = rnx_archive::pack(tree, EPOCH, threads(count), &mut out).unwrap();
    (packed, out.0)
}

/// Limits that are no limits.
pub(crate) const UNLIMITED: Limits =
    Limits { archive_bytes: u64::MAX, unpacked_bytes: u64::MAX, entries: u64::MAX };

pub(crate) fn unpack(archive: &[u8], dest: &Path, count: usize) -> Result<Unpacked, UnpackError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(archive).unwrap();
    let archive = Archive::open(file.path()).unwrap();
    rnx_archive::unpack(&archive, dest, &Options { limits: UNLIMITED, threads: threads(count) })
}

/// Everything on disk that an archive carries: kind, mode, time, content or target.
pub(crate) fn on_disk(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (path, entry) in Tree::scan(root).unwrap().0 {
        let metadata = fs_err::symlink_metadata(root.join(&path)).unwrap();
        let what = match entry {
            Entry::Dir => "dir".to_owned(),
            Entry::Symlink { target } => format!("-> {target}"),
            Entry::File { content, .. } => {
                format!("{:08x}", libdeflater::crc32(&fs_err::read(content).unwrap()))
            }
        };
        let (mode, time) = (metadata.mode() & 0o7777, metadata.mtime());
        found.insert(path.to_string(), format!("{mode:o} @{time} {what}"));
    }
    found
}
