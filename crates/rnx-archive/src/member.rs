//! One independent gzip member: how it is written, and how its bounds are read from its header.
//!
//! The header is RFC 1952's with an extra field (§2.3.1.1) of one subfield, `RX`: the length of
//! the whole member, as four bytes, little-endian. Time is 0, flags are `FEXTRA` alone, OS is 255.

use libdeflater::{CompressionLvl, Compressor};

use crate::inflate::Inflater;

/// A member holds at most this many bytes of content besides headers, and none is cut smaller
/// than a quarter of it but at a big file's end.
pub(crate) const CONTENT_BYTES_MAX: u64 = 1024 * 1024;
/// A reader refuses members that claim more than this, packed or unpacked: it holds them whole.
pub(crate) const MEMBER_BYTES_MAX: u32 = 4 * 1024 * 1024;
/// The bytes before the deflate stream.
pub(crate) const HEADER_BYTES: usize = 20;
/// The bytes after it: CRC-32 and length of the content.
pub(crate) const TRAILER_BYTES: usize = 8;

// Level 5 packs our trees smaller than `gzip -6` does, in four fifths of the time of level 6, which
// would save another 0.7 %.
const LEVEL: i32 = 5;
const START: [u8; 16] = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 8, 0, b'R', b'X', 4, 0];

/// Returns a compressor of the format's level; the level is part of the format.
pub(crate) fn compressor() -> Compressor {
    // Only a level out of range fails, and the archive's golden digest would tell of another level.
    Compressor::new(CompressionLvl::new(LEVEL).unwrap_or_default())
}

/// Compresses `content` to a member of its own.
pub(crate) fn write(
    compressor: &mut Compressor,
    content: &[u8],
) -> Result<Vec<u8>, libdeflater::CompressionError> {
    let bound = compressor.deflate_compress_bound(content.len());
    let mut member = vec![0; HEADER_BYTES + bound + TRAILER_BYTES];
    let end = HEADER_BYTES + compressor.deflate_compress(content, &mut member[HEADER_BYTES..])?;
    let length = u32::try_from(end + TRAILER_BYTES).unwrap_or(u32::MAX);
    let content_length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    member[..16].copy_from_slice(&START);
    member[16..20].copy_from_slice(&length.to_le_bytes());
    member[end..end + 4].copy_from_slice(&libdeflater::crc32(content).to_le_bytes());
    member[end + 4..end + 8].copy_from_slice(&content_length.to_le_bytes());
    member.truncate(end + TRAILER_BYTES);
    Ok(member)
}

/// Returns the length of the member that starts with `header`, if it is one of ours.
pub(crate) fn length(header: &[u8; HEADER_BYTES]) -> Option<u32> {
    let (start, length) = header.split_first_chunk::<16>()?;
    (*start == START).then(|| length.try_into().ok().map(u32::from_le_bytes))?
}

/// What is wrong with a gzip member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    #[error("its header is not that of the members before it")]
    Header,
    #[error("its header claims {claimed} bytes, {left} are left")]
    Length { claimed: u32, left: u64 },
    #[error("it has more than {MEMBER_BYTES_MAX} bytes")]
    TooLarge,
    #[error("its compressed data is damaged")]
    Data,
    #[error("its compressed data ends before its claimed length")]
    Slack,
    #[error("its content does not have the claimed length or CRC-32")]
    Content,
}

/// Inflates a whole member, as [`length`] cut it, into `content`.
pub(crate) fn read(
    inflater: &mut Inflater,
    member: &[u8],
    content: &mut Vec<u8>,
) -> Result<(), MemberError> {
    let body = member.get(HEADER_BYTES..).ok_or(MemberError::Header)?;
    let (body, size) = body.split_last_chunk::<4>().ok_or(MemberError::Header)?;
    let (body, crc) = body.split_last_chunk::<4>().ok_or(MemberError::Header)?;
    let size = u32::from_le_bytes(*size);
    if size > MEMBER_BYTES_MAX {
        return Err(MemberError::TooLarge);
    }
    content.resize(size as usize, 0);
    let ended = inflater.inflate(body, content).ok_or(MemberError::Data)?;
    if ended.read != body.len() {
        return Err(MemberError::Slack);
    }
    if ended.written != content.len() || libdeflater::crc32(content) != u32::from_le_bytes(*crc) {
        return Err(MemberError::Content);
    }
    Ok(())
}
