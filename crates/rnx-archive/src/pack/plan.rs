//! Where the members of an archive are cut, decided from names and sizes alone.
//!
//! A cut never depends on a position in the archive: after an insertion or a removal the next cut
//! by name falls where it fell before, and the members from there on are the same bytes.

use std::ops::Range;

use rnx_spec::artifact::SourceDateEpoch;

use crate::member::CONTENT_BYTES_MAX;
use crate::pack::PackError;
use crate::pack::header::{self, BLOCK};
use crate::path::TreePath;
use crate::tree::{Entry, Tree};

/// What one member holds, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct MemberPlan<'tree> {
    pub(crate) pieces: Vec<Piece<'tree>>,
    /// The two zero blocks that end an archive follow.
    pub(crate) last: bool,
}

/// An entry, or a part of a big file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece<'tree> {
    pub(crate) path: &'tree TreePath,
    pub(crate) entry: &'tree Entry,
    /// The part of the file's content; the header goes before a part that starts at 0.
    pub(crate) content: Range<u64>,
}

impl Piece<'_> {
    pub(crate) fn size_bytes(&self) -> u64 {
        match self.entry {
            Entry::File { size_bytes, .. } => *size_bytes,
            Entry::Dir | Entry::Symlink { .. } => 0,
        }
    }

    pub(crate) fn starts(&self) -> bool {
        self.content.start == 0
    }

    pub(crate) fn ends(&self) -> bool {
        self.content.end == self.size_bytes()
    }
}

/// Cuts a tree into members.
pub(crate) fn members(
    tree: &Tree,
    epoch: SourceDateEpoch,
) -> Result<Vec<MemberPlan<'_>>, PackError> {
    let mut members = vec![];
    let mut open = MemberPlan::default();
    let mut open_bytes = 0;
    for (path, entry) in sorted(tree) {
        check(tree, path, entry)?;
        let whole = Piece { path, entry, content: 0..0 };
        let size = whole.size_bytes();
        let header_bytes = header::blocks(path, entry, epoch).len() as u64;
        let bytes = header_bytes + size.next_multiple_of(BLOCK as u64);
        if open_bytes > 0 && open_bytes + bytes > CONTENT_BYTES_MAX {
            members.push(std::mem::take(&mut open));
            open_bytes = 0;
        }
        if size > CONTENT_BYTES_MAX {
            members.extend(parts(size).map(|content| MemberPlan {
                pieces: vec![Piece { path, entry, content }],
                last: false,
            }));
            continue;
        }
        open.pieces.push(Piece { content: 0..size, ..whole });
        open_bytes += bytes;
        if open_bytes >= CONTENT_BYTES_MAX / 4 && is_cut(path) {
            members.push(std::mem::take(&mut open));
            open_bytes = 0;
        }
    }
    if !open.pieces.is_empty() || members.is_empty() {
        members.push(open);
    }
    if let Some(member) = members.last_mut() {
        member.last = true;
    }
    Ok(members)
}

/// Sorts the entries by the bytes of their names as written, folders with their final slash.
///
/// So all of a folder stands in one piece: GNU tar sets the time of a folder when it leaves it, and
/// sorted without the slash `usr`, `usr.d`, `usr/bin` it would leave `usr` too early.
fn sorted(tree: &Tree) -> Vec<(&TreePath, &Entry)> {
    let written = |(path, entry): &(&TreePath, &Entry)| {
        let slash = matches!(entry, Entry::Dir).then_some(b'/');
        path.as_str().bytes().chain(slash).collect::<Vec<u8>>()
    };
    let mut entries: Vec<_> = tree.0.iter().collect();
    entries.sort_by_cached_key(written);
    entries
}

/// Says whether a member that is big enough ends after this entry: one name in sixteen.
fn is_cut(path: &TreePath) -> bool {
    libdeflater::crc32(path.as_str().as_bytes()).is_multiple_of(16)
}

/// Cuts a big file from its own start; what is left at its end shares its member with nothing.
fn parts(size: u64) -> impl Iterator<Item = Range<u64>> {
    (0..size.div_ceil(CONTENT_BYTES_MAX)).map(move |part| {
        let start = part * CONTENT_BYTES_MAX;
        start..size.min(start + CONTENT_BYTES_MAX)
    })
}

/// Refuses what the unpacker would refuse.
fn check(tree: &Tree, path: &TreePath, entry: &Entry) -> Result<(), PackError> {
    if let Some(parent) = path.parent()
        && tree.0.get(&parent) != Some(&Entry::Dir)
    {
        return Err(PackError::NoParent { path: path.clone(), parent });
    }
    match entry {
        Entry::Symlink { target } => path
            .check_link(target.as_bytes())
            .map_err(|source| PackError::Link { path: path.clone(), source }),
        Entry::Dir | Entry::File { .. } => Ok(()),
    }
}
