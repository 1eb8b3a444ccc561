//! `registry.json` on a branch that others push to as well: changed on the newest tip, never merged as text. ⚡

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::time::Duration;
use std::{fmt, io, thread};

use rnx_spec::RuntimeName;
use rnx_spec::diagnostic::Diagnostic;
use rnx_spec::registry::{self, InsertError, Ledger, ParseRegistryError, Registry, Release};

use crate::git::{Git, GitError};
use crate::tool::ToolError;

/// The registry's file in a repository.
pub const REGISTRY_FILE: &str = "registry.json";

/// How often a change is made on a new tip. With eight publishers at once, the last one loses seven races.
pub const TRIES_MAX: u32 = 8;

/// Where the tip that was last read stays reachable; private to this program.
const TIP_REF: &str = "refs/joblet/registry-tip";

/// A branch of a clone's remote that carries the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryBranch {
    pub git: Git,
    /// The remote's name or URL, for example `origin`.
    pub remote: String,
    /// Without `refs/heads/`.
    pub branch: String,
}

/// What is to become of a registry, made anew on every tip that is read.
pub struct Change<'a> {
    /// The subject and body of the commit.
    pub message: String,
    /// The runtimes that it is about.
    pub names: Vec<RuntimeName>,
    /// Returns the registry of these runtimes after the change; an equal one if nothing is left to do.
    pub apply: &'a dyn Fn(&Registry) -> Result<Registry, ChangeError>,
    /// Now, in RFC 3339: for a registry that is not there yet.
    pub now: String,
}

/// A registry does not take a change.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("the registry refuses the release")]
    Insert(#[source] InsertError),
    #[error("the registry cannot be changed so")]
    Yank(#[source] registry::YankError),
}

/// How long to wait before the next try: a random time below `first`, doubled with every try, up to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    pub first: Duration,
    pub max: Duration,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// The registry on the branch says so already.
    Nothing,
    /// The commit on the branch, and how many tries it took.
    Commit { id: String, tries: u32 },
    /// The remote lets nobody push to the branch like this; the change lies on `branch`, for a pull request.
    Proposed { id: String, branch: String, reason: String },
}

/// A registry was not changed.
#[derive(Debug, thiserror::Error)]
pub enum PushRegistryError {
    #[error("the registry of the branch is not one that can be changed")]
    Parse { source: ParseRegistryError },
    #[error("nothing was pushed")]
    Change { source: ChangeError },
    #[error("the registry has {} finding(s) that old readers stumble over; the first is: {}", findings.len(), findings.first().map_or("", |one| one.message.as_str()))]
    Findings { findings: Vec<Diagnostic> },
    #[error("failed to write a scratch file")]
    Scratch { source: io::Error },
    #[error(transparent)]
    Git(GitError),
    #[error("the remote refuses the push: {reason}")]
    Refused { reason: String, source: GitError },
    #[error("the branch moved {TRIES_MAX} times while the registry was being changed")]
    Races { source: GitError },
}

/// The tip of the branch, and the registry there.
pub(super) struct Tip {
    pub(super) commit: String,
    /// `None` where the branch has no registry yet.
    pub(super) text: Option<String>,
}

/// Why a push did not come through.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Rejection {
    /// Someone else was first: the same is tried on the new tip.
    Race,
    /// It will be refused next time as well.
    Refusal(String),
    /// The way there failed; what became of the push is known after reading the tip again.
    Transport,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(200), max: Duration::from_secs(10) }
    }
}

impl Backoff {
    /// Returns how long to wait after the try with this number, counted from 1.
    pub(crate) fn delay(&self, tries: u32) -> Duration {
        let most = self.first.saturating_mul(1 << tries.min(16)).min(self.max);
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX).max(1);
        // The standard library's only source of randomness; nothing here needs a better one.
        Duration::from_micros(RandomState::new().build_hasher().finish() % micros)
    }
}

/// Returns the registry with releases added that their own metadata describes; those it has already change nothing.
pub fn with_releases(
    registry: &Registry,
    releases: &[Release],
    now: &str,
) -> Result<Registry, ChangeError> {
    let mut grown = registry.clone();
    for release in releases {
        grown = registry::insert(&grown, release, now).map_err(ChangeError::Insert)?;
    }
    Ok(grown)
}

/// Makes a change on the branch's tip and pushes it, again on every new tip, at most [`TRIES_MAX`] times.
///
/// Nothing is forced and no text is merged: after a lost race the change is made again on what won. A refusal that is
/// no race ends it at once, with the change on a branch of its own.
pub fn push(
    branch: &RegistryBranch,
    change: &Change<'_>,
    backoff: Backoff,
) -> Result<Pushed, PushRegistryError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let mut tip = branch.read()?;
        // A large registry is in memory once.
        let Some(text) = changed(tip.text.take(), change)? else { return Ok(Pushed::Nothing) };
        let id = branch.commit(&tip, &text, &change.message)?;
        let Err(error) = branch.push_commit(&id, &branch.branch) else {
            return Ok(Pushed::Commit { id, tries });
        };
        match rejection(&error.source) {
            Rejection::Refusal(reason) => return branch.propose(id, reason, error),
            Rejection::Race if tries == TRIES_MAX => {
                return Err(PushRegistryError::Races { source: error });
            }
            Rejection::Transport if tries == TRIES_MAX => {
                return Err(PushRegistryError::Git(error));
            }
            Rejection::Race | Rejection::Transport => thread::sleep(backoff.delay(tries)),
        }
    }
}

/// Returns the text of the changed registry; `None` if it says so already.
///
/// What old readers could not read is not written: a registry that is broken is put right first.
pub fn changed(
    text: Option<String>,
    change: &Change<'_>,
) -> Result<Option<String>, PushRegistryError> {
    let parse = |source| PushRegistryError::Parse { source };
    let is_new = text.is_none();
    let mut ledger =
        text.map_or_else(|| Ledger::empty(&change.now), Ledger::read).map_err(parse)?;
    let old = ledger.registry(&change.names).map_err(parse)?;
    let new = (change.apply)(&old).map_err(|source| PushRegistryError::Change { source })?;
    if new == old && !is_new {
        return Ok(None);
    }
    ledger.replace(&change.names, &new);
    let findings = ledger.check();
    if !findings.is_empty() {
        return Err(PushRegistryError::Findings { findings });
    }
    Ok(Some(ledger.write()))
}

impl RegistryBranch {
    /// Returns the branch that the remote's `HEAD` names.
    pub fn on_default_branch(git: Git, remote: &str) -> Result<Self, GitError> {
        let default = git.remote_refs(remote)?.default_branch;
        let branch = default.unwrap_or_else(|| "main".to_owned());
        Ok(Self { git, remote: remote.to_owned(), branch })
    }

    /// Returns the text of the registry after a change; `None` if the branch says so already. Nothing is pushed.
    pub fn preview(&self, change: &Change<'_>) -> Result<Option<String>, PushRegistryError> {
        changed(self.read()?.text, change)
    }

    /// Returns the text of the registry at the branch's tip; `None` where there is none.
    pub fn text(&self) -> Result<Option<String>, PushRegistryError> {
        Ok(self.read()?.text)
    }

    pub(super) fn read(&self) -> Result<Tip, PushRegistryError> {
        let refspec = format!("+refs/heads/{}:{TIP_REF}", self.branch);
        let fetch =
            ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", &self.remote, &refspec];
        let ask = |doing, args: &[&str]| {
            self.git.ask(doing, args.iter().copied()).map_err(PushRegistryError::Git)
        };
        ask("fetch the branch of the registry", &fetch)?;
        let commit = ask("find the branch's tip", &["rev-parse", "--verify", TIP_REF])?;
        let listed = ask("look for the registry", &["ls-tree", &commit, "--", REGISTRY_FILE])?;
        if listed.is_empty() {
            return Ok(Tip { commit, text: None });
        }
        let blob = format!("{commit}:{REGISTRY_FILE}");
        let text = ask("read the registry", &["cat-file", "blob", &blob])?;
        // `ask` took one newline away.
        Ok(Tip { commit, text: Some(format!("{text}\n")) })
    }

    /// Makes a commit with the new registry on `tip`, beside whatever is checked out.
    fn commit(&self, tip: &Tip, text: &str, message: &str) -> Result<String, PushRegistryError> {
        let scratch = |source| PushRegistryError::Scratch { source };
        let dir = tempfile::tempdir().map_err(scratch)?;
        let file = |name: &str, content: &str| -> Result<String, PushRegistryError> {
            let path: PathBuf = dir.path().join(name);
            fs_err::write(&path, content).map_err(scratch)?;
            Ok(path.to_string_lossy().into_owned())
        };
        let (content, message) = (file("registry", text)?, file("message", message)?);
        let index = dir.path().join("index");
        let ask = |args: &[&str]| {
            let command = self.git.command(args.iter().copied()).env("GIT_INDEX_FILE", &index);
            self.git
                .run("make the commit of the registry", &command)
                .map_err(PushRegistryError::Git)
        };
        let blob = ask(&["hash-object", "-w", "--no-filters", &content])?;
        ask(&["read-tree", &tip.commit])?;
        let entry = format!("100644,{blob},{REGISTRY_FILE}");
        ask(&["update-index", "--add", "--cacheinfo", &entry])?;
        let tree = ask(&["write-tree"])?;
        ask(&["commit-tree", &tree, "-p", &tip.commit, "-F", &message])
    }

    fn push_commit(&self, commit: &str, branch: &str) -> Result<(), GitError> {
        let refspec = format!("{commit}:refs/heads/{branch}");
        let push = ["push", "--quiet", "--no-follow-tags", &self.remote, &refspec];
        self.git.ask("push the registry", push).map(drop)
    }

    /// Puts the commit on a branch of its own: a person can make a pull request of it.
    fn propose(
        &self,
        id: String,
        reason: String,
        refused: GitError,
    ) -> Result<Pushed, PushRegistryError> {
        let branch = format!("registry-{}", id.get(..12).unwrap_or(&id));
        match self.push_commit(&id, &branch) {
            Ok(()) => Ok(Pushed::Proposed { id, branch, reason }),
            // Whoever may not push at all hears why the first push was refused.
            Err(_also_refused) => Err(PushRegistryError::Refused { reason, source: refused }),
        }
    }
}

/// Tells a lost race from a refusal, by what git says (`gitprotocol-pack`, `builtin/receive-pack.c`).
fn rejection(error: &ToolError) -> Rejection {
    const RACES: [&str; 6] = [
        "fetch first",
        "non-fast-forward",
        "stale info",
        "cannot lock ref",
        "failed to update ref",
        "incorrect old value provided",
    ];
    const REFUSALS: [&str; 8] = [
        "error: 403",
        "error: 401",
        "Authentication failed",
        "Permission denied",
        "Permission to",
        "could not read Username",
        "could not read Password",
        "does not appear to be a git repository",
    ];
    let ToolError::Failed { stderr, .. } = error else {
        return Rejection::Refusal(error.to_string());
    };
    let rejected = stderr.lines().find(|line| line.trim_start().starts_with("! ["));
    match rejected {
        Some(line) if RACES.iter().any(|race| line.contains(race)) => Rejection::Race,
        // The remote's own words (`GH006: Protected branch update failed`) stand above the line.
        Some(_) => Rejection::Refusal(stderr.trim().to_owned()),
        None if REFUSALS.iter().any(|refusal| stderr.contains(refusal)) => {
            Rejection::Refusal(stderr.trim().to_owned())
        }
        None => Rejection::Transport,
    }
}

impl fmt::Debug for Change<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change").field("message", &self.message).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(stderr: &str) -> Rejection {
        use std::os::unix::process::ExitStatusExt;
        let status = std::process::ExitStatus::from_raw(256);
        let command = "git push".to_owned();
        rejection(&ToolError::Failed { command, status, stderr: stderr.to_owned() })
    }

    #[test]
    fn races_are_told_from_refusals() {
        let rejected =
            |why| format!("To /r\n ! [rejected]        x -> main ({why})\nerror: failed to push");
        let remote =
            |why| format!("To /r\n ! [remote rejected] x -> main ({why})\nerror: failed to push");
        for race in [
            rejected("fetch first"),
            rejected("non-fast-forward"),
            remote("cannot lock ref 'refs/heads/main': is at 1 but expected 2"),
            remote("incorrect old value provided"),
        ] {
            assert_eq!(said(&race), Rejection::Race, "{race}");
        }
        for refusal in [
            format!(
                "remote: error: GH006: Protected branch update failed\n{}",
                remote("protected branch hook declined")
            ),
            remote("pre-receive hook declined"),
            "fatal: unable to access 'https://h/': The requested URL returned error: 403"
                .to_owned(),
        ] {
            assert_eq!(said(&refusal), Rejection::Refusal(refusal.clone()));
        }
        assert_eq!(
            said("fatal: unable to access: Could not resolve host: h"),
            Rejection::Transport
        );
    }

    #[test]
    fn waiting_grows_and_is_bounded() {
        let backoff = Backoff { first: Duration::from_millis(1), max: Duration::from_millis(40) };
        for tries in 1..40 {
            assert!(backoff.delay(tries) < Duration::from_millis(40));
            assert!(backoff.delay(1) < Duration::from_millis(2));
        }
    }
}
