//! `xtask validate`: all findings of all definitions.
#![expect(clippy::print_stderr, reason = "what was fixed is told on standard error")]

mod human;
mod machine;
mod sarif;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rnx::failure::{ExitStatus, Failure};
use rnx_spec::diagnostic::Severity;
use xtask::validate::{self, FileReport, Report, SyntaxCache, ValidateError, fix};
use xtask::{definitions, host};

use crate::cli::{Global, repo};

/// Check definitions: manifests, folders and setup scripts
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The runtimes to check; all of them if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Fail on warnings too
    #[arg(long)]
    strict: bool,
    /// How to print the findings
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Make the changes that have one right answer
    #[arg(long)]
    fix: bool,
    /// Remember checked scripts here instead of in the user cache folder
    #[arg(long, value_name = "DIR", env = "RNX_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Human,
    /// One JSON document
    Json,
    /// Annotations of GitHub Actions
    Github,
    /// SARIF 2.1.0, for code scanning
    Sarif,
}

/// Validates, and prints the findings.
pub(crate) fn run(args: &Args, global: &Global) -> Result<ExitStatus, Failure> {
    let repo = repo(global)?;
    let cache = SyntaxCache { dir: cache_dir(args) };
    let mut report =
        validate::run(&repo, &args.names, &cache).map_err(|error| failure(&repo, &error))?;
    if args.fix {
        let changes = fix::apply(&repo, &report)
            .map_err(|error| Failure::new(ExitStatus::Findings, &error))?;
        for change in &changes {
            eprintln!("fixed {}: {}", change.path.display(), plain(&change.message));
        }
        if !changes.is_empty() {
            report = validate::run(&repo, &args.names, &cache)
                .map_err(|error| failure(&repo, &error))?;
        }
    }
    print(args.format, &report).map_err(|error| Failure::new(ExitStatus::Findings, &error))?;
    let failed =
        report.count(Severity::Error) > 0 || (args.strict && report.count(Severity::Warning) > 0);
    Ok(if failed { ExitStatus::Findings } else { ExitStatus::Done })
}

fn cache_dir(args: &Args) -> Option<PathBuf> {
    let user = || {
        let (xdg, home) = (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"));
        host::cache_dir(xdg.as_deref(), home.as_deref())
    };
    args.cache_dir.clone().or_else(user)
}

fn print(format: Format, report: &Report) -> io::Result<()> {
    let mut stdout = io::BufWriter::new(anstream::stdout().lock());
    let written = match format {
        Format::Human => human::render(report, &mut stdout),
        Format::Json => stdout.write_all(machine::json(report).as_bytes()),
        Format::Github => stdout.write_all(machine::github(report).as_bytes()),
        Format::Sarif => stdout.write_all(sarif::render(report).as_bytes()),
    };
    match written.and_then(|()| stdout.flush()) {
        // Whoever reads has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn failure(repo: &Path, error: &ValidateError) -> Failure {
    match error {
        ValidateError::List(_) => Failure::new(ExitStatus::Findings, error),
        ValidateError::NoSuchRuntime { name, .. } => {
            Failure::new(ExitStatus::Usage, error).hint(definitions::advice(repo, name))
        }
    }
}

/// Returns a text with its control characters written out: manifests can hold terminal sequences.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { plain.extend(c.escape_default()) } else { plain.push(c) }
    }
    plain
}

/// A place as editors count it: line and column from 1, the column in characters.
#[derive(Debug, Clone, Copy)]
struct Place {
    line: usize,
    column: usize,
}

fn place(text: &str, offset: usize) -> Place {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place { line: before.split('\n').count(), column: before[line_start..].chars().count() + 1 }
}

fn slashed(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn files(report: &Report) -> impl Iterator<Item = &FileReport> {
    report.files()
}
