//! Files on their way to GitHub and back: streamed, hashed on the way, and given up when nothing moves.

use std::io::{self, Read};
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use octocrab::OctoBody;
use rnx_spec::Digest;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::{AssetJson, ForgeError, GitHub, TransportError, encoded};
use crate::release::publish::{Content, File, RemoteAsset};

/// What is read at once; four such pieces wait at most.
const CHUNK_BYTES: usize = 1024 * 1024;
const CHUNKS_WAITING_MAX: usize = 4;

/// How long nothing may move.
const STALL_TIME_MAX: Duration = Duration::from_mins(1);
/// How long GitHub may take to store what was sent.
const STORE_TIME_MAX: Duration = Duration::from_mins(5);
/// How often progress is told.
const TICK: Duration = Duration::from_millis(100);

/// The bytes of a file, as another thread reads them.
struct FileBody {
    chunks: Receiver<io::Result<Bytes>>,
    left: u64,
    sent: Arc<AtomicU64>,
}

/// What the reading thread is to find.
struct Expected {
    path: PathBuf,
    name: String,
    digest: Digest,
    size_bytes: u64,
}

impl GitHub {
    pub(super) fn upload_to(
        &self,
        doing: &str,
        upload_url: &str,
        file: &File,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<RemoteAsset, ForgeError> {
        // The address is a template: `…/assets{?name,label}`.
        let place = upload_url.split('{').next().unwrap_or_default();
        if !self.account.trusts(place) {
            return Err(ForgeError::Untrusted { url: place.to_owned() });
        }
        let request = self
            .request(Method::POST, &format!("{place}?name={}", encoded(&file.name)))
            // The only type that GitHub documents.
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header(header::CONTENT_LENGTH, file.size_bytes);
        let (body, reading) = match &file.content {
            Content::Bytes(bytes) => (OctoBody::from(bytes.clone()), None),
            Content::Path(path) => {
                let sent = Arc::new(AtomicU64::new(0));
                let (sender, chunks) = mpsc::channel(CHUNKS_WAITING_MAX);
                let expected = Expected {
                    path: path.clone(),
                    name: file.name.clone(),
                    digest: file.digest,
                    size_bytes: file.size_bytes,
                };
                let reader = thread::spawn(move || read(&expected, &sender));
                let body = FileBody { chunks, left: file.size_bytes, sent: Arc::clone(&sent) };
                (OctoBody::new(body), Some((reader, sent)))
            }
        };
        let Some((reader, sent)) = reading else {
            let answer = self.send(doing, request, body, STORE_TIME_MAX)?.succeeded(doing)?;
            on_bytes(file.size_bytes);
            return answer.parsed::<AssetJson>(doing).map(Into::into);
        };
        let answer = self.watched(doing, (request, body), (&sent, file.size_bytes), on_bytes);
        // What was wrong with the file explains why the request broke off.
        match reader.join() {
            Ok(Err(error)) => return Err(error),
            Ok(Ok(())) => {}
            Err(panic) => std::panic::resume_unwind(panic),
        }
        answer?.succeeded(doing)?.parsed::<AssetJson>(doing).map(Into::into)
    }

    /// Sends a body and watches that it moves.
    fn watched(
        &self,
        doing: &str,
        (request, body): (http::request::Builder, OctoBody),
        (sent, size_bytes): (&AtomicU64, u64),
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<super::Answer, ForgeError> {
        let exchange = self.exchange(doing, request, body);
        let (mut before, mut moved) = (0, Instant::now());
        self.runtime.block_on(async {
            let mut exchange = pin!(exchange);
            loop {
                if let Ok(answer) = tokio::time::timeout(TICK, &mut exchange).await {
                    on_bytes(sent.load(Ordering::Relaxed));
                    return answer;
                }
                let now = sent.load(Ordering::Relaxed);
                if now != before {
                    (before, moved) = (now, Instant::now());
                    on_bytes(now);
                }
                let most = if now == size_bytes { STORE_TIME_MAX } else { STALL_TIME_MAX };
                if moved.elapsed() > most {
                    let seconds = most.as_secs();
                    return Err(ForgeError::Stalled { doing: doing.to_owned(), seconds });
                }
            }
        })
    }

    /// Fetches a file of a release, wherever GitHub redirects to, and returns its digest.
    pub(super) fn fetch(&self, doing: &str, asset: u64) -> Result<Digest, ForgeError> {
        let path = format!("{}/releases/assets/{asset}", self.repository_url());
        let request = self.request(Method::GET, &path);
        let mut request = request.body(OctoBody::empty()).map_err(|e| unreachable(doing, &e))?;
        let bytes = header::HeaderValue::from_static("application/octet-stream");
        request.headers_mut().insert(header::ACCEPT, bytes);
        let stalled =
            || ForgeError::Stalled { doing: doing.to_owned(), seconds: STALL_TIME_MAX.as_secs() };
        self.runtime.block_on(async {
            let response = tokio::time::timeout(STALL_TIME_MAX, self.api.send(request));
            let response = response
                .await
                .map_err(|_elapsed| stalled())?
                .map_err(|e| unreachable(doing, &e))?;
            let status = response.status();
            if !status.is_success() {
                let (doing, status) = (doing.to_owned(), status.as_u16());
                let (message, codes) = ("no bytes came".to_owned(), Vec::new());
                return Err(ForgeError::Answered { doing, status, message, codes, wait: None });
            }
            let (mut hasher, mut body) = (Sha256::new(), response.into_body());
            while let Some(frame) = tokio::time::timeout(STALL_TIME_MAX, body.frame())
                .await
                .map_err(|_elapsed| stalled())?
            {
                let frame = frame.map_err(|error| unreachable(doing, &error))?;
                if let Some(data) = frame.data_ref() {
                    hasher.update(data);
                }
            }
            Ok(Digest::from_bytes(hasher.finalize().into()))
        })
    }
}

/// Reads a file into the channel. The last piece goes only after all of them were found to be what was built.
fn read(expected: &Expected, chunks: &Sender<io::Result<Bytes>>) -> Result<(), ForgeError> {
    let result = read_chunks(expected, chunks);
    if result.is_err() {
        // Breaks the request off; where nobody listens any more, it is broken off already.
        chunks.blocking_send(Err(io::ErrorKind::InvalidData.into())).ok();
    }
    result
}

fn read_chunks(expected: &Expected, chunks: &Sender<io::Result<Bytes>>) -> Result<(), ForgeError> {
    let failed = |source| ForgeError::Read { path: expected.path.clone(), source };
    let mut file = fs_err::File::open(&expected.path).map_err(failed)?;
    let (mut hasher, mut pending, mut length) = (Sha256::new(), None, 0);
    loop {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        (&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut chunk).map_err(failed)?;
        if chunk.is_empty() {
            break;
        }
        if let Some(ready) = pending.take()
            && chunks.blocking_send(Ok(ready)).is_err()
        {
            // The request ended before the file did: its own error says why.
            return Ok(());
        }
        hasher.update(&chunk);
        length += chunk.len() as u64;
        pending = Some(Bytes::from(chunk));
    }
    let actual = Digest::from_bytes(hasher.finalize().into());
    if actual != expected.digest || length != expected.size_bytes {
        let name = expected.name.clone();
        return Err(ForgeError::Changed { name, expected: expected.digest, actual });
    }
    if let Some(last) = pending {
        chunks.blocking_send(Ok(last)).ok();
    }
    Ok(())
}

fn unreachable(doing: &str, error: &dyn std::error::Error) -> ForgeError {
    ForgeError::Unreachable { doing: doing.to_owned(), source: Box::new(TransportError::of(error)) }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.chunks.poll_recv(context).map(|chunk| {
            let chunk = chunk?;
            if let Ok(bytes) = &chunk {
                let length = bytes.len() as u64;
                self.left = self.left.saturating_sub(length);
                self.sent.fetch_add(length, Ordering::Relaxed);
            }
            Some(chunk.map(Frame::data))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
