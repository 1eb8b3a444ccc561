//! Bodies of answers, and files: from an offset on, as far as the sender keeps to what it says.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::time::Duration;

use jiff::fmt::rfc2822;
use rnx_spec::SourceUrl;
use ureq::Body;
use ureq::http::{HeaderMap, HeaderName, Response, StatusCode, header};

use super::{Fetcher, OpenError, Opened};

/// Which bytes of a URL are asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Range<'a> {
    pub offset: u64,
    /// The byte after the last one; none for all there are.
    pub end: Option<u64>,
    /// The state of the file that the bytes before `offset` are of: another one is sent as a whole.
    pub etag: Option<&'a str>,
}

impl Fetcher {
    pub(crate) fn retry_pause(&self) -> Option<Duration> {
        self.options.retry_pause
    }

    /// Opens `url` from byte `offset` on, if the server can; see [`Opened::offset`].
    pub fn open(&self, url: &SourceUrl, offset: u64) -> Result<Opened, OpenError> {
        self.open_range(url, Range { offset, ..Range::default() })
    }

    /// Opens a part of `url`, if the server can; see [`Opened::offset`].
    pub fn open_range(&self, url: &SourceUrl, range: Range<'_>) -> Result<Opened, OpenError> {
        if let Some(path) = self.file(url) {
            return open_file(&path, range).map_err(OpenError::File);
        }
        let text = match range.end {
            Some(end) => format!("bytes={}-{}", range.offset, end.saturating_sub(1)),
            None => format!("bytes={}-", range.offset),
        };
        let mut headers = Vec::new();
        let is_part = range.offset > 0 || range.end.is_some();
        if is_part {
            headers.push((header::RANGE, text.as_str()));
            headers.extend(range.etag.map(|etag| (header::IF_RANGE, etag)));
        }
        headers.extend(self.options.accept.as_deref().map(|accept| (header::ACCEPT, accept)));
        let response = self.send(url, &headers, None)?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE && range.end.is_none() && is_part
        {
            return self.open(url, 0);
        }
        opened_range(response, range)
    }
}

/// Takes an answer to who asked for everything.
pub(super) fn opened(response: Response<Body>) -> Result<Opened, OpenError> {
    opened_range(response, Range::default())
}

fn opened_range(response: Response<Body>, asked: Range<'_>) -> Result<Opened, OpenError> {
    let headers = response.headers();
    let status = response.status();
    if status != StatusCode::OK && status != StatusCode::PARTIAL_CONTENT {
        return Err(OpenError::Status { status, retry_after: retry_after(headers) });
    }
    if let Some(encoding) = text(headers, &header::CONTENT_ENCODING).filter(|e| *e != "identity") {
        return Err(OpenError::Encoding { encoding: encoding.to_owned() });
    }
    // A weak one is for two files that mean the same, not for one whose bytes are the same.
    let etag = text(headers, &header::ETAG).filter(|etag| etag.starts_with('"')).map(str::to_owned);
    // ureq tells no length of an empty body.
    let is_empty = text(headers, &header::CONTENT_LENGTH) == Some("0")
        && !headers.contains_key(header::TRANSFER_ENCODING);
    let announced = response.body().content_length().or(is_empty.then_some(0));
    let (offset, announced_bytes, total_bytes) = if status == StatusCode::PARTIAL_CONTENT {
        let range = text(headers, &header::CONTENT_RANGE).unwrap_or_default();
        let wrong = || OpenError::Range { range: range.to_owned() };
        let (start, end, total) = content_range(range).ok_or_else(wrong)?;
        let length = end - start;
        let is_asked = asked.offset > 0 || asked.end.is_some();
        if !is_asked
            || start != asked.offset
            || asked.end.is_some_and(|asked| end > asked)
            || announced.is_some_and(|announced| announced != length)
        {
            return Err(wrong());
        }
        (start, Some(length), total)
    } else {
        (0, announced, announced)
    };
    let is_whole = status == StatusCode::OK;
    let reader = Box::new(response.into_body().into_reader());
    Ok(Opened { reader, offset, is_whole, announced_bytes, total_bytes, etag })
}

/// Reads `bytes START-LAST/TOTAL`, the last of which may be `*` (RFC 9110, 14.4), as start, end and total.
fn content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, last) = range.split_once('-')?;
    let (start, end) = (start.parse().ok()?, last.parse::<u64>().ok()?.checked_add(1)?);
    let total = match total {
        "*" => None,
        number => Some(number.parse().ok()?),
    };
    (start < end && total.is_none_or(|total: u64| end <= total)).then_some((start, end, total))
}

/// Reads how long the server wants to be left alone: seconds, or a date, which is after the server's own (RFC 9110,
/// 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = text(headers, &header::RETRY_AFTER)?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let second = |text: &str| Some(rfc2822::parse(text).ok()?.timestamp().as_second());
    let (then, now) = (second(value)?, second(text(headers, &header::DATE)?)?);
    Some(Duration::from_secs(u64::try_from(then.saturating_sub(now)).unwrap_or(0)))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn open_file(path: &std::path::Path, range: Range<'_>) -> io::Result<Opened> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    // A FIFO or a device would never end.
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let length = metadata.len();
    let offset = if range.offset <= length { range.offset } else { 0 };
    file.seek(SeekFrom::Start(offset))?;
    let left = range.end.map_or(length, |end| end.min(length)).saturating_sub(offset);
    Ok(Opened {
        reader: Box::new(file.take(left)),
        offset,
        is_whole: range == Range::default(),
        announced_bytes: Some(left),
        total_bytes: Some(length),
        etag: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_they_are_written() {
        assert_eq!(content_range("bytes 0-4/5"), Some((0, 5, Some(5))));
        assert_eq!(content_range("bytes 3-4/*"), Some((3, 5, None)));
        for bad in ["", "bytes 4-3/9", "bytes 0-5/5", "bytes */5", "bytes 0-18446744073709551615/*"]
        {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_pause_is_seconds_or_a_date_after_the_servers() {
        let pause = |value: &str, date: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, value.parse().unwrap());
            headers.insert(header::DATE, date.parse().unwrap());
            retry_after(&headers).map(|pause| pause.as_secs())
        };
        let now = "Wed, 21 Oct 2015 07:28:00 GMT";
        assert_eq!(pause("7", now), Some(7));
        assert_eq!(pause("Wed, 21 Oct 2015 07:29:30 GMT", now), Some(90));
        assert_eq!(pause("Wed, 21 Oct 2015 07:27:00 GMT", now), Some(0));
        assert_eq!(pause("soon", now), None);
    }
}
