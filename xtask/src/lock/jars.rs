//! Maven projects in jars: as much of the zip format (APPNOTE 6.3) as `META-INF/maven/…/pom.properties` and the files beside
//! it need, and what those say of licences.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::DeflateDecoder;

const END_BYTES: usize = 22;
/// The end record may be followed by a comment of 64 KiB.
const END_SEARCHED_BYTES: u64 = 64 * 1024 + END_BYTES as u64;
const DIRECTORY_BYTES_MAX: u64 = 64 * 1024 * 1024;
const TEXT_BYTES_MAX: u64 = 1024 * 1024;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// A Maven project that a jar was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Project {
    /// `group:artifact`.
    pub(super) name: String,
    pub(super) version: String,
    /// What its own files name. Many a project inherits its licence from another one's, which is not there.
    pub(super) license: Option<String>,
}

/// Returns the projects, in the jar's order.
///
/// What is no zip archive, or a broken one, has none: the audit looks at files, not at this.
pub(super) fn projects(path: &Path) -> io::Result<Vec<Project>> {
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
    let entries = entries(&directory);
    let mut found = Vec::new();
    for entry in &entries {
        let Some(folder) = entry.name.strip_suffix(b"pom.properties") else { continue };
        if !folder.starts_with(b"META-INF/maven/") {
            continue;
        }
        let Some((name, version)) = properties(&content(&mut file, entry)?) else { continue };
        let pom = [folder, b"pom.xml"].concat();
        let license = licenses(&named(&mut file, &entries, &pom)?);
        found.push(Project { name, version, license });
    }
    // What a whole jar says of itself is said of its project, if it has but one, and is not another's with a copy of it.
    let file_name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_own = |name: &str| name.rsplit(':').next().is_some_and(|one| file_name.starts_with(one));
    if let [Project { name, license: license @ None, .. }] = &mut *found
        && is_own(name)
    {
        *license = bundle_license(&named(&mut file, &entries, b"META-INF/MANIFEST.MF")?);
    }
    Ok(found)
}

/// Returns the text of the entry that has this name; nothing where there is none.
fn named(file: &mut fs_err::File, entries: &[ZipEntry<'_>], name: &[u8]) -> io::Result<String> {
    match entries.iter().find(|entry| entry.name == name) {
        Some(entry) => content(file, entry),
        None => Ok(String::new()),
    }
}

/// Returns the names of a `pom.xml`'s own licences: `<licenses>` of `<project>`, not of a plugin's settings.
fn licenses(pom: &str) -> Option<String> {
    let mut path: Vec<&str> = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    // A comment's end is a tag's end, too: what is commented out is skipped as a whole.
    let parts = pom.split("<!--").enumerate().map(|(at, part)| {
        if at == 0 { part } else { part.split_once("-->").map_or("", |(_, rest)| rest) }
    });
    for piece in parts.flat_map(|part| part.split('<').skip(1)) {
        let (tag, text) = piece.split_once('>').unwrap_or((piece, ""));
        if tag.starts_with('/') {
            path.pop();
        } else if !tag.ends_with('/') && !tag.starts_with(['?', '!']) {
            path.push(tag.split_whitespace().next().unwrap_or_default());
            let name = text.trim();
            if path == ["project", "licenses", "license", "name"] && !name.is_empty() {
                names.push(name);
            }
        }
    }
    (!names.is_empty()).then(|| names.join(", "))
}

/// Returns what `Bundle-License` of a jar's manifest says (`OSGi`), which goes on in lines that begin with a space.
fn bundle_license(manifest: &str) -> Option<String> {
    let joined = manifest.replace("\r\n", "\n").replace("\n ", "");
    let value = joined.lines().find_map(|line| line.strip_prefix("Bundle-License:"))?;
    // `name; description="…"; link="…"`, and several of them with commas between.
    let name = value.split(';').next().unwrap_or_default().trim().trim_matches('"');
    (!name.is_empty()).then(|| name.to_owned())
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

/// Nothing for places that are not in the file, or packed bytes that are none.
fn content(file: &mut fs_err::File, entry: &ZipEntry<'_>) -> io::Result<String> {
    match unpacked(file, entry) {
        Err(error) if is_malformed(&error) => Ok(String::new()),
        text => text,
    }
}

fn unpacked(file: &mut fs_err::File, entry: &ZipEntry<'_>) -> io::Result<String> {
    let mut header = [0; 30];
    file.seek(SeekFrom::Start(entry.header))?;
    file.read_exact(&mut header)?;
    let lengths = [26, 28].map(|at| half(&header, at).map_or(0, i64::from));
    file.seek(SeekFrom::Current(lengths.iter().sum()))?;
    let packed = file.by_ref().take(entry.packed_bytes);
    let mut text = Vec::new();
    match entry.method {
        STORED => packed.take(TEXT_BYTES_MAX).read_to_end(&mut text)?,
        DEFLATED => DeflateDecoder::new(packed).take(TEXT_BYTES_MAX).read_to_end(&mut text)?,
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
        \x20   jar.writestr('META-INF/maven/org.a/a/pom.xml', sys.argv[2])\n\
        \x20   jar.writestr('other.properties', 'groupId=no\\nartifactId=no\\nversion=0\\n')\n\
        \x20   jar.comment = b'said at the end'\n";

    const POM: &str = "<?xml version='1.0'?>\n<project xmlns='x'>\n<!-- <licenses><license><name>No</name> -->\n\
        <parent/><licenses>\n<license><name> Apache-2.0\n</name><url>u</url></license>\n\
        <license comments='c'><name>MIT License</name></license>\n<license><name/></license></licenses>\n\
        <build><licenses><license><name>No</name></license></licenses></build></project>\n";

    #[test]
    fn licences_are_those_of_the_project_itself() {
        assert_eq!(licenses(POM).as_deref(), Some("Apache-2.0, MIT License"));
        for none in
            ["", "<", "</x></y>", "<project><name>No</name></project>", "<project><licenses>"]
        {
            assert_eq!(licenses(none), None, "{none}");
        }
        let bundle =
            |said: &str| bundle_license(&format!("Manifest-Version: 1.0\r\n{said}\r\nX: y\r\n"));
        assert_eq!(bundle("Bundle-License: Apache-2.0").as_deref(), Some("Apache-2.0"));
        let folded = "Bundle-License: \"Eclipse Public\r\n  License\";link=\"u\"";
        assert_eq!(bundle(folded).as_deref(), Some("Eclipse Public License"));
        assert_eq!(bundle("Bundle-Name: x"), None);
    }

    #[test]
    fn what_a_jar_says_of_itself_is_not_said_of_a_copy_in_it() {
        let make = "import sys, zipfile\n\
            for path in sys.argv[1:]:\n\
            \x20   with zipfile.ZipFile(path, 'w') as jar:\n\
            \x20       jar.writestr('META-INF/MANIFEST.MF', 'Bundle-License: MIT\\r\\n')\n\
            \x20       jar.writestr('META-INF/maven/g/a/pom.properties', 'groupId=g\\nartifactId=a\\nversion=1\\n')\n";
        let folder = tempfile::tempdir().unwrap();
        let jars = ["a-1.jar", "other.jar"].map(|name| folder.path().join(name));
        tool::run(&Invocation::new("python3").arg("-c").arg(make).args(&jars)).unwrap();
        let told = jars.map(|jar| projects(&jar).unwrap().remove(0).license);
        assert_eq!(told, [Some("MIT".to_owned()), None]);
    }

    #[test]
    fn a_jar_tells_its_projects_and_a_broken_one_none() {
        let folder = tempfile::tempdir().unwrap();
        let jar = folder.path().join("x.jar");
        tool::run(&Invocation::new("python3").arg("-c").arg(MAKE).arg(&jar).arg(POM)).unwrap();
        let project = |name: &str, version: &str, license: Option<&str>| Project {
            name: name.to_owned(),
            version: version.to_owned(),
            license: license.map(str::to_owned),
        };
        let both = vec![
            project("org.a:a", "1.a", Some("Apache-2.0, MIT License")),
            project("org.b:b", "1.b", None),
        ];
        assert_eq!(projects(&jar).unwrap(), both);

        let good = fs_err::read(&jar).unwrap();
        for length in 0..good.len() - "said at the end".len() {
            fs_err::write(&jar, &good[..length]).unwrap();
            assert!(projects(&jar).unwrap().is_empty(), "cut after {length} bytes");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0xff;
            fs_err::write(&jar, bad).unwrap();
            assert!(projects(&jar).unwrap().len() <= 2, "byte {at} changed");
        }
    }
}
