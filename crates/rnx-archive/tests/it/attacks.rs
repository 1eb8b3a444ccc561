//! Archives made by hand to do harm: each is refused as a whole, with its own error.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use rnx_archive::unpack::Archive;
use rnx_archive::{Limits, Options, UnpackError, verify_and_unpack};
use rnx_spec::Digest;
use tar::{EntryType, Header};

use crate::fixture::{UNLIMITED, file, make, noise, on_disk, pack, sample, threads, unpack};

/// One header, taken at its word.
fn header(name: impl AsRef<[u8]>, kind: u8, size: u64, change: impl Fn(&mut Header)) -> Vec<u8> {
    let mut header = Header::new_ustar();
    let name = name.as_ref();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(EntryType::new(kind));
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(7);
    header.set_size(size);
    change(&mut header);
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn entry(name: impl AsRef<[u8]>, kind: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let mut bytes = header(name, kind, content.len() as u64, |_| {});
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn link(name: &str, kind: u8, target: impl AsRef<[u8]>) -> Vec<u8> {
    let target = target.as_ref();
    header(name, kind, 0, |header| {
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target);
    })
}

/// A PAX header with one record, and the file it is about.
fn pax(key: &str, value: impl AsRef<[u8]>) -> Vec<u8> {
    let mut record = format!(" {key}=").into_bytes();
    record.extend_from_slice(value.as_ref());
    record.push(b'\n');
    let digits = [9, 98, 997].iter().position(|&below| record.len() < below).unwrap() + 1;
    let record = [format!("{}", record.len() + digits).into_bytes(), record].concat();
    [entry("pax", b'x', record), entry("f", b'0', "")].concat()
}

fn ended(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 1024]].concat()
}

/// The tar as another program compresses it.
fn gzip(tar: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::fast());
    encoder.write_all(tar).unwrap();
    encoder.finish().unwrap()
}

fn deflate(content: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(vec![], Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// One of our members around any body, with any claims.
fn member_of(body: &[u8], content: &[u8], claimed_length: Option<u32>) -> Vec<u8> {
    let length = u32::try_from(body.len() + 28).unwrap();
    let mut bytes = vec![0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 8, 0, b'R', b'X', 4, 0];
    bytes.extend_from_slice(&claimed_length.unwrap_or(length).to_le_bytes());
    bytes.extend_from_slice(body);
    bytes.extend_from_slice(&libdeflater::crc32(content).to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(content.len()).unwrap().to_le_bytes());
    bytes
}

/// The tar as our packer frames it, cut at odd places.
fn members(tar: &[u8]) -> Vec<u8> {
    tar.chunks(700).flat_map(|part| member_of(&deflate(part), part, None)).collect()
}

/// A folder to unpack into, and beside it one that nothing may touch.
fn beside(root: &Path) {
    make(root, [("dest", crate::fixture::Made::Dir), ("outside/canary", file("alive"))]);
}

/// Unpacks next to a canary; returns the error as the table writes it.
fn refused(archive: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    beside(dir.path());
    let before = on_disk(&dir.path().join("outside"));
    let error = unpack(archive, &dir.path().join("dest"), 2).unwrap_err();
    assert_eq!(on_disk(&dir.path().join("outside")), before);
    let names: Vec<_> =
        fs_err::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    format!("{error:?}")
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table, one line or two per refusal")]
fn tar_attacks_are_refused() {
    let long = "n".repeat(300);
    let deep = "d/".repeat(70) + "f";
    let too_long = format!(r#"Path {{ path: "{long}", source: ComponentTooLong }}"#);
    let too_deep = format!(r#"Path {{ path: "{deep}", source: TooDeep }}"#);
    let evil = |name: &str| entry(name, b'0', "evil");
    let special = |mode| header("f", b'0', 0, |header| header.set_mode(mode));
    let repeated = [pax("path", "a")[..1024].to_vec(), pax("path", "b")].concat();
    let global = [entry("pax", b'g', "9 path=a\n"), evil("f")];
    let no_entry = entry("pax", b'x', "9 path=a\n");
    let short_record = [entry("pax", b'x', "9 path=ab\n"), evil("f")];
    let blank_record = [entry("pax", b'x', "10 path=a\n\n11 path=bb\n"), evil("f")];
    let bomb = [entry("pax", b'x', vec![b'a'; 17 * 1024]), evil("f")];
    let long_bomb = [header("././@LongLink", b'L', 1 << 40, |_| {}), evil("f")];
    let with_checksum = |mut block: Vec<u8>| {
        block[0] ^= 1;
        block
    };
    let cases: Vec<(&str, Vec<Vec<u8>>)> = vec![
        (r#"Path { path: "../outside/canary", source: DotDot }"#, vec![evil("../outside/canary")]),
        (r#"Path { path: "a/../../outside/x", source: DotDot }"#, vec![evil("a/../../outside/x")]),
        (r#"Path { path: "/tmp/evil", source: Absolute }"#, vec![evil("/tmp/evil")]),
        (r#"Path { path: "", source: Empty }"#, vec![evil("")]),
        (r#"Path { path: "a//b", source: Empty }"#, vec![evil("a//b")]),
        (r#"Path { path: "f/", source: Empty }"#, vec![evil("f/")]),
        (r#"Path { path: "/", source: Absolute }"#, vec![entry("/", b'5', "")]),
        (r#"Path { path: "./", source: Dot }"#, vec![entry("./", b'5', "")]),
        (r#"Path { path: "./a", source: Dot }"#, vec![evil("./a")]),
        (r#"Path { path: "a\\nb", source: Control }"#, vec![evil("a\nb")]),
        (r#"Path { path: "a\\u{1b}[2J", source: Control }"#, vec![evil("a\x1b[2J")]),
        (r#"Path { path: "a\\0b", source: Control }"#, vec![pax("path", "a\0b")]),
        (
            r#"Path { path: "a\\0b", source: Control }"#,
            vec![entry("././@LongLink", b'L', "a\0b\0"), evil("f")],
        ),
        (r#"Path { path: "a�", source: NotUtf8 }"#, vec![entry(b"a\xff", b'0', "")]),
        (&too_long, vec![pax("path", &long)]),
        (&too_deep, vec![pax("path", &deep)]),
        (r#"Link { path: "a/l", source: Escapes }"#, vec![link("a/l", b'2', "../../outside")]),
        (r#"Link { path: "l", source: Escapes }"#, vec![link("l", b'2', "..")]),
        (r#"Link { path: "l", source: Empty }"#, vec![link("l", b'2', "")]),
        (r#"Link { path: "l", source: Control }"#, vec![link("l", b'2', "a\x07")]),
        (r#"Link { path: "l", source: NotUtf8 }"#, vec![link("l", b'2', b"a\xff")]),
        (
            r#"ThroughSymlink { path: "l/canary", parent: "l" }"#,
            vec![link("l", b'2', "/tmp"), evil("l/canary")],
        ),
        (
            r#"ThroughSymlink { path: "l/a", parent: "l" }"#,
            vec![entry("d", b'5', ""), link("l", b'2', "d"), evil("l/a/b")],
        ),
        (r#"ThroughFile { path: "f/x", parent: "f" }"#, vec![evil("f"), evil("f/x")]),
        (r#"Duplicate { path: "f" }"#, vec![evil("f"), evil("f")]),
        (r#"Duplicate { path: "l" }"#, vec![link("l", b'2', "/tmp/evil"), evil("l")]),
        (r#"Duplicate { path: "d" }"#, vec![entry("d/", b'5', ""), link("d", b'2', "/tmp")]),
        (
            r#"Duplicate { path: "d" }"#,
            vec![evil("d/f"), entry("d/", b'5', ""), entry("d/", b'5', "")],
        ),
        (r#"HardLink { path: "h" }"#, vec![link("h", b'1', "../outside/canary")]),
        (r#"HardLink { path: "h" }"#, vec![evil("f"), link("h", b'1', "f")]),
        (r#"Device { path: "null" }"#, vec![entry("null", b'3', "")]),
        (r#"Device { path: "sda" }"#, vec![entry("sda", b'4', "")]),
        (r#"Fifo { path: "p" }"#, vec![entry("p", b'6', "")]),
        (r#"Sparse { path: "s" }"#, vec![entry("s", b'S', "")]),
        (r#"Sparse { path: "f" }"#, vec![pax("GNU.sparse.major", "1")]),
        (
            r#"Attributes { path: "f", key: "SCHILY.xattr.security.capability" }"#,
            vec![pax("SCHILY.xattr.security.capability", "x")],
        ),
        (r#"Kind { path: "c", kind: 55 }"#, vec![entry("c", b'7', "")]),
        (r#"Kind { path: "pax", kind: 103 }"#, global.to_vec()),
        (r#"SpecialMode { path: "f", mode: 2541 }"#, vec![special(0o4755)]),
        (r#"SpecialMode { path: "f", mode: 1517 }"#, vec![special(0o2755)]),
        (r#"SpecialMode { path: "f", mode: 1005 }"#, vec![special(0o1755)]),
        (r#"ContentOfNoFile { path: "d" }"#, vec![entry("d", b'5', "evil")]),
        ("MetadataTooLarge { offset: 0, limit: 16384 }", bomb.to_vec()),
        ("MetadataTooLarge { offset: 0, limit: 16384 }", long_bomb.to_vec()),
        ("Metadata { offset: 1024 }", vec![repeated]),
        ("Metadata { offset: 0 }", short_record.to_vec()),
        ("Metadata { offset: 0 }", blank_record.to_vec()),
        ("Metadata { offset: 1024 }", vec![no_entry]),
        ("Metadata { offset: 0 }", vec![pax("size", "-1")]),
        (
            r#"MetadataKey { offset: 0, key: "RHT.security.selinux" }"#,
            vec![pax("RHT.security.selinux", "x")],
        ),
        ("Header { offset: 512 }", vec![entry("d", b'5', ""), with_checksum(evil("f"))]),
        (
            "Header { offset: 0 }",
            vec![header("f", b'0', 0, |header| header.as_old_mut().mode = *b"notoctal")],
        ),
        ("AfterEnd", vec![evil("f"), vec![0; 512], evil("g")]),
        ("AfterEnd", vec![evil("f"), vec![0; 1024], evil("g")]),
        ("AfterEnd", vec![evil("f"), vec![0; 70_000]]),
    ];
    let mut wrong = vec![];
    for (expected, entries) in cases {
        let tar = ended(&entries);
        for (framing, archive) in [("one gzip stream", gzip(&tar)), ("members", members(&tar))] {
            let actual = refused(&archive);
            if actual != expected {
                wrong.push(format!("in {framing}: expected {expected}, got {actual}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn cut_and_continued_archives_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (_, ours) = pack(&sample(dir.path()), 2, usize::MAX);
    let tar = ended(&[entry("f", b'0', noise(3000))]);
    let theirs = gzip(&tar);
    let rest = |archive: &[u8], more: &[u8]| [archive, more].concat();
    let no_end = entry("f", b'0', "x");
    let one_zero_block = [no_end.clone(), vec![0; 512]].concat();
    for bytes in [&no_end, &one_zero_block, &tar[..700], &tar[..1024], &[]] {
        assert_eq!(refused(&gzip(bytes)), "MissingEnd", "{} bytes", bytes.len());
        let bytes = if bytes.is_empty() { vec![] } else { members(bytes) };
        assert_eq!(refused(&bytes), "MissingEnd", "{} bytes in members", bytes.len());
    }
    assert_eq!(refused(&theirs[..theirs.len() - 9]), "MissingEnd");
    assert_eq!(
        refused(&rest(&theirs, b"evil")),
        format!("TrailingBytes {{ offset: {} }}", theirs.len())
    );
    assert_eq!(
        refused(&rest(&ours, b"evil")),
        format!("TrailingBytes {{ offset: {} }}", ours.len())
    );
    assert_eq!(
        refused(&rest(&ours, &[0; 99])),
        format!("TrailingBytes {{ offset: {} }}", ours.len())
    );
    assert_eq!(refused(&rest(&theirs, &theirs)), "AfterEnd");
    assert_eq!(refused(&rest(&ours, &ours)), "AfterEnd");
    assert!(refused(b"no gzip at all, but some text").starts_with("Gzip {"));
}

#[test]
fn lies_of_members_are_refused() {
    let tar = ended(&[entry("f", b'0', noise(3000))]);
    let (first, second) = tar.split_at(1000);
    let (a, b) = (deflate(first), deflate(second));
    let good = member_of(&a, first, None);
    let source = |member: usize, offset: usize, source: &str| {
        format!("Member {{ member: {member}, offset: {offset}, source: {source} }}")
    };
    let rest = member_of(&b, second, None);
    let length = u32::try_from(good.len()).unwrap();
    // A second member, hidden from us alone: the first one claims it as its own.
    let hidden = [&a[..], &good[good.len() - 8..], &good[..good.len() - 8]].concat();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 0x40;
    let mut wrong_crc = good.clone();
    wrong_crc[good.len() - 8] ^= 1;
    let huge = member_of(&a, first, Some(u32::MAX));
    let left = good.len() + rest.len();
    let trailing = format!("TrailingBytes {{ offset: {} }}", length - 1);
    let cases = [
        ([member_of(&a, first, Some(length - 1)), rest.clone()], trailing),
        ([member_of(&a[..a.len() - 3], first, None), rest.clone()], source(0, 0, "Data")),
        (
            [member_of(&a, first, Some(0)), rest.clone()],
            source(0, 0, &format!("Length {{ claimed: 0, left: {left} }}")),
        ),
        ([huge, rest.clone()], source(0, 0, "TooLarge")),
        (
            [good.clone(), member_of(&b, second, Some(9999))],
            source(1, good.len(), &format!("Length {{ claimed: 9999, left: {} }}", rest.len())),
        ),
        ([member_of(&hidden, first, None), rest.clone()], source(0, 0, "Slack")),
        ([flipped, rest.clone()], source(0, 0, "TooLarge")),
        ([wrong_crc, rest.clone()], source(0, 0, "Content")),
        ([member_of(&a, &tar[..999], None), rest.clone()], source(0, 0, "Data")),
        ([member_of(&a, &tar[..1001], None), rest.clone()], source(0, 0, "Content")),
        ([good.clone(), gzip(second)], source(1, good.len(), "Header")),
    ];
    let wrong = cases.map(|(parts, expected)| (refused(&parts.concat()), expected));
    let wrong: Vec<_> = wrong.iter().filter(|(actual, expected)| actual != expected).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn promises_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (packed, bytes) = pack(&sample(dir.path()), 2, usize::MAX);
    let archive = dir.path().join("archive.tar.gz");
    fs_err::write(&archive, &bytes).unwrap();
    let exact = Limits {
        archive_bytes: packed.size_bytes,
        unpacked_bytes: packed.unpacked_bytes,
        entries: packed.entries,
    };
    let run = |size, sha256, limits| {
        let dest = tempfile::tempdir().unwrap();
        let options = Options { limits, threads: threads(2) };
        let result = verify_and_unpack(
            &Archive::open(&archive).unwrap(),
            size,
            sha256,
            dest.path(),
            &options,
        );
        (result, fs_err::read_dir(dest.path()).unwrap().count())
    };
    let (size, sha256) = (packed.size_bytes, packed.sha256);
    assert_eq!(run(size, sha256, exact).0.unwrap().index, packed.index);
    let one = Options { limits: exact, threads: threads(1) };
    let dest = tempfile::tempdir().unwrap();
    let unpacked =
        verify_and_unpack(&Archive::open(&archive).unwrap(), size, sha256, dest.path(), &one)
            .unwrap();
    assert_eq!(unpacked.index, packed.index);
    let other = Digest::from_bytes([7; 32]);
    let show = |(result, left): (Result<_, UnpackError>, usize)| {
        (result.map(|_| ()).unwrap_err().to_string(), left)
    };
    let fewer = |limits| show(run(size, sha256, limits)).0;
    let message = format!("the archive has the wrong content: expected {other}, got {sha256}");
    assert_eq!(show(run(size, other, exact)), (message, 0));
    let message = format!("the archive has {size} bytes, expected {}", size + 1);
    assert_eq!(show(run(size + 1, sha256, exact)), (message, 0));
    let limit = size - 1;
    let message = format!("the archive has {size} bytes, more than the promised {limit}");
    assert_eq!(fewer(Limits { archive_bytes: limit, ..exact }), message);
    let limit = packed.unpacked_bytes - 1;
    let message = format!("the archive unpacks to more than the promised {limit} bytes");
    assert_eq!(fewer(Limits { unpacked_bytes: limit, ..exact }), message);
    let limit = packed.entries - 1;
    let message = format!("the archive has more than the promised {limit} entries");
    assert_eq!(fewer(Limits { entries: limit, ..exact }), message);
}

#[test]
fn the_digest_has_the_first_word() {
    let dir = tempfile::tempdir().unwrap();
    let (packed, mut bytes) = pack(&sample(dir.path()), 2, usize::MAX);
    // The second member's header: by itself, a reason to refuse the archive.
    bytes[usize::try_from(packed.index.members[1].offset).unwrap() + 2] ^= 1;
    let archive = dir.path().join("archive.tar.gz");
    fs_err::write(&archive, &bytes).unwrap();
    for count in [1, 2] {
        let dest = tempfile::tempdir().unwrap();
        let options = Options { limits: UNLIMITED, threads: threads(count) };
        let (size, sha256) = (packed.size_bytes, packed.sha256);
        let error = verify_and_unpack(
            &Archive::open(&archive).unwrap(),
            size,
            sha256,
            dest.path(),
            &options,
        )
        .unwrap_err();
        assert!(matches!(error, UnpackError::ArchiveDigest { .. }), "{error:?}");
        assert_eq!(fs_err::read_dir(dest.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_folder_with_something_in_it_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), [("mine", file("mine"))]);
    let before = on_disk(dir.path());
    let options = Options { limits: UNLIMITED, threads: threads(1) };
    let archive = dir.path().join("mine");
    let opened = rnx_archive::unpack::Archive::open(&archive).unwrap();
    let error = rnx_archive::unpack(&opened, dir.path(), &options).unwrap_err();
    assert!(
        matches!(&error, UnpackError::DestNotEmpty { path } if path == dir.path()),
        "{error:?}"
    );
    assert_eq!(on_disk(dir.path()), before);
}
