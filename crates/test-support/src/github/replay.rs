//! Recorded answers of GitHub, given again to who asks as it was asked then.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use super::wire::{self, Answer, Body, Head, decoded};

/// The origins in recorded answers, all of which become the server's own.
const RECORDED: [&str; 2] = ["https://api.github.com", "https://uploads.github.com"];

/// A server that answers each recorded request once; it ends with this value.
#[derive(Debug)]
pub struct Replay {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// What was not asked for yet.
    left: Vec<Value>,
    /// What was asked for and never recorded so.
    strange: Vec<String>,
    stopped: bool,
}

impl Replay {
    /// Plays the exchanges of a `normalized-fixture.json` of `@octokit/fixtures`.
    pub fn start(fixture: &Path) -> Self {
        let exchanges: Vec<Value> =
            serde_json::from_slice(&fs_err::read(fixture).unwrap()).unwrap();
        let state = State { left: exchanges, strange: Vec::new(), stopped: false };
        let state = Arc::new(Mutex::new(state));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if shared.lock().unwrap().stopped {
                    return;
                }
                // A client that goes away is none of the server's business.
                serve(&connection, &shared, address).ok();
            }
        });
        Self { address, state }
    }

    /// Returns where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the recorded requests that were not made, as `METHOD path`.
    pub fn left(&self) -> Vec<String> {
        let name = |one: &Value| format!("{} {}", text(one, "method"), text(one, "path"));
        self.state.lock().unwrap().left.iter().map(name).collect()
    }

    /// Returns the requests that were made and are not recorded.
    pub fn strange(&self) -> Vec<String> {
        self.state.lock().unwrap().strange.clone()
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        self.state.lock().unwrap().stopped = true;
        // Wakes the thread that waits for connections.
        drop(TcpStream::connect(self.address));
    }
}

fn serve(connection: &TcpStream, state: &Mutex<State>, address: SocketAddr) -> io::Result<()> {
    let Some((head, mut body)) = wire::read(connection)? else { return Ok(()) };
    let said = read_all(&mut body)?;
    let mut state = state.lock().unwrap();
    let Some(at) = state.left.iter().position(|one| is_asked(one, &head, &said)) else {
        state.strange.push(format!("{} {}", head.method, head.path));
        return Answer::problem(404, "Not Found").send(connection, false);
    };
    let exchange = state.left.remove(at);
    drop(state);
    let status = exchange["status"].as_u64().and_then(|status| u16::try_from(status).ok());
    let status = status.unwrap_or(500);
    let mut answer = exchange["response"].to_string();
    for origin in RECORDED {
        answer = answer.replace(origin, &format!("http://{address}"));
    }
    let answer = if status == 204 {
        Answer::empty(status)
    } else {
        Answer::json(status, &serde_json::from_str(&answer)?)
    };
    answer.send(connection, false)
}

fn read_all(body: &mut Body<'_>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    body.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether a request is the recorded one: the method, the path, and everything that was said then.
fn is_asked(recorded: &Value, head: &Head, said: &[u8]) -> bool {
    let path = text(recorded, "path");
    let (path, query) = path.split_once('?').unwrap_or((&path, ""));
    // A label is a thing of the recording.
    let mut query = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("label="));
    let same_query = query.all(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        head.query.get(key).is_some_and(|asked| *asked == decoded(value))
    });
    let same_body = match &recorded["body"] {
        Value::Object(fields) => {
            let said: Value = serde_json::from_slice(said).unwrap_or_default();
            fields.iter().all(|(key, value)| said[key] == *value)
        }
        Value::String(recorded) => recorded.as_bytes() == said,
        _ => said.is_empty(),
    };
    text(recorded, "method").eq_ignore_ascii_case(&head.method)
        && decoded(path.trim_start_matches('/')) == head.path
        && same_query
        && same_body
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}
