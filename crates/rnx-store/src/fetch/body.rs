//! Bodies of answers, and files: from an offset on, as far as the sender keeps to what it says.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};

use rnx_spec::SourceUrl;
use ureq::Body;
use ureq::http::{Response, StatusCode, header};

use super::{Fetcher, OpenError, Opened};

impl Fetcher {
    /// Opens `url` from byte `offset` on, if the server can; see [`Opened::offset`].
    pub fn open(&self, url: &SourceUrl, offset: u64) -> Result<Opened, OpenError> {
        if let Some(path) = self.file(url) {
            return open_file(&path, offset).map_err(OpenError::File);
        }
        let range = format!("bytes={offset}-");
        let mut headers = Vec::new();
        if offset > 0 {
            headers.push((header::RANGE, range.as_str()));
        }
        headers.extend(self.options.accept.as_deref().map(|accept| (header::ACCEPT, accept)));
        let response = self.send(url, &headers, None)?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE && offset > 0 {
            return self.open(url, 0);
        }
        opened(response, offset)
    }
}

pub(super) fn opened(response: Response<Body>, asked: u64) -> Result<Opened, OpenError> {
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let status = response.status();
    if status != StatusCode::OK && status != StatusCode::PARTIAL_CONTENT {
        return Err(OpenError::Status { status });
    }
    if let Some(encoding) = header(header::CONTENT_ENCODING).filter(|e| *e != "identity") {
        return Err(OpenError::Encoding { encoding: encoding.to_owned() });
    }
    let offset = if status == StatusCode::PARTIAL_CONTENT {
        let range = header(header::CONTENT_RANGE).unwrap_or_default();
        let start = range
            .strip_prefix("bytes ")
            .and_then(|range| range.split_once('-'))
            .and_then(|(start, _)| start.parse().ok());
        if asked == 0 || start != Some(asked) {
            return Err(OpenError::Range { range: range.to_owned() });
        }
        asked
    } else {
        0
    };
    let body = response.into_body();
    let announced_bytes = body.content_length();
    Ok(Opened { reader: Box::new(body.into_reader()), offset, announced_bytes })
}

fn open_file(path: &std::path::Path, offset: u64) -> io::Result<Opened> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    // A FIFO or a device would never end.
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let offset = if offset <= metadata.len() { offset } else { 0 };
    file.seek(SeekFrom::Start(offset))?;
    let announced_bytes = Some(metadata.len() - offset);
    Ok(Opened { reader: Box::new(file), offset, announced_bytes })
}
