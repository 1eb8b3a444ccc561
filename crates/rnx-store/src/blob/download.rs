//! Filling a partial blob from a server that may break off, stall, be busy, or lie.

use std::io::{self, Read as _};
use std::thread;
use std::time::Duration;

use super::partial::Partial;
use super::{AddBlobError, BlobRequest, CHUNK_BYTES, SizeBound, Watch};
use crate::fetch::{Fetcher, OpenError, Opened, Range};

/// How often in a row a server is asked that sends nothing more.
const ATTEMPTS_MAX: u32 = 5;
/// The first pause; each further one without a byte in between is twice as long.
const PAUSE: Duration = Duration::from_millis(250);
/// A server that wants to be left alone for longer is not waited for.
const PAUSE_MAX: Duration = Duration::from_mins(2);

/// Fills `partial` until it holds the requested bytes.
pub(super) fn download(
    fetcher: &Fetcher,
    request: &BlobRequest,
    partial: &mut Partial,
    watch: &mut dyn Watch,
) -> Result<(), AddBlobError> {
    // Whether the bytes may be of two states of the source: those of an earlier call, or sent in several answers.
    let mut mixed = partial.bytes() > 0;
    let mut attempts = 1;
    loop {
        let before = partial.bytes();
        let ended =
            transfer(fetcher, request, partial, watch).and_then(|()| check(request, partial));
        let error = match ended {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if is_wrong(&error) && mixed {
            // Once, from the start: what one answer says from its first byte to its last is the source's own.
            mixed = false;
            partial.restart(None)?;
            continue;
        }
        attempts = if partial.bytes() > before { 1 } else { attempts + 1 };
        mixed = partial.bytes() > 0;
        match pause(&error, attempts, fetcher.retry_pause().unwrap_or(PAUSE)) {
            Some(pause) => {
                watch.pause(&error, pause);
                thread::sleep(pause);
            }
            None => return Err(error),
        }
    }
}

/// Returns how long to wait before the next attempt; nothing if there is to be none.
fn pause(error: &AddBlobError, attempts: u32, first: Duration) -> Option<Duration> {
    let asked = match error {
        AddBlobError::Open { source, .. } if source.is_transient() => match source {
            OpenError::Status { retry_after, .. } => retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        },
        AddBlobError::Read { url, .. } if url.file_path().is_none() => Duration::ZERO,
        _ => return None,
    };
    let ours = first * 2_u32.pow(attempts.saturating_sub(1));
    (attempts <= ATTEMPTS_MAX && asked <= PAUSE_MAX).then(|| asked.max(ours))
}

/// Appends to `partial` what the server sends, until it says that this is all.
fn transfer(
    fetcher: &Fetcher,
    request: &BlobRequest,
    partial: &mut Partial,
    watch: &mut dyn Watch,
) -> Result<(), AddBlobError> {
    let url = &request.url;
    let (SizeBound::Exactly(size_bytes_max) | SizeBound::AtMost(size_bytes_max)) = request.size;
    let too_large = || AddBlobError::TooLarge { url: url.clone(), size_bytes_max };
    if partial.bytes() > size_bytes_max {
        return Err(too_large());
    }
    if request.size == SizeBound::Exactly(partial.bytes()) && partial.bytes() > 0 {
        return Ok(());
    }
    let range = Range { offset: partial.bytes(), end: None, etag: partial.etag() };
    let mut opened = fetcher
        .open_range(url, range)
        .map_err(|source| AddBlobError::Open { url: url.clone(), source })?;
    if opened.offset == 0 {
        partial.restart(opened.etag.take())?;
    }
    // A server may send less than it has; then it is asked for the rest.
    let announced = opened.announced_bytes.map(|bytes| opened.offset.saturating_add(bytes));
    let end = opened.total_bytes.or(announced);
    if end.is_some_and(|end| end > size_bytes_max) {
        return Err(too_large());
    }
    receive(&mut opened, request, size_bytes_max, partial, watch)?;
    let expected = match (end, request.size) {
        (Some(end), _) => end,
        // A body without a length ends when the connection does, for whatever reason.
        (None, SizeBound::Exactly(size_bytes)) => size_bytes,
        (None, SizeBound::AtMost(_)) => return Ok(()),
    };
    if partial.bytes() >= expected {
        return Ok(());
    }
    let (url, got, source) = (url.clone(), partial.bytes(), io::ErrorKind::UnexpectedEof.into());
    Err(AddBlobError::Read { url, got, source })
}

fn receive(
    opened: &mut Opened,
    request: &BlobRequest,
    size_bytes_max: u64,
    partial: &mut Partial,
    watch: &mut dyn Watch,
) -> Result<(), AddBlobError> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let got = partial.bytes();
        match opened.reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) if got + read as u64 > size_bytes_max => {
                return Err(AddBlobError::TooLarge { url: request.url.clone(), size_bytes_max });
            }
            Ok(read) => partial.append(&buffer[..read])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => {
                return Err(AddBlobError::Read { url: request.url.clone(), got, source });
            }
        }
        watch.bytes(partial.bytes());
    }
}

/// Compares first the size, then the digest.
fn check(request: &BlobRequest, partial: &Partial) -> Result<(), AddBlobError> {
    let url = || request.url.clone();
    if let SizeBound::Exactly(expected) = request.size
        && partial.bytes() != expected
    {
        return Err(AddBlobError::SizeMismatch { url: url(), expected, actual: partial.bytes() });
    }
    let actual = partial.digest();
    if actual == request.digest {
        return Ok(());
    }
    Err(AddBlobError::DigestMismatch { url: url(), expected: request.digest, actual })
}

/// Whether the bytes, or a server that was asked for the rest of them, are of no use.
fn is_wrong(error: &AddBlobError) -> bool {
    matches!(
        error,
        AddBlobError::DigestMismatch { .. }
            | AddBlobError::SizeMismatch { .. }
            | AddBlobError::TooLarge { .. }
            | AddBlobError::Open { source: OpenError::Range { .. }, .. }
    )
}
