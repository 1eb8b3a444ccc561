//! Installing what other installs mostly have: the index of the archive tells which files, and only the gzip members
//! that carry the others are fetched.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rnx_archive::indexed::CheckedIndex;
use rnx_archive::{Limits, UnpackError};
use rnx_spec::artifact::{FileIndex, Member};
use rnx_store::blob::{self, SizeBound};
use rnx_store::fetch::Fetcher;
use rnx_store::layout::Layout;
use rnx_store::ranges::{Piece, RangeReader};

use super::share::{self, Content};
use super::{Progress, Stage};
use crate::record::{self, RecordError};
use crate::resolve::Resolved;

/// An index that is larger is not worth it.
pub const INDEX_BYTES_MAX: u64 = 256 << 20;

/// What is to be fetched of an archive, and what is here.
#[derive(Debug)]
pub(crate) struct Delta {
    index: FileIndex,
    have: BTreeMap<String, PathBuf>,
    /// To be downloaded.
    pub(crate) fetched_bytes: u64,
    /// To be written.
    pub(crate) written_bytes: u64,
}

/// Returns how to install `resolved` from what is here, if that saves at least half of the download.
///
/// A server that has no index, or a wrong one, is no reason to fail: the whole archive is verified by itself.
pub(crate) fn plan(
    layout: &Layout,
    fetcher: &Fetcher,
    resolved: &Resolved,
) -> Result<Option<Delta>, RecordError> {
    let Some(request) = &resolved.index else { return Ok(None) };
    if record::specs(layout)?.is_empty() || is_begun(layout, resolved) {
        return Ok(None);
    }
    // It is small beside what it saves, and is written once, for the install.
    let Ok(bytes) = fetcher.read_all(&request.url, INDEX_BYTES_MAX) else { return Ok(None) };
    if !blob::digest(&bytes[..]).is_ok_and(|digest| digest == request.digest) {
        return Ok(None);
    }
    let Ok(index) = serde_json::from_slice(&bytes) else { return Ok(None) };
    of_index(layout, resolved, index)
}

fn of_index(
    layout: &Layout,
    resolved: &Resolved,
    index: FileIndex,
) -> Result<Option<Delta>, RecordError> {
    let wanted: BTreeSet<Content> = share::contents(&index).map(|(_, content)| content).collect();
    let known = share::find(layout, &resolved.spec, &wanted)?;
    let have: BTreeMap<String, PathBuf> = share::contents(&index)
        .filter_map(|(path, content)| Some((path.to_owned(), known.get(&content)?.clone())))
        .collect();
    let Ok(checked) = CheckedIndex::new(&index, &limits(resolved)) else { return Ok(None) };
    let missing: Vec<&str> = share::contents(&index)
        .map(|(path, _)| path)
        .filter(|path| !have.contains_key(*path))
        .collect();
    let fetched_bytes =
        checked.runs(missing.iter().copied()).into_iter().map(|run| size_bytes(&index, &run)).sum();
    let written_bytes = missing
        .iter()
        .map(|path| checked.files().get(path).map_or(0, |file| file.size_bytes))
        .sum();
    let worth = fetched_bytes <= resolved.size_bytes / 2;
    Ok(worth.then_some(Delta { index, have, fetched_bytes, written_bytes }))
}

/// Makes the tree in the empty folder `tree`, and returns its index.
pub(crate) fn unpack(
    delta: Delta,
    fetcher: &Fetcher,
    resolved: &Resolved,
    tree: &Path,
    progress: &mut dyn Progress,
) -> Result<FileIndex, UnpackError> {
    let Delta { index, have, fetched_bytes, .. } = delta;
    progress.stage(Stage::Downloading { bytes: fetched_bytes });
    let checked = CheckedIndex::new(&index, &limits(resolved))?;
    let have = have.iter().map(|(path, from)| (path.as_str(), from.clone())).collect();
    let mut wanted = checked.lay(tree, &have)?;
    let mut reader = RangeReader::new(fetcher, pieces(resolved));
    let mut mtime = None;
    let mut done = 0;
    for run in checked.runs(wanted.iter().copied().collect::<Vec<_>>()) {
        let end = span(&index, &run).end;
        let mut read = |member: &Member, packed: &mut Vec<u8>| {
            packed.resize(usize::try_from(member.size_bytes).unwrap_or(usize::MAX), 0);
            reader.read(member.offset..end, packed).map_err(io::Error::other)?;
            done += member.size_bytes;
            progress.downloaded(done);
            Ok(())
        };
        mtime = Some(checked.extract(tree, run, &mut wanted, &mut read)?);
    }
    if let Some(path) = wanted.first() {
        return Err(UnpackError::NotAsIndexed { path: (*path).to_owned() });
    }
    if let Some(mtime) = mtime {
        checked.set_times(tree, mtime)?;
    }
    Ok(index)
}

/// Returns where the pieces of the archive are.
pub(crate) fn pieces(resolved: &Resolved) -> impl Iterator<Item = Piece> {
    resolved.pieces.iter().map(|piece| {
        let (SizeBound::Exactly(size_bytes) | SizeBound::AtMost(size_bytes)) = piece.size;
        Piece { url: piece.url.clone(), size_bytes }
    })
}

/// Returns the bytes of the archive that a run of members is.
pub(crate) fn span(index: &FileIndex, run: &Range<usize>) -> Range<u64> {
    let members = index.members.get(run.clone()).unwrap_or_default();
    let start = members.first().map_or(0, |member| member.offset);
    let end = members.last().map_or(start, |member| member.offset + member.size_bytes);
    start..end
}

pub(crate) fn limits(resolved: &Resolved) -> Limits {
    Limits {
        archive_bytes: resolved.size_bytes,
        unpacked_bytes: resolved.unpacked_bytes,
        entries: resolved.entries,
    }
}

fn size_bytes(index: &FileIndex, run: &Range<usize>) -> u64 {
    let span = span(index, run);
    span.end - span.start
}

/// Whether an earlier download of the whole archive can be gone on with.
fn is_begun(layout: &Layout, resolved: &Resolved) -> bool {
    resolved.pieces.iter().any(|piece| blob::is_begun(&layout.store(), piece.digest))
}
