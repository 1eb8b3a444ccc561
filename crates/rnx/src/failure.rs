//! How a command ends: the exit status, and what is said about a failure.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

/// The exit statuses of `rnx` and `xtask`; `rnx job run` passes the job's own through instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    Done = 0,
    /// Findings, or a failure that the user can fix.
    Findings = 1,
    /// Wrong usage of the command line.
    Usage = 2,
    Network = 3,
    /// A digest, signature or archive is not what it should be.
    Integrity = 4,
    /// The host cannot: a missing kernel feature, tool, space or permission.
    Host = 5,
    /// A bug of ours.
    Bug = 70,
}

impl ExitStatus {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Done,
        Self::Findings,
        Self::Usage,
        Self::Network,
        Self::Integrity,
        Self::Host,
        Self::Bug,
    ];

    /// Returns what a status means, for help texts.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Findings => {
                "findings, or a failure that you can fix: no such runtime, not installed, no token"
            }
            Self::Usage => "wrong usage of the command line, or of the configuration",
            Self::Network => "a server cannot be reached, or refuses",
            Self::Integrity => "a digest, an archive or a registry is not what it should be",
            Self::Host => "this host cannot: a missing kernel feature, space, or permission",
            Self::Bug => "a bug of this program",
        }
    }
}

/// A command that failed: why, and what to do next.
#[derive(Debug, Clone)]
pub struct Failure {
    pub status: ExitStatus,
    /// What failed; each line after the first is a cause of the one before.
    pub causes: Vec<String>,
    pub hints: Vec<String>,
}

impl Failure {
    /// Wraps an error with all its sources.
    pub fn new(status: ExitStatus, error: &dyn Error) -> Self {
        let mut causes = vec![error.to_string()];
        let mut next = error.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            // Some libraries repeat the source's text in their own.
            if !causes.last().is_some_and(|last| last.ends_with(&text)) {
                causes.push(text);
            }
            next = cause.source();
        }
        Self { status, causes, hints: Vec::new() }
    }

    /// Says something failed that has no error value.
    pub fn message(status: ExitStatus, message: impl Into<String>) -> Self {
        Self { status, causes: vec![message.into()], hints: Vec::new() }
    }

    /// Says the same of something that the command goes on without.
    pub fn as_warning(&self) -> String {
        self.to_string().replacen("error:", "warning:", 1)
    }

    /// Adds advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, cause) in self.causes.iter().enumerate() {
            let label = if index == 0 { "error" } else { "  cause" };
            writeln!(f, "{label}: {cause}")?;
        }
        for hint in &self.hints {
            writeln!(f, "hint: {hint}")?;
        }
        Ok(())
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}
