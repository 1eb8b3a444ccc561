//! Reads a tree once, on all cores: what each entry is, and what the rules want to know of it. ⚡

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use memchr::memmem::{Finder, find};
use walkdir::WalkDir;

use super::AuditError;
use super::elf::{self, ElfError, ElfInfo, ReadAt};

const CHUNK_BYTES: usize = 1024 * 1024;
const HEAD_BYTES: usize = 4096;
const TEXT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The entries of a tree by path, relative and `/`-separated; the tree itself is `""`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    pub nodes: BTreeMap<String, Node>,
    /// Names that are not UTF-8, as they print.
    pub not_utf8: Vec<String>,
    /// Folders that could not be read, and why.
    pub unreadable: Vec<(String, String)>,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub kind: NodeKind,
    /// The permission bits.
    pub mode: u32,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeKind {
    Dir,
    File(Box<FileFacts>),
    Symlink {
        target: String,
    },
    /// A device, FIFO or socket, by name.
    Special(&'static str),
}

/// What the rules want to know of a file's content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileFacts {
    pub elf: Option<Result<ElfInfo, ElfError>>,
    /// The first line after `#!`.
    pub shebang: Option<String>,
    /// The forbidden texts that were found: index and offset of the first place.
    pub forbidden: Vec<(usize, u64)>,
    /// The folders that a dynamic linker searches by itself.
    pub system_dirs: Vec<String>,
    /// The content of `ld.so.cache`.
    pub content: Option<Vec<u8>>,
    /// Why the file could not be read.
    pub unreadable: Option<String>,
}

/// Reads the tree below `root`, looking for `forbidden` texts in its files.
pub fn read(root: &Path, forbidden: &[String]) -> Result<Listing, AuditError> {
    let (mut listing, files) = walk(root)?;
    let finders: Vec<Finder<'_>> = forbidden.iter().map(Finder::new).collect();
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::with_capacity(files.len()));
    let threads = thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut mine = Vec::new();
                while let Some((path, place)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    mine.push((path, facts(path, place, &finders)));
                }
                if let Ok(mut found) = found.lock() {
                    found.append(&mut mine);
                }
            });
        }
    });
    for (path, facts) in found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        if let Some(node) = listing.nodes.get_mut(path) {
            node.kind = NodeKind::File(Box::new(facts));
        }
    }
    Ok(listing)
}

fn walk(root: &Path) -> Result<(Listing, Vec<(String, PathBuf)>), AuditError> {
    let mut listing = Listing::default();
    let mut files = Vec::new();
    // Something mounted in a chroot, such as `/proc`, is none of its own.
    for found in WalkDir::new(root).same_file_system(true) {
        let found = match found {
            Ok(found) => found,
            Err(error) if error.depth() > 0 => {
                listing.unreadable.push(unreadable(root, &error));
                continue;
            }
            Err(source) => return Err(AuditError::Walk { root: root.to_owned(), source }),
        };
        let relative = found.path().strip_prefix(root).unwrap_or(found.path());
        let Some(path) = relative.to_str() else {
            listing.not_utf8.push(relative.display().to_string());
            continue;
        };
        // A folder may let its names be read and not what they name.
        let metadata = match found.metadata() {
            Ok(metadata) => metadata,
            Err(error) => {
                listing.unreadable.push(unreadable(root, &error));
                continue;
            }
        };
        let kind = if metadata.is_dir() {
            NodeKind::Dir
        } else if metadata.is_symlink() {
            let target = fs_err::read_link(found.path())
                .map_err(|source| AuditError::ReadLink { source })?;
            NodeKind::Symlink { target: target.to_string_lossy().into_owned() }
        } else if metadata.is_file() {
            files.push((path.to_owned(), found.path().to_owned()));
            NodeKind::File(Box::default())
        } else {
            NodeKind::Special(special(metadata.file_type()))
        };
        listing.nodes.insert(path.to_owned(), Node { kind, mode: metadata.mode() & 0o7777 });
    }
    Ok((listing, files))
}

fn unreadable(root: &Path, error: &walkdir::Error) -> (String, String) {
    let path = error.path().unwrap_or(root);
    let path = path.strip_prefix(root).unwrap_or(path).display().to_string();
    (path, error.io_error().map_or_else(|| error.to_string(), io::Error::to_string))
}

fn special(kind: std::fs::FileType) -> &'static str {
    if kind.is_fifo() {
        "FIFO"
    } else if kind.is_socket() {
        "socket"
    } else {
        "device"
    }
}

fn facts(path: &str, place: &Path, finders: &[Finder<'_>]) -> FileFacts {
    read_facts(path, place, finders).unwrap_or_else(|error| FileFacts {
        unreadable: Some(error.to_string()),
        ..FileFacts::default()
    })
}

fn read_facts(path: &str, place: &Path, finders: &[Finder<'_>]) -> io::Result<FileFacts> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(place)?;
    let mut head = vec![0; HEAD_BYTES];
    let len = read_full(&file, 0, &mut head)?;
    head.truncate(len);
    let mut facts = FileFacts { shebang: shebang(&head), ..FileFacts::default() };
    if head.starts_with(b"\x7fELF") {
        facts.elf = elf::parse(&file);
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    if name == "ld.so.cache" {
        facts.content = ReadAt::read_at(&file, 0, TEXT_BYTES_MAX);
    } else if facts.elf.is_some() && is_dynamic_linker(name) {
        facts.system_dirs = ReadAt::read_at(&file, 0, TEXT_BYTES_MAX)
            .map_or(vec![], |bytes: Vec<u8>| system_dirs(&bytes));
    }
    facts.forbidden = search(&file, &head, finders)?;
    Ok(facts)
}

fn search(
    file: &std::fs::File,
    head: &[u8],
    finders: &[Finder<'_>],
) -> io::Result<Vec<(usize, u64)>> {
    let Some(longest) = finders.iter().map(|finder| finder.needle().len()).max() else {
        return Ok(vec![]);
    };
    let mut hits = BTreeMap::new();
    let look = |bytes: &[u8], base: u64, hits: &mut BTreeMap<usize, u64>| {
        for (index, finder) in finders.iter().enumerate() {
            if let Some(at) = finder.find(bytes) {
                hits.entry(index).or_insert(base + at as u64);
            }
        }
    };
    if head.len() < HEAD_BYTES {
        look(head, 0, &mut hits);
        return Ok(hits.into_iter().collect());
    }
    // Chunks overlap, so that a text on the border is found.
    let mut chunk = vec![0; CHUNK_BYTES.max(2 * longest)];
    let mut base = 0;
    loop {
        let len = read_full(file, base, &mut chunk)?;
        look(&chunk[..len], base, &mut hits);
        if len < chunk.len() {
            return Ok(hits.into_iter().collect());
        }
        base += (len - longest) as u64;
    }
}

fn read_full(file: &std::fs::File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match FileExt::read_at(file, &mut buffer[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(len) => done += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

fn shebang(head: &[u8]) -> Option<String> {
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    Some(String::from_utf8_lossy(line).trim().to_owned())
}

fn is_dynamic_linker(name: &str) -> bool {
    name.starts_with("ld-linux") || (name.starts_with("ld-") && name.contains(".so"))
}

/// Returns the folders that glibc was configured to search, which its linker holds in one run of
/// texts: `/lib/x86_64-linux-gnu/`, `/usr/lib/x86_64-linux-gnu/`, `/lib/`, `/usr/lib/`.
fn system_dirs(linker: &[u8]) -> Vec<String> {
    let mut from = 0;
    while let Some(at) = find(&linker[from..], b"\0/lib") {
        let start = from + at + 1;
        let dirs: Vec<String> = linker[start..]
            .split(|byte| *byte == 0)
            .map_while(|text| std::str::from_utf8(text).ok())
            .take_while(|text| text.starts_with('/') && text.ends_with('/'))
            .map(|text| text.trim_end_matches('/').to_owned())
            .collect();
        if dirs.len() > 1 {
            return dirs;
        }
        from = start;
    }
    vec![]
}

impl ReadAt for std::fs::File {
    fn read_at(&self, offset: u64, len: usize) -> Option<Vec<u8>> {
        let mut buffer = vec![0; len];
        let read = read_full(self, offset, &mut buffer).ok()?;
        buffer.truncate(read);
        Some(buffer)
    }
}
