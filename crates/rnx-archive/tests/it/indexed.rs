//! A tree is made from its index: linked where the host has a file, and from as few members as that leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rnx_archive::indexed::CheckedIndex;
use rnx_archive::{Limits, UnpackError};
use rnx_spec::artifact::{EntryKind, FileIndex, Member};

use crate::fixture::{EPOCH, on_disk, pack, sample, unpack};

fn limits(index: &FileIndex) -> Limits {
    let archive_bytes = index.members.iter().map(|member| member.size_bytes).sum();
    Limits { archive_bytes, unpacked_bytes: u64::MAX, entries: u64::MAX }
}

/// Makes the tree in `dest` with links to what `have` says, and returns the members that were read.
fn make_from(
    index: &FileIndex,
    archive: &[u8],
    have: &BTreeMap<&str, PathBuf>,
    dest: &Path,
) -> Result<Vec<u64>, UnpackError> {
    let checked = CheckedIndex::new(index, &limits(index))?;
    let mut wanted = checked.lay(dest, have)?;
    let mut offsets = vec![];
    let mut read = |member: &Member, packed: &mut Vec<u8>| {
        let start = usize::try_from(member.offset).unwrap();
        let end = start + usize::try_from(member.size_bytes).unwrap();
        packed.clear();
        packed.extend_from_slice(archive.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        offsets.push(member.offset);
        Ok(())
    };
    let mut mtime = 0;
    for run in checked.runs(wanted.iter().copied()) {
        mtime = checked.extract(dest, run, &mut wanted, &mut read)?;
    }
    assert_eq!(wanted, BTreeSet::new());
    checked.set_times(dest, mtime)?;
    Ok(offsets)
}

#[test]
fn what_is_there_is_linked_and_the_rest_is_read() {
    let from = tempfile::tempdir().unwrap();
    let (packed, bytes) = pack(&sample(from.path()), 2, usize::MAX);
    let first = tempfile::tempdir().unwrap();
    unpack(&bytes, first.path(), 2).unwrap();
    let expected = on_disk(first.path());
    let members = packed.index.members.len();
    let all: Vec<&str> = packed.index.entries.iter().map(|entry| entry.path.as_str()).collect();
    let big = "isolated/usr/lib/big";
    let runtime = "runtime.yml";
    for (missing, read) in [
        (all.clone(), members),
        (vec![big, runtime], 4),
        // Two and a half mebibytes, cut at each.
        (vec![big], 3),
        (vec![runtime], 1),
        (vec![], 0),
    ] {
        let have: BTreeMap<&str, PathBuf> = all
            .iter()
            .filter(|path| !missing.contains(path))
            .map(|&path| (path, first.path().join(path)))
            .collect();
        let dest = tempfile::tempdir().unwrap();
        let offsets = make_from(&packed.index, &bytes, &have, dest.path()).unwrap();
        assert_eq!(offsets.len(), read, "{missing:?}");
        let mut made = on_disk(dest.path());
        if missing.is_empty() {
            // No entry was read that tells the time.
            made = made
                .into_iter()
                .map(|(p, line)| (p, line.replace("@0", &format!("@{}", EPOCH.0))))
                .collect();
        }
        assert_eq!(made, expected);
        for entry in &packed.index.entries {
            if matches!(entry.kind, EntryKind::File { .. }) {
                let inode = |root: &Path| root.join(&entry.path).metadata().unwrap().ino();
                let linked = inode(first.path()) == inode(dest.path());
                let expected =
                    have.contains_key(entry.path.as_str()) && !entry.path.ends_with("empty");
                assert_eq!(linked, expected, "{}", entry.path);
            }
        }
    }
}

#[test]
fn bytes_and_indexes_that_lie_are_refused() {
    let from = tempfile::tempdir().unwrap();
    let (packed, bytes) = pack(&sample(from.path()), 1, usize::MAX);
    let refused = |index: &FileIndex, archive: &[u8]| {
        let dest = tempfile::tempdir().unwrap();
        make_from(index, archive, &BTreeMap::new(), dest.path()).unwrap_err().to_string()
    };
    let mut damaged = bytes.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let member = packed.index.members.len() - 1;
    assert_eq!(
        refused(&packed.index, &damaged),
        format!("gzip member {member} of the archive is not what the index says")
    );
    assert_eq!(refused(&packed.index, &bytes[..10]), "failed to get gzip member 0 of the archive");

    let changed = |change: &dyn Fn(&mut FileIndex)| {
        let mut index = packed.index.clone();
        change(&mut index);
        refused(&index, &bytes)
    };
    let entry = |index: &FileIndex, path: &str| {
        index.entries.iter().position(|entry| entry.path == path).unwrap()
    };
    let other = packed.sha256;
    let found = [
        changed(&|index| index.schema_version = 2),
        changed(&|index| index.members.swap(0, 1)),
        changed(&|index| index.entries[0].member = u32::MAX),
        changed(&|index| index.entries[0].path = "../evil".to_owned()),
        changed(&|index| index.entries.insert(1, index.entries[0].clone())),
        changed(&|index| drop(index.entries.remove(0))),
        changed(&|index| {
            let at = entry(index, "isolated/bin");
            index.entries[at].kind = EntryKind::Symlink { target: "../../..".to_owned() };
        }),
        changed(&|index| {
            let at = entry(index, "runtime.yml");
            if let EntryKind::File { sha256, .. } = &mut index.entries[at].kind {
                *sha256 = other;
            }
        }),
    ];
    insta::assert_snapshot!(found.join("\n"));
}
