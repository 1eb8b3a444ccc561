//! What other programs see in our archives, and what we see in theirs.
#![expect(clippy::print_stderr, reason = "a skipped test says so")]

use std::path::Path;
use std::process::Command;

use rnx_archive::{Entry, Tree, TreePath};

use crate::fixture::{Made, file, make, noise, on_disk, pack, sample, unpack};

/// Kills a mode, owner or time of the host in the archive.
#[test]
fn entries_carry_no_trace_of_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let (_, bytes) = pack(&sample(dir.path()), 2, usize::MAX);
    let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(&bytes[..]));
    let mut lines = vec![];
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let target =
            entry.link_name_bytes().map(|target| String::from_utf8_lossy(&target).into_owned());
        lines.push(format!(
            "{:?} {:o} {}:{} ({}:{}) @{} {} {path}{}",
            header.entry_type(),
            header.mode().unwrap(),
            header.uid().unwrap(),
            header.gid().unwrap(),
            header.username().unwrap().unwrap(),
            header.groupname().unwrap().unwrap(),
            header.mtime().unwrap(),
            header.size().unwrap(),
            target.map(|target| format!(" -> {target}")).unwrap_or_default(),
        ));
    }
    insta::assert_snapshot!("listing", lines.join("\n"));
}

#[test]
fn other_programs_list_the_same_entries() {
    let dir = tempfile::tempdir().unwrap();
    let tree = sample(&dir.path().join("tree"));
    let archive = dir.path().join("archive.tar.gz");
    fs_err::write(&archive, pack(&tree, 2, usize::MAX).1).unwrap();
    let written = |(path, entry): (&TreePath, &Entry)| match entry {
        Entry::Dir => format!("{path}/"),
        _ => path.to_string(),
    };
    let mut names: Vec<String> = tree.0.iter().map(written).collect();
    names.sort();
    let python = "import sys, tarfile\nfor m in tarfile.open(sys.argv[1], errorlevel=2): print(m.name + '/' * m.isdir())";
    let archive = archive.to_str().unwrap();
    let programs: [&[&str]; 3] = [
        &["tar", "--quoting-style=literal", "-tzf", archive],
        &["bsdtar", "-tf", archive],
        &["python3", "-c", python, archive],
    ];
    for argv in programs {
        let Some(listed) = output(argv) else { continue };
        let listed: Vec<&str> = listed.lines().collect();
        assert_eq!(listed, names, "{}", argv[0]);
    }
}

#[test]
fn other_programs_unpack_the_same_tree() {
    let dir = tempfile::tempdir().unwrap();
    let tree = sample(&dir.path().join("tree"));
    let bytes = pack(&tree, 2, usize::MAX).1;
    let archive = dir.path().join("archive.tar.gz");
    fs_err::write(&archive, &bytes).unwrap();
    let ours = dir.path().join("ours");
    fs_err::create_dir(&ours).unwrap();
    unpack(&bytes, &ours, 2).unwrap();
    let python = "import sys, tarfile\nf = tarfile.open(sys.argv[1])\nf.extraction_filter = lambda m, p: m\nf.extractall(sys.argv[2])";
    let archive = archive.to_str().unwrap();
    for program in ["tar", "bsdtar", "python3"] {
        let theirs = dir.path().join(program);
        fs_err::create_dir(&theirs).unwrap();
        let dest = theirs.to_str().unwrap();
        let argv: &[&str] = match program {
            "python3" => &["python3", "-c", python, archive, dest],
            _ => &[program, "-xpf", archive, "-C", dest],
        };
        if output(argv).is_none() {
            continue;
        }
        // Python leaves the times of symlinks as they happen to be.
        if program == "python3" {
            assert_eq!(contents(&theirs), contents(&ours));
        } else {
            assert_eq!(on_disk(&theirs), on_disk(&ours), "{program}");
        }
    }
}

#[test]
fn archives_of_other_programs_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("tree");
    let long = format!("{}/{}", "l".repeat(120), "n".repeat(200));
    make(
        &root,
        [
            ("a", Made::File { content: noise(3_000_000), executable: true }),
            ("d/b", file("b")),
            ("d/empty", Made::Dir),
            ("l", Made::Symlink("t/".repeat(80))),
            (long.as_str(), file("long")),
        ],
    );
    let names = ["a", "d", "l", &long[..120]];
    let python = "import os, sys, tarfile\nos.chdir(sys.argv[2])\nwith tarfile.open(sys.argv[1], 'w:gz') as f:\n  for n in sys.argv[3:]: f.add(n)";
    let (archive, from) = (dir.path().join("archive"), root.to_str().unwrap());
    let to = archive.to_str().unwrap();
    let programs: [&[&str]; 4] = [
        &["tar", "--format=gnu", "-czf", to, "-C", from],
        &["tar", "--format=posix", "-czf", to, "-C", from],
        &["bsdtar", "-czf", to, "-C", from],
        &["python3", "-c", python, to, from],
    ];
    for argv in programs {
        let argv = [argv, &names].concat();
        if output(&argv).is_none() {
            continue;
        }
        let dest = tempfile::tempdir().unwrap();
        let unpacked = unpack(&fs_err::read(&archive).unwrap(), dest.path(), 2).unwrap();
        assert_eq!(contents(dest.path()), contents(&root), "{argv:?}");
        assert_eq!(unpacked.entries, 7, "{argv:?}");
        let again = pack(&Tree::scan(dest.path()).unwrap(), 1, usize::MAX).0.index.entries;
        let mut listed = unpacked.index.entries;
        listed.sort_by(|a, b| a.path.cmp(&b.path));
        let kinds = |entries: Vec<rnx_spec::artifact::IndexEntry>| {
            entries.into_iter().map(|entry| (entry.path, entry.kind)).collect::<Vec<_>>()
        };
        assert_eq!(kinds(listed), kinds(again), "{argv:?}");
    }
}

/// What is on disk without modes and times.
fn contents(root: &Path) -> Vec<String> {
    let what = |line: &str| line.splitn(3, ' ').last().unwrap().to_owned();
    on_disk(root).into_iter().map(|(path, line)| format!("{path} {}", what(&line))).collect()
}

/// Runs a program that may be missing at a desk, but not in continuous integration.
fn output(argv: &[&str]) -> Option<String> {
    let ran = Command::new(argv[0]).args(&argv[1..]).env("LC_ALL", "C.UTF-8").output();
    match ran {
        Err(error) if std::env::var_os("CI").is_none() => {
            eprintln!("skipped: `{}` cannot be run: {error}", argv[0]);
            None
        }
        ran => {
            let ran = ran.unwrap();
            let talk = String::from_utf8_lossy(&ran.stderr);
            assert!(ran.status.success() && talk.is_empty(), "{argv:?}: {talk}");
            Some(String::from_utf8(ran.stdout).unwrap())
        }
    }
}
