//! Reading archives that other programs wrote: one gzip stream, or several in a row.

use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::BorrowedFd;

use flate2::bufread::GzDecoder;
use rnx_spec::artifact::FileIndex;

use crate::unpack::apply::{Dirs, apply};
use crate::unpack::archive::Reader;
use crate::unpack::error::UnpackError;
use crate::unpack::parse::Parser;
use crate::unpack::{Archive, Limits, Unpacked};

const CHUNK_BYTES: u64 = 1024 * 1024;

/// Unpacks one chunk after the other, on this thread.
pub(crate) fn unpack(
    archive: &Archive,
    root: BorrowedFd<'_>,
    limits: &Limits,
) -> Result<Unpacked, UnpackError> {
    let mut source = BufReader::with_capacity(64 * 1024, archive.reader());
    let mut parser = Parser::new(root, limits);
    let mut dirs = Dirs::new(root);
    let mut digests = vec![];
    let mut chunk = vec![];
    loop {
        let mut decoder = GzDecoder::new(&mut source);
        loop {
            chunk.clear();
            let read = (&mut decoder).take(CHUNK_BYTES).read_to_end(&mut chunk);
            if read.map_err(gzip_error)? == 0 {
                break;
            }
            for op in parser.feed(&chunk, 0)? {
                digests.extend(apply(&mut dirs, op)?);
            }
        }
        if !has_more(&mut source)? {
            break;
        }
    }
    let parsed = parser.finish(digests)?;
    Ok(Unpacked {
        unpacked_bytes: parsed.unpacked_bytes,
        entries: parsed.entries.len() as u64,
        index: FileIndex { schema_version: 1, members: vec![], entries: parsed.entries },
    })
}

/// Says whether another gzip stream follows; anything else there is refused.
fn has_more(source: &mut BufReader<Reader<'_>>) -> Result<bool, UnpackError> {
    let read_error = |source| UnpackError::ReadArchive { source };
    let rest = source.fill_buf().map_err(read_error)?;
    match rest.first() {
        None => Ok(false),
        Some(0x1f) => Ok(true),
        Some(_) => {
            let offset = source.get_ref().offset - source.buffer().len() as u64;
            Err(UnpackError::TrailingBytes { offset })
        }
    }
}

/// A stream that stops early is an archive that was cut off.
fn gzip_error(source: io::Error) -> UnpackError {
    match source.kind() {
        io::ErrorKind::UnexpectedEof => UnpackError::MissingEnd,
        _ => UnpackError::Gzip { source },
    }
}
