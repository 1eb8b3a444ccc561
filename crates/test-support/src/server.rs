//! A file server on loopback that can truncate, lie, stall and forget about ranges.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use fs_err as fs;

/// What the server does wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Closes the connection after this many bytes of the file, every time.
    TruncateAt(usize),
    /// Does so for the first request only.
    TruncateOnceAt(usize),
    /// Announces this length, whatever the file's is.
    AnnounceLength(u64),
    /// Sends this many bytes of the file, and then nothing while the server lives.
    StallAt(usize),
    /// Sends the whole file to who asks for a range.
    IgnoreRange,
    /// Sends who asks for a range one that begins a byte later, and says so.
    ShiftRange,
    /// Sends who asks for a range these bytes over and over, and says that they are the range.
    LieInRange(u8),
    /// Sends at most so many bytes to who asks for a range, as a part of what was asked for.
    ShortRange(usize),
    /// Names no states of files.
    NoEtag,
    /// Answers so many requests with this status, and asks to wait so many seconds.
    Busy { times: usize, status: u16, seconds: u64 },
    /// Sends these bytes instead.
    Replace(Vec<u8>),
    /// Answers with this status and no bytes.
    Status(u16),
    /// Claims that the bytes are compressed.
    ClaimEncoding(&'static str),
    /// Sends who does not show this bearer token to the realm that hands it out.
    WantToken { realm: String, token: String },
    /// Answers with a redirect.
    RedirectTo(String),
}

/// A request that the server got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Without the first `/`.
    pub path: String,
    /// The value of `Range:`.
    pub range: Option<String>,
    /// The value of `If-Range:`.
    pub if_range: Option<String>,
    /// The value of `If-None-Match:`.
    pub if_none_match: Option<String>,
    /// The value of `Authorization:`.
    pub authorization: Option<String>,
}

/// A server on `127.0.0.1`; it ends with this value.
#[derive(Debug)]
pub struct FileServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    faults: BTreeMap<String, Vec<Fault>>,
    requests: Vec<Request>,
    stalled: usize,
    stopped: bool,
}

impl FileServer {
    /// Serves the files below `root`.
    pub fn start(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            root: root.to_owned(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let server = Self { address, shared: Arc::clone(&shared) };
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if shared.state.lock().unwrap().stopped {
                    return;
                }
                let shared = Arc::clone(&shared);
                // A client that goes away is none of the server's business.
                thread::spawn(move || shared.serve(&connection).ok());
            }
        });
        server
    }

    /// Returns the URL of a file.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// Adds a fault to a file.
    pub fn misbehave(&self, path: &str, fault: Fault) {
        let mut state = self.shared.state.lock().unwrap();
        state.faults.entry(path.to_owned()).or_default().push(fault);
    }

    /// Behaves again.
    pub fn behave(&self) {
        self.shared.state.lock().unwrap().faults.clear();
    }

    /// Returns the requests so far, in the order they came.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state.lock().unwrap().requests.clone()
    }

    /// Returns the number of requests for a file.
    pub fn requests_for(&self, path: &str) -> usize {
        self.requests().iter().filter(|request| request.path == path).count()
    }

    /// Waits until a client is being stalled.
    pub fn wait_until_stalled(&self) {
        let state = self.shared.state.lock().unwrap();
        drop(self.shared.changed.wait_while(state, |state| state.stalled == 0).unwrap());
    }
}

impl Drop for FileServer {
    fn drop(&mut self) {
        self.shared.state.lock().unwrap().stopped = true;
        self.shared.changed.notify_all();
        // Wakes the thread that waits for connections.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn serve(&self, connection: &TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(connection).lines();
        let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
        let path = first.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
        let mut request = Request {
            path: path.clone(),
            range: None,
            if_range: None,
            if_none_match: None,
            authorization: None,
        };
        for line in lines {
            let line = line?;
            match line.split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("range") => {
                    request.range = Some(value.to_owned());
                }
                Some((name, value)) if name.eq_ignore_ascii_case("if-range") => {
                    request.if_range = Some(value.to_owned());
                }
                Some((name, value)) if name.eq_ignore_ascii_case("if-none-match") => {
                    request.if_none_match = Some(value.to_owned());
                }
                Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                    request.authorization = Some(value.to_owned());
                }
                _ if line.is_empty() => break,
                _ => {}
            }
        }
        let faults = self.note(&request);
        self.answer(connection, &request, &faults)
    }

    /// Records a request and returns the faults that apply to it.
    fn note(&self, request: &Request) -> Vec<Fault> {
        let mut state = self.state.lock().unwrap();
        state.requests.push(request.clone());
        let Some(faults) = state.faults.get_mut(&request.path) else { return Vec::new() };
        let applied = faults.clone();
        faults.retain_mut(|fault| match fault {
            Fault::TruncateOnceAt(_) => false,
            Fault::Busy { times, .. } => {
                *times -= 1;
                *times > 0
            }
            _ => true,
        });
        applied
    }

    fn answer(
        &self,
        mut out: &TcpStream,
        request: &Request,
        faults: &[Fault],
    ) -> std::io::Result<()> {
        let mut bytes = fs::read(self.root.join(&request.path)).ok();
        let mut headers = vec!["Connection: close\r\n".to_owned()];
        let no_etag = faults.contains(&Fault::NoEtag);
        let (mut limit, mut stall, mut announced) = (usize::MAX, false, None);
        for fault in faults {
            match fault {
                Fault::TruncateAt(at) | Fault::TruncateOnceAt(at) => limit = *at,
                Fault::StallAt(at) => (limit, stall) = (*at, true),
                Fault::AnnounceLength(length) => announced = Some(*length),
                Fault::Replace(with) => bytes = Some(with.clone()),
                Fault::ClaimEncoding(name) => headers.push(format!("Content-Encoding: {name}\r\n")),
                Fault::Status(status) => return send_status(out, *status, &headers),
                Fault::Busy { status, seconds, .. } => {
                    headers.push(format!("Retry-After: {seconds}\r\n"));
                    return send_status(out, *status, &headers);
                }
                Fault::WantToken { realm, token } => {
                    if request.authorization.as_deref() != Some(&format!("Bearer {token}")) {
                        return send_for_token(out, realm);
                    }
                }
                Fault::RedirectTo(url) => {
                    headers.push(format!("Location: {url}\r\n"));
                    return send_status(out, 302, &headers);
                }
                Fault::IgnoreRange
                | Fault::ShiftRange
                | Fault::LieInRange(_)
                | Fault::ShortRange(_)
                | Fault::NoEtag => {}
            }
        }
        let Some(mut bytes) = bytes else { return send_status(out, 404, &headers) };
        let (all, tag) = (bytes.len(), etag(&bytes));
        if !no_etag {
            headers.push(format!("ETag: {tag}\r\n"));
        }
        if !no_etag && request.if_none_match.as_ref() == Some(&tag) {
            return send_status(out, 304, &headers);
        }
        let asked = request
            .range
            .as_deref()
            .filter(|_| !faults.contains(&Fault::IgnoreRange))
            .filter(|_| request.if_range.as_ref().is_none_or(|state| *state == tag))
            .and_then(|range| part(range, all));
        let (mut start, mut end) = asked.unwrap_or((0, all));
        if start > 0 && start >= all {
            return send_status(out, 416, &headers);
        }
        if asked.is_some() {
            for fault in faults {
                match fault {
                    Fault::ShiftRange => start += 1,
                    Fault::LieInRange(byte) => bytes[start..].fill(*byte),
                    Fault::ShortRange(length) => end = end.min(start + length),
                    _ => {}
                }
            }
            headers.push(format!("Content-Range: bytes {start}-{}/{all}\r\n", end - 1));
        }
        let status = if asked.is_some() { "206 Partial Content" } else { "200 OK" };
        let length = announced.unwrap_or((end - start) as u64);
        write!(out, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{}\r\n", headers.concat())?;
        out.write_all(&bytes[start..end.min(limit.max(start))])?;
        if stall {
            self.stall();
        }
        Ok(())
    }

    /// Says nothing while the server lives.
    fn stall(&self) {
        let mut state = self.state.lock().unwrap();
        state.stalled += 1;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |state| !state.stopped).unwrap());
    }
}

fn send_status(mut out: &TcpStream, status: u16, headers: &[String]) -> std::io::Result<()> {
    write!(out, "HTTP/1.1 {status} Fault\r\nContent-Length: 0\r\n{}\r\n", headers.concat())
}

/// Names the state of a file: other bytes have another name.
fn etag(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

/// Reads `bytes=START-` or `bytes=START-LAST` of a file with `all` bytes, as start and end.
fn part(range: &str, all: usize) -> Option<(usize, usize)> {
    let (start, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let last: Option<usize> = if last.is_empty() { None } else { Some(last.parse().ok()?) };
    Some((start.parse().ok()?, last.map_or(all, |last| all.min(last + 1))))
}

fn send_for_token(mut out: &TcpStream, realm: &str) -> std::io::Result<()> {
    write!(
        out,
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"{realm}\",service=\"test\"\r\n\
         Content-Length: 0\r\nConnection: close\r\n\r\n"
    )
}
