//! The same tree gives the same bytes, and the bytes give the same tree.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use rnx_archive::unpack::Archive;
use rnx_archive::{Options, Tree, UnpackError, verify_and_unpack};
use rnx_spec::Digest;
use rnx_spec::artifact::EntryKind;
use sha2::{Digest as _, Sha256};

use crate::fixture::{
    EPOCH, Made, UNLIMITED, file, make, noise, on_disk, pack, sample, threads, unpack,
};

/// Gzip's bytes change with the deflate code: a new version of it is a new format, and shows here.
#[test]
fn the_bytes_are_the_formats() {
    let dir = tempfile::tempdir().unwrap();
    let (packed, bytes) = pack(&sample(dir.path()), 2, usize::MAX);
    assert_eq!(bytes.len() as u64, packed.size_bytes);
    insta::assert_snapshot!(packed.sha256, @"sha256:a5e4137d62753ddaf1103f071d5223450c2a311c24f38ae2af57dc8603e3f6e7");
    insta::assert_snapshot!("index", serde_json::to_string_pretty(&packed.index).unwrap());
}

#[test]
fn unpacking_gives_modes_times_and_contents() {
    let from = tempfile::tempdir().unwrap();
    let (packed, bytes) = pack(&sample(from.path()), 2, usize::MAX);
    let folders = [1, 3].map(|count| (count, tempfile::tempdir().unwrap()));
    // Only now: an ordinary user could not make the above with it.
    if std::env::var_os("UMASK_WITHOUT_WRITING").is_some() {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o277));
    }
    for (count, to) in folders {
        let unpacked = unpack(&bytes, to.path(), count).unwrap();
        assert_eq!(unpacked.index, packed.index);
        assert_eq!(unpacked.unpacked_bytes, packed.unpacked_bytes);
        assert_eq!(on_disk(to.path()), expected(from.path()));
    }
}

/// The umask is the process's, so the test above runs again in one that takes another; a folder with
/// the setgid bit would hand it on.
#[test]
fn modes_do_not_depend_on_the_umask() {
    let this = std::env::current_exe().unwrap();
    let ran = Command::new(this)
        .args(["--exact", "bytes::unpacking_gives_modes_times_and_contents"])
        .env("UMASK_WITHOUT_WRITING", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");

    let from = tempfile::tempdir().unwrap();
    let bytes = pack(&sample(from.path()), 1, usize::MAX).1;
    let to = tempfile::tempdir().unwrap();
    fs_err::set_permissions(to.path(), PermissionsExt::from_mode(0o2755)).unwrap();
    unpack(&bytes, to.path(), 1).unwrap();
    assert_eq!(on_disk(to.path()), expected(from.path()));
}

/// Cut inside of members, at their borders, and into parts of one byte and of none.
#[test]
fn parts_are_read_as_the_archive_that_they_are_together() {
    let from = tempfile::tempdir().unwrap();
    let (packed, ours) = pack(&sample(from.path()), 2, usize::MAX);
    let stream = {
        let tar = |bytes: &[u8]| {
            let mut out = vec![];
            flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut out).unwrap();
            out
        };
        let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
        gzip.write_all(&tar(&ours)).unwrap();
        gzip.finish().unwrap()
    };
    let border = usize::try_from(packed.index.members[1].offset).unwrap();
    for (bytes, count) in [(&ours, 1), (&ours, 3), (&stream, 1)] {
        let end = bytes.len();
        let cuts = [0, 1, 2, 2, border, border + 7, end - 1, end].map(|cut| cut.min(end));
        let parts = tempfile::tempdir().unwrap();
        let paths: Vec<_> = (0..cuts.len() - 1).map(|n| parts.path().join(n.to_string())).collect();
        for (path, cut) in paths.iter().zip(cuts.windows(2)) {
            fs_err::write(path, &bytes[cut[0]..cut[1]]).unwrap();
        }
        let (size, sha256) = (end as u64, Digest::from_bytes(Sha256::digest(bytes).into()));
        let options = Options { limits: UNLIMITED, threads: threads(count) };
        let run = |paths: &[PathBuf]| {
            let to = tempfile::tempdir().unwrap();
            let archive = Archive::open_parts(paths).unwrap();
            verify_and_unpack(&archive, size, sha256, to.path(), &options)
                .map(|unpacked| (unpacked.index.entries, on_disk(to.path())))
        };
        let (entries, disk) = run(&paths).unwrap();
        assert_eq!((entries.len(), disk), (packed.index.entries.len(), expected(from.path())));
        let mut swapped = paths.clone();
        swapped.swap(3, 4);
        assert!(matches!(run(&swapped), Err(UnpackError::ArchiveDigest { .. })));
        assert!(matches!(run(&paths[..6]), Err(UnpackError::ArchiveSize { .. })));
    }
}

/// What is left of a tree after the way through an archive: its modes and times are the format's.
fn expected(from: &Path) -> BTreeMap<String, String> {
    let time = EPOCH.0;
    let normal = |line: String| {
        let (mode, rest) = line.split_once(" @").unwrap();
        let (_, what) = rest.split_once(' ').unwrap();
        let mode = match mode {
            "640" => "644",
            "777" => "777",
            _ => "755",
        };
        format!("{mode} @{time} {what}")
    };
    on_disk(from).into_iter().map(|(path, line)| (path, normal(line))).collect()
}

/// A changed file changes its own member, an inserted one the members up to the next cut by name.
#[test]
fn a_change_stays_in_few_members() {
    let dir = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..600).map(|n| format!("lib/module-{n:03}.py")).collect();
    let content = noise(20_000);
    make(dir.path(), names.iter().map(|name| (name.as_str(), file(&content[..]))));
    let members = |packed: rnx_archive::Packed| packed.index.members;
    let before = members(pack(&Tree::scan(dir.path()).unwrap(), 2, usize::MAX).0);
    assert!(before.len() > 12, "{}", before.len());
    make(
        dir.path(),
        [("lib/module-250.py", file(noise(20_001))), ("lib/a.py", file(noise(30_000)))],
    );
    let after = members(pack(&Tree::scan(dir.path()).unwrap(), 2, usize::MAX).0);
    let kept = after.iter().filter(|new| before.iter().any(|old| old.sha256 == new.sha256)).count();
    assert!(after.len() - kept <= 7, "{kept} of {} members kept", after.len());
}

fn any_made() -> impl Strategy<Value = Made> {
    prop_oneof![
        2 => Just(Made::Dir),
        6 => (any::<bool>(), any::<u8>(), 0_usize..3000).prop_map(|(executable, byte, length)| {
            Made::File { content: vec![byte; length], executable }
        }),
        1 => (900_000_usize..2_300_000).prop_map(|length| file(noise(length))),
        1 => Just(Made::Symlink("a/../b".to_owned())),
    ]
}

/// Paths over three letters and depths, some too long for ustar.
fn any_tree() -> impl Strategy<Value = BTreeMap<String, Made>> {
    let name = prop_oneof!["[ab.]b{0,2}", Just("n".repeat(120))];
    let path = prop::collection::vec(name, 1..4).prop_map(|names| names.join("/"));
    prop::collection::btree_map(path, any_made(), 0..30).prop_map(|mut tree| {
        // A file cannot be a folder too.
        let names: Vec<String> = tree.keys().cloned().collect();
        tree.retain(|path, _| {
            let has_children = names.iter().any(|other| other.starts_with(&format!("{path}/")));
            let is_dots = path.split('/').any(|name| name == "." || name == "..");
            !has_children && !is_dots
        });
        tree
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_goes_through(tree in any_tree(), sip in 1_usize..70_000) {
        let from = tempfile::tempdir().unwrap();
        make(from.path(), tree.iter().map(|(path, made)| (path.as_str(), made.clone())));
        let scanned = Tree::scan(from.path()).unwrap();
        let (packed, bytes) = pack(&scanned, 1, usize::MAX);
        let (again, same) = pack(&scanned, 3, sip);
        prop_assert_eq!(&packed, &again);
        prop_assert!(bytes == same, "{} bytes by one thread, {} by three", bytes.len(), same.len());
        let to = tempfile::tempdir().unwrap();
        let unpacked = unpack(&bytes, to.path(), 3).unwrap();
        prop_assert_eq!(&unpacked.index, &packed.index);
        prop_assert_eq!(on_disk(to.path()), expected(from.path()));
        let files = packed.index.entries.iter();
        let files = files.filter(|entry| matches!(entry.kind, EntryKind::File { .. })).count();
        prop_assert_eq!(files, tree.values().filter(|made| matches!(made, Made::File { .. })).count());
    }
}
