//! A clone, asked and changed through the `git` program. ⚡
//!
//! The program rather than a library: pushing needs people's ssh agents, credential helpers and signing keys anyway,
//! and what is asked here is asked once per command.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::tool::{self, Invocation, ToolError};

/// A clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Git {
    dir: PathBuf,
    /// The variable of this process's environment that holds a token for `https://` remotes.
    token_env: Option<&'static str>,
}

/// What a remote has, as `git ls-remote` lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoteRefs {
    /// The branch that the remote's `HEAD` names, without `refs/heads/`.
    pub default_branch: Option<String>,
    /// The object of each reference, by full name; annotated tags by their own object.
    pub refs: BTreeMap<String, String>,
}

/// Git could not be asked, or refused.
#[derive(Debug, thiserror::Error)]
#[error("failed to {doing} in `{}`", dir.display())]
pub struct GitError {
    pub doing: &'static str,
    pub dir: PathBuf,
    pub source: ToolError,
}

impl Git {
    /// Returns the clone around `dir`.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), token_env: None }
    }

    /// Answers `https://` remotes with the token that this variable of the environment holds.
    ///
    /// The token itself is on no command line: git's helper reads the variable.
    #[must_use]
    pub fn with_token_from(mut self, variable: &'static str) -> Self {
        self.token_env = Some(variable);
        self
    }

    /// Returns the folder that git is run in.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns a command line of git in this clone, in no language but English.
    pub fn command<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Invocation {
        let mut command = Invocation::new("git").arg("-C").arg(&self.dir);
        if let Some(variable) = self.token_env {
            let helper = format!(
                "credential.helper=!f() {{ test \"$1\" = get && printf 'username=x-access-token\\npassword=%s\\n' \"${variable}\"; }}; f"
            );
            command = command.args(["-c", "credential.helper=", "-c", helper.as_str()]);
        }
        command.args(args.into_iter().map(str::to_owned)).env("LC_ALL", "C")
    }

    /// Runs git and returns what it printed, without the final newline.
    pub fn ask<'a>(
        &self,
        doing: &'static str,
        args: impl IntoIterator<Item = &'a str>,
    ) -> Result<String, GitError> {
        self.run(doing, &self.command(args))
    }

    /// Runs a command line of [`Self::command`] and returns what it printed, without the final newline.
    pub fn run(&self, doing: &'static str, command: &Invocation) -> Result<String, GitError> {
        let output = tool::run(command).map_err(|source| self.error(doing, source))?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
    }

    /// Says that git, asked to do something, failed so.
    pub fn error(&self, doing: &'static str, source: ToolError) -> GitError {
        GitError { doing, dir: self.dir.clone(), source }
    }

    /// Returns what the remote has: one question over the network.
    pub fn remote_refs(&self, remote: &str) -> Result<RemoteRefs, GitError> {
        let listed = self.ask("list what the remote has", ["ls-remote", "--symref", remote])?;
        Ok(parse_remote_refs(&listed))
    }
}

fn parse_remote_refs(listed: &str) -> RemoteRefs {
    let mut found = RemoteRefs::default();
    for (value, name) in listed.lines().filter_map(|line| line.split_once('\t')) {
        match value.strip_prefix("ref: refs/heads/") {
            Some(branch) if name == "HEAD" => found.default_branch = Some(branch.to_owned()),
            Some(_) => {}
            None => {
                found.refs.insert(name.to_owned(), value.to_owned());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_remote_lists_is_read() {
        let found = parse_remote_refs(
            "ref: refs/heads/trunk\tHEAD\n11\tHEAD\n11\trefs/heads/trunk\n22\trefs/tags/a@1.0.0\n11\trefs/tags/a@1.0.0^{}\n",
        );
        assert_eq!(found.default_branch.as_deref(), Some("trunk"));
        assert_eq!(found.refs["refs/tags/a@1.0.0"], "22");
        assert_eq!(found.refs["refs/heads/trunk"], "11");
    }

    #[test]
    fn a_token_is_on_no_command_line() {
        let git = Git::new(Path::new("/r")).with_token_from("GITHUB_TOKEN");
        let shown = git.command(["push"]).to_string();
        assert!(shown.contains("\"$GITHUB_TOKEN\""), "{shown}");
        assert!(!Git::new(Path::new("/r")).command(["push"]).to_string().contains("credential"));
    }
}
