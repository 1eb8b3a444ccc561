//! Reading small documents as a whole, and only if they changed.

use std::io::Read;

use rnx_spec::SourceUrl;
use ureq::http::{StatusCode, header};

use super::body::opened;
use super::{Fetcher, Opened, ReadAllError};

/// What a server answered who was told which document is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revalidated {
    /// The one that is known is still the one.
    Unchanged,
    Changed(Document),
}

/// A document, and the name that its server has for this state of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub bytes: Vec<u8>,
    pub etag: Option<String>,
}

impl Fetcher {
    /// Reads a small document as a whole.
    pub fn read_all(&self, url: &SourceUrl, size_bytes_max: u64) -> Result<Vec<u8>, ReadAllError> {
        let opened =
            self.open(url, 0).map_err(|source| ReadAllError::Open { url: url.clone(), source })?;
        whole(opened, url, size_bytes_max)
    }

    /// Reads a document unless it is the one that the server calls `etag`.
    pub fn read_if_changed(
        &self,
        url: &SourceUrl,
        etag: Option<&str>,
        size_bytes_max: u64,
    ) -> Result<Revalidated, ReadAllError> {
        if self.file(url).is_some() {
            let bytes = self.read_all(url, size_bytes_max)?;
            return Ok(Revalidated::Changed(Document { bytes, etag: None }));
        }
        let open_error = |source| ReadAllError::Open { url: url.clone(), source };
        let headers: Vec<_> = etag.map(|etag| (header::IF_NONE_MATCH, etag)).into_iter().collect();
        let response = self.send(url, &headers, None).map_err(open_error)?;
        if response.status() == StatusCode::NOT_MODIFIED && etag.is_some() {
            return Ok(Revalidated::Unchanged);
        }
        let etag = response.headers().get(header::ETAG).and_then(|etag| etag.to_str().ok());
        let etag = etag.map(str::to_owned);
        let opened = opened(response).map_err(open_error)?;
        let bytes = whole(opened, url, size_bytes_max)?;
        Ok(Revalidated::Changed(Document { bytes, etag }))
    }
}

fn whole(opened: Opened, url: &SourceUrl, size_bytes_max: u64) -> Result<Vec<u8>, ReadAllError> {
    let too_large = || ReadAllError::TooLarge { url: url.clone(), size_bytes_max };
    if opened.announced_bytes.is_some_and(|announced| announced > size_bytes_max) {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    opened
        .reader
        .take(size_bytes_max + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| ReadAllError::Read { url: url.clone(), source })?;
    let got = bytes.len() as u64;
    if got > size_bytes_max {
        return Err(too_large());
    }
    match opened.announced_bytes {
        Some(announced) if announced != got => {
            Err(ReadAllError::Truncated { url: url.clone(), got, announced })
        }
        _ => Ok(bytes),
    }
}
