//! Makes the changes that have one right answer.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rnx_spec::diagnostic::{Diagnostic, Fix, codes};
use rnx_spec::manifest;

use super::{FileReport, Report};

/// How often a file is rewritten: one fix can lay open another.
const ROUNDS_MAX: usize = 8;

/// A change that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Relative to the repository.
    pub path: PathBuf,
    /// What was wrong.
    pub message: String,
}

/// A file could not be changed.
#[derive(Debug, thiserror::Error)]
#[error("failed to change `{}`", path.display())]
pub struct FixError {
    pub path: PathBuf,
    pub source: io::Error,
}

/// Changes the files of a report where there is one right answer, and returns what was changed.
pub fn apply(repo: &Path, report: &Report) -> Result<Vec<Change>, FixError> {
    let mut changes = Vec::new();
    for file in report.files() {
        let made =
            apply_to(repo, file).map_err(|source| FixError { path: file.path.clone(), source })?;
        let path = &file.path;
        changes.extend(made.into_iter().map(|message| Change { path: path.clone(), message }));
    }
    Ok(changes)
}

fn apply_to(repo: &Path, file: &FileReport) -> io::Result<Vec<String>> {
    // A link within the repository stays a link: its target is changed.
    let path = fs_err::canonicalize(repo.join(&file.path))?;
    let mut made = Vec::new();
    if let Some(finding) = file.diagnostics.iter().find(|d| d.code == codes::SCRIPT_NOT_EXECUTABLE)
    {
        let mode = fs_err::metadata(&path)?.permissions().mode();
        // Whoever may read it may execute it.
        fs_err::set_permissions(&path, PermissionsExt::from_mode(mode | ((mode & 0o444) >> 2)))?;
        made.push(finding.message.clone());
    }
    if file.path.file_name().is_some_and(|name| name == "manifest.yaml") {
        let (text, fixed) = fixed(&file.text);
        if !fixed.is_empty() {
            write(&path, &text)?;
            made.extend(fixed);
        }
    }
    Ok(made)
}

/// Returns a manifest with every fix made that left fewer errors, and the messages of what was fixed.
pub fn fixed(text: &str) -> (String, Vec<String>) {
    let mut text = text.to_owned();
    let mut made = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let diagnostics = manifest::parse(&text).diagnostics;
        let (candidate, messages) = rewrite(&text, &diagnostics);
        let left = manifest::parse(&candidate).diagnostics;
        if messages.is_empty() || !improves(&messages, &diagnostics, &left) {
            break;
        }
        text = candidate;
        made.extend(messages);
    }
    (text, made)
}

/// A fix must make its finding go away and must not make the file unreadable. What it lays open may be anything:
/// a key is read only once it is spelt right.
fn improves(made: &[String], before: &[Diagnostic], after: &[Diagnostic]) -> bool {
    let unreadable = |all: &[Diagnostic]| {
        all.iter().any(|d| {
            [codes::YAML_SYNTAX, codes::YAML_BUDGET, codes::DUPLICATE_KEY].contains(&d.code)
        })
    };
    let gone = made.iter().all(|message| after.iter().all(|d| d.message != *message));
    gone && (unreadable(before) || !unreadable(after))
}

fn rewrite(text: &str, diagnostics: &[Diagnostic]) -> (String, Vec<String>) {
    let mut fixes: Vec<(&Fix, &str)> =
        diagnostics.iter().filter_map(|d| Some((d.fix.as_ref()?, d.message.as_str()))).collect();
    fixes.sort_by_key(|(fix, _)| std::cmp::Reverse(fix.span.0.start));
    let mut candidate = text.to_owned();
    let mut messages = Vec::new();
    let mut free_until = text.len();
    for (fix, message) in fixes {
        let range = fix.span.0.clone();
        if range.end > free_until {
            continue;
        }
        free_until = range.start;
        candidate.replace_range(range, &fix.replacement);
        messages.push(message.to_owned());
    }
    messages.reverse();
    (candidate, messages)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let dir = path.parent().unwrap_or_else(|| Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(text.as_bytes())?;
    fs_err::set_permissions(file.path(), fs_err::metadata(path)?.permissions())?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}
