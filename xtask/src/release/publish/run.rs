//! Carries a publishing plan out, and looks again at what the forge has before anything is tried twice.

use std::thread;
use std::time::Duration;

use rnx_spec::Digest;
use rnx_spec::tag::Tag;

use super::forge::{Forge, ForgeError};
use super::{Content, File, PlanError, RemoteRelease, Step, Wanted, chosen, plan};
use crate::release::registry_branch::Backoff;

/// How often publishing fails in a row, without a step in between, before it gives up.
const FAILURES_MAX: u32 = 6;

/// The longest time that a server's `Retry-After` is obeyed for; a longer one ends publishing, to be resumed later.
const WAIT_MAX: Duration = Duration::from_mins(5);

/// What publishing tells while it works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    Step(&'a Step),
    /// So many bytes of a file's upload were sent.
    Sent {
        name: &'a str,
        bytes: u64,
        of: u64,
    },
    /// It failed so, and looks again after this time.
    Waiting {
        why: String,
        time: Duration,
    },
}

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The page that people see.
    pub page: String,
    /// The files that this run uploaded, in order.
    pub uploaded: Vec<String>,
    /// The files that were there already, and right.
    pub kept: Vec<String>,
}

/// A tag was not published. What is done stays; the same command continues.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error(transparent)]
    Plan(PlanError),
    #[error("failed to publish `{tag}`")]
    Forge { tag: Tag, source: Box<ForgeError> },
    #[error("the forge has the tag `{tag}` at {there}, and this is a release of {here}")]
    TagMoved { tag: Tag, here: String, there: String },
    #[error("the forge does not have the tag `{tag}`")]
    NoTag { tag: Tag },
    #[error(
        "the forge stored other bytes of {name} than were sent: expected {expected}, got {actual}"
    )]
    Stored { name: String, expected: Digest, actual: Digest },
    #[error("there is no draft and no release of `{tag}` to resume")]
    NothingToResume { tag: Tag },
}

/// How a release is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Only what was begun is continued.
    pub resume: bool,
    pub backoff: Backoff,
}

/// One run of publishing.
struct Session<'a> {
    wanted: &'a Wanted,
    forge: &'a mut dyn Forge,
    options: Options,
    on: &'a mut dyn FnMut(Event<'_>),
    /// In a row.
    failures: u32,
    uploaded: Vec<String>,
    /// The draft that this run made, until the forge lists it.
    created: Option<u64>,
}

/// Returns what is left to do for a tag. Nothing is changed.
pub fn preview(
    wanted: &Wanted,
    forge: &mut dyn Forge,
    options: Options,
) -> Result<Vec<Step>, PublishError> {
    let mut ignore = |_: Event<'_>| {};
    Session::new(wanted, forge, options, &mut ignore).retrying(Session::look)
}

/// Publishes a tag, or the rest of it. ⚡
pub fn run(
    wanted: &Wanted,
    forge: &mut dyn Forge,
    options: Options,
    on: &mut dyn FnMut(Event<'_>),
) -> Result<Published, PublishError> {
    let mut session = Session::new(wanted, forge, options, on);
    session.retrying(Session::look)?;
    session.retrying(Session::advance)?;
    // The page of a draft is called otherwise than that of what became of it.
    let page = session.retrying(|session| {
        let remote = session.releases()?;
        Ok(chosen(&remote).map(|release| release.page.clone()).unwrap_or_default())
    })?;
    let uploaded = session.uploaded;
    let names = wanted.files.iter().map(|file| file.name.clone());
    let kept = names.filter(|name| !uploaded.contains(name)).collect();
    Ok(Published { page, uploaded, kept })
}

impl<'a> Session<'a> {
    fn new(
        wanted: &'a Wanted,
        forge: &'a mut dyn Forge,
        options: Options,
        on: &'a mut dyn FnMut(Event<'_>),
    ) -> Self {
        Self { wanted, forge, options, on, failures: 0, uploaded: Vec::new(), created: None }
    }

    /// Checks the tag and plans.
    fn look(&mut self) -> Result<Vec<Step>, PublishError> {
        let tag = &self.wanted.tag;
        match self.forge.tag_commit(tag) {
            Ok(Some(there)) if there == self.wanted.commit => {}
            // A forge makes up the tag of a release where it has none, on whatever commit is newest.
            Ok(None) => return Err(PublishError::NoTag { tag: tag.clone() }),
            Ok(Some(there)) => {
                let here = self.wanted.commit.clone();
                return Err(PublishError::TagMoved { tag: tag.clone(), here, there });
            }
            Err(source) => return Err(self.failed(source)),
        }
        let remote = self.releases()?;
        if self.options.resume && remote.is_empty() {
            return Err(PublishError::NothingToResume { tag: tag.clone() });
        }
        plan(self.wanted, &remote).map_err(PublishError::Plan)
    }

    /// Goes through all steps, planning anew where one changes what the others are about.
    fn advance(&mut self) -> Result<(), PublishError> {
        loop {
            let remote = self.releases()?;
            if let Some(id) = self.created
                && !remote.iter().any(|release| release.id == id)
            {
                // A second one would not help.
                let what = "the new draft".to_owned();
                return Err(self.failed(ForgeError::NotListed { what }));
            }
            self.created = None;
            let release = chosen(&remote);
            let mut again = false;
            for step in plan(self.wanted, &remote).map_err(PublishError::Plan)? {
                (self.on)(Event::Step(&step));
                again = self.carry_out(&step, release)?;
                self.failures = 0;
                if again {
                    break;
                }
            }
            if !again {
                return Ok(());
            }
        }
    }

    /// Carries one step out; `true` asks for a new plan.
    fn carry_out(
        &mut self,
        step: &Step,
        release: Option<&RemoteRelease>,
    ) -> Result<bool, PublishError> {
        let done = match (step, release) {
            (Step::CreateDraft { .. }, _) => match self.forge.create_draft(self.wanted) {
                Ok(id) => {
                    // Another publisher may have made one as well: the list says which one counts.
                    self.created = Some(id);
                    return Ok(true);
                }
                Err(error) => Err(error),
            },
            (Step::DeleteDraft { id }, _) => self.forge.delete_draft(*id),
            (Step::DeleteLeftover { asset, .. }, _) => self.forge.delete_asset(*asset),
            (Step::Upload { name, .. }, Some(release)) => {
                return self.upload(name, release).map(|()| false);
            }
            (Step::Compare { .. }, _) => return self.compare().map(|()| false),
            (Step::Publish { .. }, Some(release)) => self.forge.publish(release, self.wanted),
            // Planned for a draft that the step before makes.
            (Step::Upload { .. } | Step::Publish { .. }, None) => return Ok(true),
        };
        done.map(|()| false).map_err(|source| self.failed(source))
    }

    fn upload(&mut self, name: &str, release: &RemoteRelease) -> Result<(), PublishError> {
        let Some(file) = self.wanted.files.iter().find(|file| file.name == name) else {
            return Ok(());
        };
        let on = &mut *self.on;
        let mut tell = |bytes| on(Event::Sent { name, bytes, of: file.size_bytes });
        let asset = match self.forge.upload(release, file, &mut tell) {
            Ok(asset) => asset,
            Err(source) => return Err(self.failed(source)),
        };
        self.uploaded.push(name.to_owned());
        match asset.digest {
            Some(actual) if actual != file.digest => {
                // It would stand in the way of the next try.
                let deleted = self.forge.delete_asset(asset.id);
                deleted.map_err(|source| self.failed(source))?;
                Err(stored(file, actual))
            }
            _ => Ok(()),
        }
    }

    /// Compares all files with what the forge has now.
    fn compare(&mut self) -> Result<(), PublishError> {
        let remote = self.releases()?;
        let assets = chosen(&remote).map_or(&[][..], |release| &release.assets);
        for file in &self.wanted.files {
            let complete = assets.iter().find(|asset| asset.name == file.name && asset.complete);
            let Some(asset) = complete else {
                return Err(self.failed(ForgeError::NotListed { what: file.name.clone() }));
            };
            let actual = match asset.digest {
                Some(digest) => digest,
                None => match self.forge.fetch_digest(asset.id) {
                    Ok(digest) => digest,
                    Err(source) => return Err(self.failed(source)),
                },
            };
            if actual != file.digest {
                return Err(stored(file, actual));
            }
        }
        Ok(())
    }

    fn releases(&mut self) -> Result<Vec<RemoteRelease>, PublishError> {
        self.forge.releases(&self.wanted.tag).map_err(|source| self.failed(source))
    }

    /// Works until that succeeds, fails for good, or failed too often without a step in between.
    fn retrying<T>(
        &mut self,
        work: impl Fn(&mut Self) -> Result<T, PublishError>,
    ) -> Result<T, PublishError> {
        loop {
            let error = match work(self) {
                Err(PublishError::Forge { source, .. }) => *source,
                other => return other,
            };
            self.failures += 1;
            let time = match error.retry() {
                Some(wait) if self.failures < FAILURES_MAX => {
                    wait.unwrap_or_else(|| self.options.backoff.delay(self.failures))
                }
                _ => return Err(self.failed(error)),
            };
            if time > WAIT_MAX {
                return Err(self.failed(error));
            }
            (self.on)(Event::Waiting { why: error.to_string(), time });
            thread::sleep(time);
        }
    }

    fn failed(&self, source: ForgeError) -> PublishError {
        PublishError::Forge { tag: self.wanted.tag.clone(), source: Box::new(source) }
    }
}

fn stored(file: &File, actual: Digest) -> PublishError {
    PublishError::Stored { name: file.name.clone(), expected: file.digest, actual }
}

/// Reads all files and compares them with their digests; `on_file` hears of each before it is read.
pub fn check_digests(files: &[File], on_file: &mut dyn FnMut(&File)) -> Result<(), ForgeError> {
    for file in files {
        let Content::Path(path) = &file.content else { continue };
        on_file(file);
        let read = |source| ForgeError::Read { path: path.clone(), source };
        let actual = fs_err::File::open(path).and_then(rnx_store::blob::digest).map_err(read)?;
        if actual != file.digest {
            let (name, expected) = (file.name.clone(), file.digest);
            return Err(ForgeError::Changed { name, expected, actual });
        }
    }
    Ok(())
}
