//! What goes wrong on request, and what was asked of the server.

use std::collections::BTreeMap;

use super::wire::Head;

/// What goes wrong with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// 502, and nothing is done. Of an upload a `starter` is left, as GitHub says it may.
    BadGatewayBefore,
    /// It is done, and then answered with 502.
    BadGatewayAfter,
    /// The connection ends without an answer, and nothing is done.
    HangUpBefore,
    /// It is done, and the connection ends without an answer.
    HangUpAfter,
    /// 403 or 429 with `Retry-After:` in seconds; nothing is done.
    Limited { status: u16, retry_after_s: u64 },
    /// Any other refusal, with this message; nothing is done.
    Refuse { status: u16, message: String },
    /// 422 with GitHub's code `already_exists`; nothing is done.
    AlreadyExists,
    /// After so many bytes the connection of an upload ends; a `starter` is left.
    CutUpload { at: u64 },
    /// Nothing is done, and no answer comes until the test lets go.
    HoldBefore,
    /// It is done, and no answer comes until the test lets go.
    HoldAfter,
    /// The answer names another digest than that of the bytes.
    WrongDigest,
}

/// Where a request arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// `github.com`: pages, downloads, raw files.
    Web,
    /// `api.github.com`
    Api,
    /// `uploads.github.com`
    Uploads,
    /// Where downloads are redirected to.
    Objects,
}

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub origin: Origin,
    pub method: String,
    pub path: String,
    pub query: BTreeMap<String, String>,
    /// The value of `Authorization:`.
    pub authorization: Option<String>,
    /// The status of what was done, whether or not it was told; `None` where nothing was.
    pub acted: Option<u16>,
}

/// A fault that waits for its request.
#[derive(Debug)]
pub(crate) enum Planned {
    Matching { method: String, path: String, fault: Fault },
    Numbered { number: usize, fault: Fault },
}

impl Planned {
    fn applies(&self, head: &Head, number: usize) -> bool {
        match self {
            Self::Matching { method, path, .. } => {
                *method == head.method && head.path.contains(path.as_str())
            }
            Self::Numbered { number: wanted, .. } => number == *wanted,
        }
    }
}

/// Takes the first fault that applies to a request off the list.
pub(crate) fn take(planned: &mut Vec<Planned>, head: &Head, number: usize) -> Option<Fault> {
    let at = planned.iter().position(|planned| planned.applies(head, number))?;
    let (Planned::Matching { fault, .. } | Planned::Numbered { fault, .. }) = planned.remove(at);
    Some(fault)
}
