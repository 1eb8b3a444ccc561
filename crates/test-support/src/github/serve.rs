//! Connections: who asks, what goes wrong with it, and who answers.

use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rnx_spec::Digest;
use serde_json::{Value, json};

use super::faults::{self, Entry, Fault, Origin};
use super::releases::store;
use super::wire::{self, Answer, Body, Head};
use super::{Origins, REPOSITORY, Shared};

/// One request, its place in the log, and what goes wrong with it.
struct Asked<'a> {
    origin: Origin,
    head: &'a Head,
    number: usize,
    fault: Option<Fault>,
}

impl Shared {
    /// Answers connections until the server ends.
    pub(super) fn listen(self: &Arc<Self>, listener: &TcpListener, at: Origin) {
        for connection in listener.incoming().flatten() {
            if self.state.lock().unwrap().stopped {
                return;
            }
            let (shared, origins) = (Arc::clone(self), self.origins.lock().unwrap().clone());
            // A client that goes away is none of the server's business.
            thread::spawn(move || shared.serve(&connection, at, &origins).ok());
        }
    }

    fn serve(&self, connection: &TcpStream, origin: Origin, origins: &Origins) -> io::Result<()> {
        let Some((head, mut body)) = wire::read(connection)? else { return Ok(()) };
        let (number, fault) = self.note(origin, &head);
        let asked = Asked { origin, head: &head, number, fault };
        let answer = match refusal(&asked) {
            Some(refusal) => {
                io::copy(&mut body, &mut io::sink())?;
                refusal
            }
            None => self.act(&asked, &mut body, origins)?,
        };
        match asked.fault {
            Some(Fault::HoldBefore | Fault::HoldAfter) => {
                self.hold();
                Ok(())
            }
            Some(Fault::HangUpBefore | Fault::HangUpAfter) => Ok(()),
            Some(Fault::BadGatewayAfter) => {
                Answer::problem(502, "Bad Gateway").send(connection, false)
            }
            _ => answer.send(connection, head.method == "HEAD"),
        }
    }

    /// Records a request, and returns its number and its fault.
    fn note(&self, origin: Origin, head: &Head) -> (usize, Option<Fault>) {
        let mut state = self.state.lock().unwrap();
        let number = state.log.len();
        state.log.push(Entry {
            origin,
            method: head.method.clone(),
            path: head.path.clone(),
            query: head.query.clone(),
            authorization: head.headers.get("authorization").cloned(),
            acted: None,
        });
        (number, faults::take(&mut state.planned, head, number))
    }

    /// Does what is asked.
    fn act(&self, asked: &Asked<'_>, body: &mut Body<'_>, origins: &Origins) -> io::Result<Answer> {
        let trusted = match (&self.token, asked.head.headers.get("authorization")) {
            (None, _) => true,
            (Some(token), Some(shown)) => {
                if shown != &format!("Bearer {token}") && shown != &format!("token {token}") {
                    io::copy(body, &mut io::sink())?;
                    return Ok(Answer::problem(401, "Bad credentials"));
                }
                true
            }
            (Some(_), None) => false,
        };
        let answer = match asked.origin {
            Origin::Uploads if trusted => self.upload(asked, body, origins)?,
            Origin::Uploads => None,
            Origin::Web => self.page(asked.head, origins),
            Origin::Objects => self.state.lock().unwrap().releases.object(asked.head),
            Origin::Api => {
                let value = body.json()?;
                self.api(asked.head, &value, trusted, origins)
            }
        };
        let answer = answer.unwrap_or_else(|| Answer::problem(404, "Not Found"));
        self.state.lock().unwrap().log[asked.number].acted = Some(answer.status);
        Ok(answer)
    }

    fn api(&self, head: &Head, body: &Value, trusted: bool, origins: &Origins) -> Option<Answer> {
        let rest = head.path.strip_prefix("repos/")?.strip_prefix(REPOSITORY)?;
        if head.method != "GET" && !trusted {
            return None;
        }
        let mut state = self.state.lock().unwrap();
        let rest = rest.trim_start_matches('/');
        match rest.strip_prefix("releases") {
            Some(rest) => {
                let answer = state.releases.answer((head, rest), body, trusted, origins);
                // What is published without a tag gets one.
                let published: Vec<(String, String)> = state
                    .releases
                    .all
                    .iter()
                    .filter(|release| !release.draft)
                    .map(|release| (release.tag.clone(), release.target.clone()))
                    .collect();
                for (tag, target) in published {
                    if state.repository.commit_of(&format!("refs/tags/{tag}")).is_none() {
                        state.repository.create_tag(&tag, &target);
                    }
                }
                answer
            }
            None if rest.is_empty() => Some(Answer::json(
                200,
                &json!({
                    "full_name": REPOSITORY, "default_branch": "main",
                    "html_url": format!("{}/{REPOSITORY}", origins.web),
                    "permissions": {"admin": trusted, "push": trusted, "pull": true},
                }),
            )),
            None => state.repository.answer(head, rest, body),
        }
    }

    fn upload(
        &self,
        asked: &Asked<'_>,
        body: &mut Body<'_>,
        origins: &Origins,
    ) -> io::Result<Option<Answer>> {
        let id = asked
            .head
            .path
            .strip_prefix("repos/")
            .and_then(|rest| rest.strip_prefix(REPOSITORY)?.strip_prefix("/releases/"))
            .and_then(|rest| rest.strip_suffix("/assets")?.parse().ok());
        let Some(release) = id else {
            io::copy(body, &mut io::sink())?;
            return Ok(None);
        };
        let begun = self.state.lock().unwrap().releases.begin_upload(asked.head, release)?;
        let (asset, file) = match begun {
            Ok(begun) => begun,
            Err(refusal) => {
                io::copy(body, &mut io::sink())?;
                return Ok(Some(refusal));
            }
        };
        match asked.fault {
            Some(Fault::CutUpload { at }) => {
                store(&mut body.take(at), file)?;
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            Some(Fault::BadGatewayBefore) => {
                io::copy(body, &mut io::sink())?;
                return Ok(Some(Answer::problem(502, "Bad Gateway")));
            }
            _ => {}
        }
        let mut stored = store(body, file)?;
        if asked.fault == Some(Fault::WrongDigest) {
            stored.1 = Digest::from_bytes([0; 32]);
        }
        Ok(self.state.lock().unwrap().releases.end_upload(asset, stored, origins))
    }

    /// Answers what people see: downloads, and raw files.
    fn page(&self, head: &Head, origins: &Origins) -> Option<Answer> {
        let rest = head.path.strip_prefix(REPOSITORY)?.strip_prefix('/')?;
        let state = self.state.lock().unwrap();
        if let Some(rest) = rest.strip_prefix("releases/download/") {
            let (tag, file) = rest.rsplit_once('/')?;
            return state.releases.download(tag, file, origins);
        }
        let (branch, path) = rest.strip_prefix("raw/")?.split_once('/')?;
        let bytes = state.repository.file(branch, path)?;
        Some(Answer {
            status: 200,
            headers: vec![("Content-Type", "text/plain".to_owned())],
            body: wire::Content::Bytes(bytes),
        })
    }

    /// Waits until the test lets go.
    fn hold(&self) {
        let mut state = self.state.lock().unwrap();
        state.held += 1;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |state| state.held > 0 && !state.stopped).unwrap());
    }
}

/// Returns the answer of a fault that lets nothing be done.
fn refusal(asked: &Asked<'_>) -> Option<Answer> {
    let is_upload = asked.origin == Origin::Uploads;
    match asked.fault.as_ref()? {
        Fault::BadGatewayBefore if is_upload => None,
        Fault::BadGatewayBefore => Some(Answer::problem(502, "Bad Gateway")),
        Fault::HangUpBefore | Fault::HoldBefore => Some(Answer::empty(502)),
        Fault::Limited { status, retry_after_s } => {
            let message = "You have exceeded a secondary rate limit.";
            let answer = Answer::problem(*status, message);
            Some(answer.header("Retry-After", retry_after_s.to_string()))
        }
        Fault::Refuse { status, message } => Some(Answer::problem(*status, message)),
        Fault::AlreadyExists if is_upload => {
            Some(Answer::invalid("ReleaseAsset", "already_exists", "name"))
        }
        Fault::AlreadyExists => Some(Answer::invalid("Release", "already_exists", "tag_name")),
        _ => None,
    }
}
