//! HTTP/1.1 as far as a server in a test needs it: one request per connection, bodies as streams.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::net::TcpStream;

use serde_json::Value;

/// What a request says before its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub method: String,
    /// Decoded, without the first `/`.
    pub path: String,
    /// Decoded as GitHub does it: `+` is a space.
    pub query: BTreeMap<String, String>,
    /// By lower-case name.
    pub headers: BTreeMap<String, String>,
}

/// An answer: a status, headers, and a body in memory or in a file.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Content,
}

#[derive(Debug)]
pub(crate) enum Content {
    Bytes(Vec<u8>),
    File(fs_err::File, u64),
}

/// The body of a request, to be read once.
pub(crate) struct Body<'a> {
    reader: BufReader<&'a TcpStream>,
    left: Left,
    /// The client waits for leave to send it.
    expects_leave: bool,
}

enum Left {
    Known(u64),
    /// `Transfer-Encoding: chunked`, and how much of the current chunk is left.
    Chunked(u64),
    Done,
}

/// Reads a request's head; `None` where the connection was closed before one came.
pub(crate) fn read(connection: &TcpStream) -> io::Result<Option<(Head, Body<'_>)>> {
    let mut reader = BufReader::with_capacity(256 * 1024, connection);
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let query = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(&key.replace('+', " ")), decoded(&value.replace('+', " ")))
    });
    let head = Head {
        method,
        path: decoded(path.trim_start_matches('/')),
        query: query.collect(),
        headers,
    };
    let left = match head.headers.get("content-length").map(|length| length.parse()) {
        Some(Ok(length)) => Left::Known(length),
        _ if head.headers.contains_key("transfer-encoding") => Left::Chunked(0),
        _ => Left::Done,
    };
    let expects_leave = head.headers.contains_key("expect");
    Ok(Some((head, Body { reader, left, expects_leave })))
}

/// Undoes percent-encoding.
pub(crate) fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Encodes everything but the unreserved characters, as one segment of a URL.
pub fn encoded(text: &str) -> String {
    let one = |byte: u8| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    text.bytes().map(one).collect()
}

impl Body<'_> {
    /// Reads the whole body as JSON; an empty one is `null`.
    pub(crate) fn json(&mut self) -> io::Result<Value> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        if bytes.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(&bytes)?) }
    }

    fn next_chunk(&mut self) -> io::Result<u64> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            // The end of the chunk before.
            line.clear();
            self.reader.read_line(&mut line)?;
        }
        let size = line.trim().split(';').next().unwrap_or_default();
        u64::from_str_radix(size, 16).map_err(io::Error::other)
    }
}

impl Read for Body<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if std::mem::take(&mut self.expects_leave) {
            self.reader.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if let Left::Chunked(0) = self.left {
            match self.next_chunk()? {
                0 => self.left = Left::Done,
                size => self.left = Left::Chunked(size),
            }
        }
        let (Left::Known(left) | Left::Chunked(left)) = &mut self.left else { return Ok(0) };
        let most = into.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
        if most == 0 {
            // Reading on would wait for a next request.
            return Ok(0);
        }
        let got = self.reader.read(&mut into[..most])?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        *left -= got as u64;
        Ok(got)
    }
}

impl Answer {
    /// Answers with JSON.
    pub(crate) fn json(status: u16, value: &Value) -> Self {
        Self {
            status,
            headers: vec![("Content-Type", "application/json; charset=utf-8".to_owned())],
            body: Content::Bytes(value.to_string().into_bytes()),
        }
    }

    /// Answers without a body.
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Content::Bytes(Vec::new()) }
    }

    /// Answers that something went wrong, in GitHub's form.
    pub(crate) fn problem(status: u16, message: &str) -> Self {
        let documentation = "https://docs.github.com/rest";
        let value = serde_json::json!({
            "message": message, "documentation_url": documentation, "status": status.to_string(),
        });
        Self::json(status, &value)
    }

    /// Answers that a field of `resource` cannot be so, in GitHub's form.
    pub(crate) fn invalid(resource: &str, code: &str, field: &str) -> Self {
        let value = serde_json::json!({
            "message": "Validation Failed",
            "errors": [{"resource": resource, "code": code, "field": field}],
            "documentation_url": "https://docs.github.com/rest",
            "status": "422",
        });
        Self::json(422, &value)
    }

    /// Answers with a redirect.
    pub(crate) fn redirect(to: String) -> Self {
        Self { headers: vec![("Location", to)], ..Self::empty(302) }
    }

    #[must_use]
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Sends the answer; `head_only` is for who asked with `HEAD`.
    pub(crate) fn send(self, out: &TcpStream, head_only: bool) -> io::Result<()> {
        let mut out = BufWriter::new(out);
        let length = match &self.body {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::File(_, length) => *length,
        };
        write!(out, "HTTP/1.1 {} Answer\r\nConnection: close\r\n", self.status)?;
        if self.status != 204 {
            write!(out, "Content-Length: {length}\r\n")?;
        }
        for (name, value) in &self.headers {
            write!(out, "{name}: {value}\r\n")?;
        }
        out.write_all(b"\r\n")?;
        match self.body {
            _ if head_only => {}
            Content::Bytes(bytes) => out.write_all(&bytes)?,
            Content::File(mut file, _) => {
                io::copy(&mut file, &mut out)?;
            }
        }
        out.flush()
    }
}
