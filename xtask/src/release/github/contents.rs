//! References, contents and pull requests: the way of a registry that nobody may push.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::{ForgeError, GitHub, ReferenceJson, encoded};

/// A change of one file that a person is asked to merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The branch that is to get the change.
    pub base: String,
    /// The branch that carries the change; made anew where it is there.
    pub branch: String,
    /// The file's path, and what it is to hold.
    pub file: String,
    pub content: Vec<u8>,
    /// The message of the commit, and the title of the pull request.
    pub title: String,
    /// In Markdown.
    pub text: String,
}

#[derive(Debug, Deserialize)]
struct PullJson {
    html_url: String,
}

#[derive(Debug, Deserialize)]
struct ContentJson {
    sha: String,
}

impl GitHub {
    /// Returns the commit that a branch is at.
    pub fn branch_commit(&self, branch: &str) -> Result<String, ForgeError> {
        let doing = format!("read the branch `{branch}`");
        let path = format!("/git/ref/{}", encoded(&format!("heads/{branch}")));
        let found = self.call(&doing, Method::GET, &path, None)?;
        Ok(found.parsed::<ReferenceJson>(&doing)?.object.sha)
    }

    /// Lets a branch be at `commit`, whether or not there was one; what it had is not kept.
    pub fn set_branch(&self, branch: &str, commit: &str) -> Result<(), ForgeError> {
        match self.create_branch(branch, commit) {
            // GitHub's answer for one that exists.
            Err(ForgeError::Answered { status: 422, .. }) => self.move_branch(branch, commit),
            other => other,
        }
    }

    /// Makes a branch.
    pub fn create_branch(&self, branch: &str, commit: &str) -> Result<(), ForgeError> {
        let doing = format!("make the branch `{branch}`");
        let body = json!({"ref": format!("refs/heads/{branch}"), "sha": commit});
        self.call(&doing, Method::POST, "/git/refs", Some(&body)).map(drop)
    }

    /// Moves a branch, backwards too.
    pub fn move_branch(&self, branch: &str, commit: &str) -> Result<(), ForgeError> {
        let doing = format!("move the branch `{branch}`");
        let path = format!("/git/refs/{}", encoded(&format!("heads/{branch}")));
        let body = json!({"sha": commit, "force": true});
        self.call(&doing, Method::PATCH, &path, Some(&body)).map(drop)
    }

    /// Deletes a branch.
    pub fn delete_branch(&self, branch: &str) -> Result<(), ForgeError> {
        let doing = format!("delete the branch `{branch}`");
        let path = format!("/git/refs/{}", encoded(&format!("heads/{branch}")));
        self.call(&doing, Method::DELETE, &path, None).map(drop)
    }

    /// Commits a file on a branch, whatever it held.
    pub fn put_file(
        &self,
        branch: &str,
        file: &str,
        content: &[u8],
        message: &str,
    ) -> Result<(), ForgeError> {
        let doing = format!("commit `{file}` on the branch `{branch}`");
        let place = format!("/contents/{}", encoded(file));
        let query = format!("{place}?ref={}", encoded(branch));
        let mut body =
            json!({"message": message, "content": BASE64.encode(content), "branch": branch});
        match self.call(&doing, Method::GET, &query, None) {
            // A new file is committed without saying what it replaces.
            Err(ForgeError::Answered { status: 404, .. }) => {}
            found => {
                let there: ContentJson = found?.parsed(&doing)?;
                body["sha"] = there.sha.into();
            }
        }
        self.call(&doing, Method::PUT, &place, Some(&body)).map(drop)
    }

    /// Puts a change on a branch of its own and opens a pull request for it; returns the request's page.
    ///
    /// A request that is open for the branch already is the answer too, so this can be repeated.
    pub fn propose(&self, proposal: &Proposal) -> Result<String, ForgeError> {
        let base = self.branch_commit(&proposal.base)?;
        self.set_branch(&proposal.branch, &base)?;
        self.put_file(&proposal.branch, &proposal.file, &proposal.content, &proposal.title)?;
        self.open_pull(&proposal.base, &proposal.branch, &proposal.title, &proposal.text)
    }

    /// Opens a pull request, or returns the one that is open.
    pub fn open_pull(
        &self,
        base: &str,
        branch: &str,
        title: &str,
        text: &str,
    ) -> Result<String, ForgeError> {
        let doing = format!("open a pull request for `{branch}`");
        let body = json!({"title": title, "head": branch, "base": base, "body": text});
        match self.call(&doing, Method::POST, "/pulls", Some(&body)) {
            Err(ForgeError::Answered { status: 422, .. }) => {
                let head = encoded(&format!("{}:{branch}", self.account.repository.owner()));
                let query = format!("/pulls?state=open&head={head}");
                let open: Vec<PullJson> =
                    self.call(&doing, Method::GET, &query, None)?.parsed(&doing)?;
                let first = open.into_iter().next();
                first.map(|pull| pull.html_url).ok_or(ForgeError::NotListed { what: doing })
            }
            other => Ok(other?.parsed::<PullJson>(&doing)?.html_url),
        }
    }
}
