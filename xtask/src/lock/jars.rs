//! Maven coordinates in jars: as much of the zip format (APPNOTE 6.3) as `META-INF/maven/…/pom.properties` needs.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::DeflateDecoder;

const END_BYTES: usize = 22;
/// The end record may be followed by a comment of 64 KiB.
const END_SEARCHED_BYTES: u64 = 64 * 1024 + END_BYTES as u64;
const DIRECTORY_BYTES_MAX: u64 = 64 * 1024 * 1024;
const PROPERTIES_BYTES_MAX: u64 = 64 * 1024;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// Returns `(group:artifact, version)` of every Maven project that a jar was made from, in the jar's order.
///
/// What is no zip archive, or a broken one, has none: the audit looks at files, not at this.
pub(super) fn coordinates(path: &Path) -> io::Result<Vec<(String, String)>> {
    let mut file = fs_err::File::open(path)?;
    let length = file.seek(SeekFrom::End(0))?;
    let mut tail = Vec::new();
    let searched = length.min(END_SEARCHED_BYTES);
    file.seek(SeekFrom::Start(length - searched))?;
    file.by_ref().take(searched).read_to_end(&mut tail)?;
    let Some((offset, size)) = directory_place(&tail) else { return Ok(Vec::new()) };
    if size > DIRECTORY_BYTES_MAX || offset + size > length {
        return Ok(Vec::new());
    }
    let mut directory = Vec::new();
    file.seek(SeekFrom::Start(offset))?;
    file.by_ref().take(size).read_to_end(&mut directory)?;
    let mut found = Vec::new();
    for entry in entries(&directory) {
        let name = String::from_utf8_lossy(entry.name);
        if name.starts_with("META-INF/maven/") && name.ends_with("/pom.properties") {
            match content(&mut file, &entry) {
                Ok(text) => found.extend(properties(&text)),
                // Places that are not in the file, or packed bytes that are none.
                Err(error) if is_malformed(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(found)
}

struct ZipEntry<'a> {
    name: &'a [u8],
    method: u16,
    packed_bytes: u64,
    header: u64,
}

fn directory_place(tail: &[u8]) -> Option<(u64, u64)> {
    let at = memchr::memmem::rfind(tail, b"PK\x05\x06")?;
    let end = tail.get(at..at + END_BYTES)?;
    Some((u64::from(word(end, 16)?), u64::from(word(end, 12)?)))
}

fn entries(directory: &[u8]) -> Vec<ZipEntry<'_>> {
    let mut found = Vec::new();
    let mut rest = directory;
    while rest.starts_with(b"PK\x01\x02") {
        let Some((entry, length)) = entry(rest) else { break };
        found.push(entry);
        rest = rest.get(length..).unwrap_or_default();
    }
    found
}

fn entry(bytes: &[u8]) -> Option<(ZipEntry<'_>, usize)> {
    let [name, extra, comment] = [28, 30, 32].map(|at| half(bytes, at).map(usize::from));
    let (name, extra, comment) = (name?, extra?, comment?);
    let entry = ZipEntry {
        name: bytes.get(46..46 + name)?,
        method: half(bytes, 10)?,
        packed_bytes: u64::from(word(bytes, 20)?),
        header: u64::from(word(bytes, 42)?),
    };
    Some((entry, 46 + name + extra + comment))
}

fn is_malformed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
    )
}

fn content(file: &mut fs_err::File, entry: &ZipEntry<'_>) -> io::Result<String> {
    let mut header = [0; 30];
    file.seek(SeekFrom::Start(entry.header))?;
    file.read_exact(&mut header)?;
    let lengths = [26, 28].map(|at| half(&header, at).map_or(0, i64::from));
    file.seek(SeekFrom::Current(lengths.iter().sum()))?;
    let packed = file.by_ref().take(entry.packed_bytes);
    let mut text = Vec::new();
    match entry.method {
        STORED => packed.take(PROPERTIES_BYTES_MAX).read_to_end(&mut text)?,
        DEFLATED => {
            DeflateDecoder::new(packed).take(PROPERTIES_BYTES_MAX).read_to_end(&mut text)?
        }
        _ => 0,
    };
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn properties(text: &str) -> Option<(String, String)> {
    let value = |key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::trim)
    };
    let (group, artifact) = (value("groupId")?, value("artifactId")?);
    Some((format!("{group}:{artifact}"), value("version")?.to_owned()))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::{self, Invocation};

    /// Made by Python's `zipfile`, which is on every machine that builds.
    const MAKE: &str = "import sys, zipfile\n\
        with zipfile.ZipFile(sys.argv[1], 'w') as jar:\n\
        \x20   for kind, way in (('a', zipfile.ZIP_STORED), ('b', zipfile.ZIP_DEFLATED)):\n\
        \x20       text = f'#made\\nversion=1.{kind}\\ngroupId=org.{kind}\\nartifactId={kind}\\n'\n\
        \x20       jar.writestr(f'META-INF/maven/org.{kind}/{kind}/pom.properties', text, way)\n\
        \x20   jar.writestr('other.properties', 'groupId=no\\nartifactId=no\\nversion=0\\n')\n\
        \x20   jar.comment = b'said at the end'\n";

    #[test]
    fn a_jar_tells_its_projects_and_a_broken_one_none() {
        let folder = tempfile::tempdir().unwrap();
        let jar = folder.path().join("x.jar");
        tool::run(&Invocation::new("python3").arg("-c").arg(MAKE).arg(&jar)).unwrap();
        let named = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        let both = vec![named("org.a:a", "1.a"), named("org.b:b", "1.b")];
        assert_eq!(coordinates(&jar).unwrap(), both);

        let good = fs_err::read(&jar).unwrap();
        for length in 0..good.len() - "said at the end".len() {
            fs_err::write(&jar, &good[..length]).unwrap();
            assert!(coordinates(&jar).unwrap().is_empty(), "cut after {length} bytes");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0xff;
            fs_err::write(&jar, bad).unwrap();
            assert!(coordinates(&jar).unwrap().len() <= 2, "byte {at} changed");
        }
    }
}
