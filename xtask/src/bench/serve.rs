//! The least server of files that installs can be measured with: GET, and one range.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use fs_err as fs;

/// A server on loopback, for as long as this program runs.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    sent: Arc<AtomicU64>,
}

impl Server {
    /// Serves the files of the folder `root`.
    pub(super) fn start(root: PathBuf) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let sent = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&sent);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (root, sent) = (root.clone(), Arc::clone(&counted));
                // A client that goes away is none of the server's business.
                thread::spawn(move || serve(&connection, &root, &sent).ok());
            }
        });
        Ok(Self { address, sent })
    }

    /// Returns the URL of a file.
    pub(super) fn url(&self, file: &str) -> String {
        format!("http://{}/{file}", self.address)
    }

    /// Returns the bytes of files that were sent so far.
    pub(super) fn sent_bytes(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

fn serve(connection: &TcpStream, root: &Path, sent: &AtomicU64) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut lines = BufReader::new(connection).lines();
    while let Some(first) = lines.next() {
        let first = first?;
        let mut range = None;
        for line in lines.by_ref() {
            let line = line?.to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("range: bytes=") {
                range = value
                    .split_once('-')
                    .map(|(start, last)| (start.parse().ok(), last.parse().ok()));
            }
            if line.is_empty() {
                break;
            }
        }
        let name = first.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
        answer(connection, &root.join(name), range, sent)?;
    }
    Ok(())
}

fn answer(
    mut out: &TcpStream,
    path: &Path,
    range: Option<(Option<u64>, Option<u64>)>,
    sent: &AtomicU64,
) -> io::Result<()> {
    let Ok(mut file) = fs::File::open(path) else {
        return out.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    };
    let all = file.metadata()?.len();
    let (start, end) = match range {
        Some((Some(start), last)) => (start, last.map_or(all, |last: u64| all.min(last + 1))),
        _ => (0, all),
    };
    let length = end.saturating_sub(start);
    if range.is_some() {
        write!(
            out,
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{}/{all}\r\nContent-Length: {length}\r\n\r\n",
            end.saturating_sub(1)
        )?;
    } else {
        write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")?;
    }
    file.seek(SeekFrom::Start(start))?;
    sent.fetch_add(io::copy(&mut file.take(length), &mut out)?, Ordering::Relaxed);
    Ok(())
}
