//! Questions to a server whose answer is more than bytes: its status and its challenge matter too.

use std::io::Read;

use rnx_spec::SourceUrl;
use ureq::http::header;

use super::{Fetcher, ReadAllError};

/// What a server answered, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// The values of `WWW-Authenticate`.
    pub challenges: Vec<String>,
    pub body: Vec<u8>,
}

impl Fetcher {
    /// Asks `url` for one of the media types in `accept`, and reads the answer as a whole.
    ///
    /// `authorization` is sent to the URL's own server alone, and never along a redirect.
    pub fn ask(
        &self,
        url: &SourceUrl,
        accept: &str,
        authorization: Option<&str>,
        size_bytes_max: u64,
    ) -> Result<Answer, ReadAllError> {
        let response = self
            .send(url, &[(header::ACCEPT, accept)], authorization)
            .map_err(|source| ReadAllError::Open { url: url.clone(), source })?;
        let status = response.status().as_u16();
        let challenges = response
            .headers()
            .get_all(header::WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| Some(value.to_str().ok()?.to_owned()))
            .collect();
        let mut body = Vec::new();
        response
            .into_body()
            .into_reader()
            .take(size_bytes_max + 1)
            .read_to_end(&mut body)
            .map_err(|source| ReadAllError::Read { url: url.clone(), source })?;
        if body.len() as u64 > size_bytes_max {
            return Err(ReadAllError::TooLarge { url: url.clone(), size_bytes_max });
        }
        Ok(Answer { status, challenges, body })
    }
}
