//! Tar headers, built from an [`Entry`] and a time alone.

use rnx_spec::artifact::{Mode, SourceDateEpoch};
use tar::{EntryType, Header};

use crate::path::TreePath;
use crate::tree::Entry;

pub(crate) const BLOCK: usize = 512;

/// The most a ustar header can say in its size field: eleven octal digits.
const USTAR_SIZE_MAX: u64 = 0o777_7777_7777;

/// Returns the blocks before an entry's content: a ustar header, and before it a PAX header where
/// a path, target or size does not fit into ustar's fields.
pub(crate) fn blocks(path: &TreePath, entry: &Entry, epoch: SourceDateEpoch) -> Vec<u8> {
    let mut header = Header::new_ustar();
    let mut records = vec![];
    // GNU tar writes a folder's name with a final slash, and so do the others.
    let name = match entry {
        Entry::Dir => format!("{path}/"),
        _ => path.to_string(),
    };
    if !set_name(&mut header, name.as_bytes()) {
        push_record(&mut records, "path", &name);
    }
    let (kind, mode, size) = match entry {
        Entry::Dir => (EntryType::Directory, 0o755, 0),
        Entry::File { size_bytes, executable: true, .. } => {
            (EntryType::Regular, Mode::Executable.bits(), *size_bytes)
        }
        Entry::File { size_bytes, .. } => (EntryType::Regular, Mode::Plain.bits(), *size_bytes),
        Entry::Symlink { target } => {
            let field = &mut header.as_old_mut().linkname;
            let fitting = target.len().min(field.len());
            field[..fitting].copy_from_slice(&target.as_bytes()[..fitting]);
            if target.len() > fitting {
                push_record(&mut records, "linkpath", target);
            }
            (EntryType::Symlink, 0o777, 0)
        }
    };
    if size > USTAR_SIZE_MAX {
        push_record(&mut records, "size", &size.to_string());
    }
    finish(&mut header, kind, mode, epoch);
    header.set_size(if size > USTAR_SIZE_MAX { 0 } else { size });
    header.set_cksum();
    let mut blocks = vec![];
    if !records.is_empty() {
        extend_with_pax(&mut blocks, &records, epoch);
    }
    blocks.extend_from_slice(header.as_bytes());
    blocks
}

/// Sets the fields that are the same everywhere; what is not set stays zero.
fn finish(header: &mut Header, kind: EntryType, mode: u32, epoch: SourceDateEpoch) {
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(epoch.0);
}

/// Puts a name into ustar's name and prefix; says whether it fits. What does not fit is cut, for
/// readers that do not know PAX.
fn set_name(header: &mut Header, name: &[u8]) -> bool {
    let Some(ustar) = header.as_ustar_mut() else { return false };
    if name.len() <= ustar.name.len() {
        ustar.name[..name.len()].copy_from_slice(name);
        return true;
    }
    // The first slash that leaves a short enough rest; a final slash is no place to cut.
    let from = name.len() - ustar.name.len() - 1;
    let cut = (from..name.len() - 1).find(|&at| name[at] == b'/');
    if let Some(at) = cut.filter(|&at| at <= ustar.prefix.len()) {
        ustar.prefix[..at].copy_from_slice(&name[..at]);
        ustar.name[..name.len() - at - 1].copy_from_slice(&name[at + 1..]);
        return true;
    }
    let fitting = ustar.name.len();
    ustar.name.copy_from_slice(&name[..fitting]);
    false
}

/// Appends `<length> <key>=<value>\n`, the length counting its own digits.
fn push_record(records: &mut Vec<u8>, key: &str, value: &str) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(format!("{length} {key}={value}\n").as_bytes());
}

fn extend_with_pax(blocks: &mut Vec<u8>, records: &[u8], epoch: SourceDateEpoch) {
    let mut header = Header::new_ustar();
    set_name(&mut header, b"././@PaxHeader");
    finish(&mut header, EntryType::XHeader, 0o644, epoch);
    header.set_size(records.len() as u64);
    header.set_cksum();
    blocks.extend_from_slice(header.as_bytes());
    blocks.extend_from_slice(records);
    blocks.resize(blocks.len().next_multiple_of(BLOCK), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_digits() {
        for (value, start) in
            [(2, "11 path="), (90, "99 path="), (91, "101 path="), (991, "1002 path=")]
        {
            let mut records = vec![];
            push_record(&mut records, "path", &"v".repeat(value));
            assert!(records.starts_with(start.as_bytes()), "{}", records.escape_ascii());
            assert_eq!(start.split(' ').next().unwrap().parse(), Ok(records.len()));
        }
    }
}
