//! Findings about files that people write: a code, a place, and what to do.

pub mod codes;

use std::fmt;
use std::ops::Range;

/// A stable code of a finding, for example `RT0101`. `xtask explain RT0101` tells more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u16);

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Never blocks, unless `--strict`.
    Warning,
    /// Blocks a build and a release.
    Error,
}

/// A range of bytes in a file's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span(pub Range<usize>);

/// One finding about one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub code: Code,
    pub severity: Severity,
    /// What is wrong, in one lower-case sentence without a period.
    pub message: String,
    /// Where; `None` for a finding about the whole file.
    pub span: Option<Span>,
    /// What to do next.
    pub help: Option<String>,
    /// The change that `--fix` makes, where there is one right answer.
    pub fix: Option<Fix>,
}

/// A replacement of a range of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    pub span: Span,
    pub replacement: String,
}

/// What was read from a text, and everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed<T> {
    /// `None` if an error stands in the way of a value.
    pub value: Option<T>,
    pub diagnostics: Vec<Diagnostic>,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RT{:04}", self.0)
    }
}
