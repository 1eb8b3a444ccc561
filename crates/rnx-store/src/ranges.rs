//! Reading parts of a file that lies on a server, as one file or cut into pieces.

use std::io::{self, Read};
use std::ops::Range;
use std::thread;
use std::time::Duration;

use rnx_spec::SourceUrl;

use crate::fetch::{self, Fetcher, OpenError};

/// How often in a row a server is asked that sends nothing more.
const ATTEMPTS_MAX: u32 = 4;
const PAUSE: Duration = Duration::from_millis(250);

/// One piece of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub url: SourceUrl,
    pub size_bytes: u64,
}

/// A part that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadRangeError {
    #[error("failed to open a part of `{url}`")]
    Open { url: SourceUrl, source: OpenError },
    #[error("failed to read a part of `{url}`")]
    Read { url: SourceUrl, source: io::Error },
    #[error("the server of `{url}` sends no parts of files")]
    NoRanges { url: SourceUrl },
    #[error("byte {offset} is behind the file's end")]
    End { offset: u64 },
}

/// Reads parts in order, over one request for each stretch. The bytes are whatever the server sends: the caller
/// compares them with a digest.
pub struct RangeReader<'a> {
    fetcher: &'a Fetcher,
    /// With where each begins.
    pieces: Vec<(u64, Piece)>,
    open: Option<Stream>,
}

/// An answer that is being read.
struct Stream {
    /// Of the next byte, in the whole file.
    offset: u64,
    /// The bytes that are left.
    left: u64,
    reader: Box<dyn Read>,
}

impl<'a> RangeReader<'a> {
    /// Returns a reader of the file that the pieces make.
    pub fn new(fetcher: &'a Fetcher, pieces: impl IntoIterator<Item = Piece>) -> Self {
        let mut start = 0;
        let with_start = |piece: Piece| {
            let at = start;
            start += piece.size_bytes;
            (at, piece)
        };
        Self { fetcher, pieces: pieces.into_iter().map(with_start).collect(), open: None }
    }

    /// Fills `buffer` from byte `stretch.start` on. All of `stretch` is asked for at once, as the caller goes on there.
    pub fn read(&mut self, stretch: Range<u64>, buffer: &mut [u8]) -> Result<(), ReadRangeError> {
        let mut filled = 0;
        let mut attempts = 0;
        while filled < buffer.len() {
            let at = stretch.start + filled as u64;
            match self.read_some(at, stretch.end, &mut buffer[filled..]) {
                Ok(read) => {
                    filled += read;
                    attempts = 0;
                }
                Err(error) if is_transient(&error) && attempts + 1 < ATTEMPTS_MAX => {
                    self.open = None;
                    thread::sleep(
                        self.fetcher.retry_pause().unwrap_or(PAUSE) * 2_u32.pow(attempts),
                    );
                    attempts += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read_some(&mut self, at: u64, end: u64, buffer: &mut [u8]) -> Result<usize, ReadRangeError> {
        let within =
            |(start, piece): &&(u64, Piece)| (*start..start + piece.size_bytes).contains(&at);
        let (start, piece) =
            self.pieces.iter().find(within).ok_or(ReadRangeError::End { offset: at })?;
        let usable = self.open.take().filter(|stream| stream.offset == at && stream.left > 0);
        let mut stream = match usable {
            Some(stream) => stream,
            None => open(self.fetcher, piece, at - start, end - start, at)?,
        };
        let length = buffer.len().min(usize::try_from(stream.left).unwrap_or(usize::MAX));
        let read = loop {
            match stream.reader.read(&mut buffer[..length]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) => break Err(io::ErrorKind::UnexpectedEof.into()),
                read => break read,
            }
        }
        .map_err(|source| ReadRangeError::Read { url: piece.url.clone(), source })?;
        stream.offset += read as u64;
        stream.left -= read as u64;
        self.open = Some(stream);
        Ok(read)
    }
}

fn open(
    fetcher: &Fetcher,
    piece: &Piece,
    offset: u64,
    end: u64,
    at: u64,
) -> Result<Stream, ReadRangeError> {
    let range = fetch::Range { offset, end: Some(end.min(piece.size_bytes)), etag: None };
    let opened = fetcher
        .open_range(&piece.url, range)
        .map_err(|source| ReadRangeError::Open { url: piece.url.clone(), source })?;
    // A whole file in answer would have to be thrown away up to the part, each time.
    if opened.offset != offset || opened.is_whole {
        return Err(ReadRangeError::NoRanges { url: piece.url.clone() });
    }
    let left = opened.announced_bytes.unwrap_or(0);
    Ok(Stream { offset: at, left, reader: opened.reader })
}

fn is_transient(error: &ReadRangeError) -> bool {
    match error {
        ReadRangeError::Open { source, .. } => source.is_transient(),
        ReadRangeError::Read { url, .. } => url.file_path().is_none(),
        ReadRangeError::NoRanges { .. } | ReadRangeError::End { .. } => false,
    }
}
