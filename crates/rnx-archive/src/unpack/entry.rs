//! One tar header with its metadata, checked and turned into what is to be written.

use rnx_spec::artifact::Mode;
use tar::{EntryType, Header, PaxExtensions};

use crate::path::TreePath;
use crate::unpack::error::UnpackError;

/// The most bytes that the metadata before one entry may have; a path has at most 4095.
pub(crate) const METADATA_BYTES_MAX: u64 = 16 * 1024;

/// What a header says, nothing in it yet checked against the entries before it.
#[derive(Debug)]
pub(crate) struct Declared {
    pub(crate) path: TreePath,
    pub(crate) kind: Kind,
    pub(crate) mtime: i64,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Dir,
    File { mode: Mode, size_bytes: u64 },
    Symlink { target: String },
}

/// The metadata that stands before an entry: GNU's long names, or PAX records.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) target: Option<Vec<u8>>,
    size_bytes: Option<u64>,
    mtime: Option<i64>,
    /// The first key that makes an entry one we refuse, once its name is known.
    refused: Option<String>,
    has_pax: bool,
}

impl Metadata {
    /// Takes in one metadata entry that stood at `offset`.
    pub(crate) fn add(
        &mut self,
        kind: EntryType,
        data: &[u8],
        offset: u64,
    ) -> Result<(), UnpackError> {
        let malformed = || UnpackError::Metadata { offset };
        if kind.is_pax_local_extensions() {
            if std::mem::replace(&mut self.has_pax, true) {
                return Err(malformed());
            }
            return self.add_pax(data, offset);
        }
        // GNU's long names end with one NUL.
        let name = data.strip_suffix(b"\0").unwrap_or(data).to_vec();
        let place = if kind.is_gnu_longname() { &mut self.path } else { &mut self.target };
        if place.replace(name).is_some() { Err(malformed()) } else { Ok(()) }
    }

    fn add_pax(&mut self, data: &[u8], offset: u64) -> Result<(), UnpackError> {
        let malformed = || UnpackError::Metadata { offset };
        let mut length = 0;
        for record in PaxExtensions::new(data) {
            let record = record.map_err(|_malformed| malformed())?;
            let key = record.key().map_err(|_not_utf8| malformed())?;
            let value = record.value_bytes();
            length += decimal_length(key.len() + value.len() + 3);
            let number = || std::str::from_utf8(value).ok().and_then(whole_number);
            let is_repeated = match key {
                "path" => self.path.replace(value.to_vec()).is_some(),
                "linkpath" => self.target.replace(value.to_vec()).is_some(),
                "size" => {
                    let size = number().and_then(|size| u64::try_from(size).ok());
                    self.size_bytes.replace(size.ok_or_else(malformed)?).is_some()
                }
                "mtime" => self.mtime.replace(number().ok_or_else(malformed)?).is_some(),
                // Owners and other times are no part of a runtime; whoever unpacks owns it.
                "atime" | "ctime" | "uid" | "gid" | "uname" | "gname" | "comment" => false,
                _ if key.starts_with("GNU.sparse.")
                    || key.starts_with("SCHILY.")
                    || key.starts_with("LIBARCHIVE.xattr.") =>
                {
                    self.refused.get_or_insert_with(|| key.to_owned());
                    false
                }
                _ => {
                    let key = key.escape_debug().to_string();
                    return Err(UnpackError::MetadataKey { offset, key });
                }
            };
            if is_repeated {
                return Err(malformed());
            }
        }
        // An empty line ends the iteration early: what follows it would be stripped silently.
        if length == data.len() { Ok(()) } else { Err(malformed()) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.path.is_none() && self.target.is_none() && !self.has_pax
    }
}

/// Returns the length of a PAX record whose other parts have `rest` bytes.
fn decimal_length(rest: usize) -> usize {
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    length
}

/// Reads the seconds of a PAX time, or a size: a fraction is below what a tar header says.
fn whole_number(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    fraction.bytes().all(|byte| byte.is_ascii_digit()).then(|| whole.parse().ok())?
}

/// Checks one header by itself.
pub(crate) fn declared(
    header: &Header,
    metadata: Metadata,
    offset: u64,
) -> Result<Declared, UnpackError> {
    let damaged = || UnpackError::Header { offset };
    let name = metadata.path.unwrap_or_else(|| header.path_bytes().into_owned());
    let shown = || String::from_utf8_lossy(&name).escape_debug().to_string();
    refuse_kind(header, &shown)?;
    if let Some(key) = metadata.refused {
        return Err(if key.starts_with("GNU.sparse.") {
            UnpackError::Sparse { path: shown() }
        } else {
            UnpackError::Attributes { path: shown(), key: key.escape_debug().to_string() }
        });
    }
    let kind = header.entry_type();
    // The one final slash that a folder's name has in every tar program's archives.
    let stripped = name.strip_suffix(b"/").filter(|rest| kind.is_dir() && !rest.is_empty());
    let path = TreePath::from_bytes(stripped.unwrap_or(&name))
        .map_err(|source| UnpackError::Path { path: shown(), source })?;
    let mode = header.mode().map_err(|_malformed| damaged())?;
    if mode & 0o7000 != 0 {
        return Err(UnpackError::SpecialMode { path: shown(), mode });
    }
    let mtime = metadata.mtime.or_else(|| i64::try_from(header.mtime().ok()?).ok());
    let size = match metadata.size_bytes {
        Some(size) => size,
        None => header.entry_size().map_err(|_malformed| damaged())?,
    };
    let kind = if kind.is_dir() {
        Kind::Dir
    } else if kind.is_symlink() {
        let target = metadata.target.or_else(|| header.link_name_bytes().map(Into::into));
        // A missing target is an empty one: `check_link` refuses it, and what is not UTF-8.
        let target = target.unwrap_or_default();
        path.check_link(&target).map_err(|source| UnpackError::Link { path: shown(), source })?;
        Kind::Symlink { target: String::from_utf8(target).unwrap_or_default() }
    } else {
        let mode = if mode & 0o111 == 0 { Mode::Plain } else { Mode::Executable };
        Kind::File { mode, size_bytes: size }
    };
    if size != 0 && !matches!(kind, Kind::File { .. }) {
        return Err(UnpackError::ContentOfNoFile { path: shown() });
    }
    Ok(Declared { path, kind, mtime: mtime.ok_or_else(damaged)? })
}

/// Refuses every type but file, folder and symlink, each with its own error.
fn refuse_kind(header: &Header, shown: &impl Fn() -> String) -> Result<(), UnpackError> {
    let path = || shown();
    match header.entry_type() {
        EntryType::Regular | EntryType::Directory | EntryType::Symlink => Ok(()),
        EntryType::Link => Err(UnpackError::HardLink { path: path() }),
        EntryType::Char | EntryType::Block => Err(UnpackError::Device { path: path() }),
        EntryType::Fifo => Err(UnpackError::Fifo { path: path() }),
        EntryType::GNUSparse => Err(UnpackError::Sparse { path: path() }),
        kind => Err(UnpackError::Kind { path: path(), kind: kind.as_byte() }),
    }
}

/// Says whether a block is a header: its checksum counts its own field as spaces.
pub(crate) fn has_valid_checksum(header: &Header) -> bool {
    let bytes = header.as_bytes();
    let spaces = 8 * u32::from(b' ');
    let sum: u32 = bytes[..148].iter().chain(&bytes[156..]).map(|&byte| u32::from(byte)).sum();
    header.cksum().is_ok_and(|stored| stored == sum + spaces)
}
