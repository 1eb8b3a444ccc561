//! `xtask audit`: whether a built runtime is complete and clean.

use std::io::{self, Write};
use std::path::Path;

use anstyle::{AnsiColor, Style};
use rnx::failure::{ExitStatus, Failure};
use rnx::shown::shown;
use rnx_spec::diagnostic::Severity;
use rnx_spec::{Arch, Platform};
use serde_json::{Value, json};
use xtask::audit::target::{self, Target, TargetError};
use xtask::audit::{self, Finding, Options};

use crate::cli::{Global, repo};

/// Check that a built runtime is complete: every program starts, every library is found
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A runtime that is built in dist/, an archive, or a folder with runtime.yml
    #[arg(value_name = "NAME|FILE|DIR")]
    target: String,
    /// The platform it is for; known from the archive's name or from runtime.yml
    #[arg(long)]
    platform: Option<Platform>,
    /// A text that no file may hold, such as a path of the build host; can be repeated
    #[arg(long, value_name = "TEXT")]
    forbid: Vec<String>,
    /// How to print the findings
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Human,
    /// One JSON document
    Json,
}

/// Audits, and prints the findings.
pub(crate) fn run(args: &Args, global: &Global) -> Result<ExitStatus, Failure> {
    let repo = if Path::new(&args.target).exists() { None } else { Some(repo(global)?) };
    let targets = target::find(&args.target, repo.as_deref()).map_err(|error| failed(&error))?;
    let mut audited = Vec::new();
    for target in targets {
        let options = options(&target, args);
        let findings = audit::check(&target.root, &options)
            .map_err(|error| Failure::new(ExitStatus::Findings, &error))?;
        audited.push((target.name.display().to_string(), findings));
        target.close().map_err(|error| Failure::new(ExitStatus::Host, &error))?;
    }
    let mut out = io::BufWriter::new(anstream::stdout().lock());
    match args.format {
        Format::Human => human(&audited, &mut out),
        Format::Json => writeln!(out, "{:#}", document(&audited)),
    }
    .and_then(|()| out.flush())
    .or_else(|error| match error.kind() {
        // Whoever reads has read enough.
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(Failure::new(ExitStatus::Findings, &error)),
    })?;
    let errors: usize = audited.iter().map(|(_, found)| count(found, Severity::Error)).sum();
    Ok(if errors > 0 { ExitStatus::Findings } else { ExitStatus::Done })
}

fn options(target: &Target, args: &Args) -> Options {
    let host = Arch::from_machine(std::env::consts::ARCH).unwrap_or(Arch::Amd64);
    let named = args.platform.map(|platform| platform.arch);
    Options {
        arch: named.or(target.arch).unwrap_or(host),
        spec: target.spec.clone(),
        forbidden: args.forbid.iter().filter(|text| !text.is_empty()).cloned().collect(),
    }
}

pub(super) fn failed(error: &TargetError) -> Failure {
    let (status, hint) = match error {
        TargetError::Definition { .. } => {
            (ExitStatus::Usage, "name a definition, an archive or a folder with runtime.yml")
        }
        TargetError::NotBuilt { .. } => (ExitStatus::Findings, "`cargo xtask build` builds it"),
        TargetError::Temp { .. } => (ExitStatus::Host, "TMPDIR names another folder"),
        TargetError::Unpack { .. } => (ExitStatus::Integrity, "build or download it again"),
    };
    Failure::new(status, error).hint(hint)
}

fn human(audited: &[(String, Vec<Finding>)], out: &mut dyn Write) -> io::Result<()> {
    for (name, findings) in audited {
        for finding in findings {
            let (color, label) = match finding.severity {
                Severity::Error => (AnsiColor::Red, "error"),
                Severity::Warning => (AnsiColor::Yellow, "warning"),
            };
            let (style, code) = (Style::new().bold().fg_color(Some(color.into())), finding.code);
            let (path, message) = (shown(&finding.path), shown(&finding.message));
            writeln!(out, "{style}{label}[{code}]{style:#}: {path}: {message}")?;
        }
        let (errors, warnings) =
            (count(findings, Severity::Error), count(findings, Severity::Warning));
        writeln!(out, "{}: {errors} errors, {warnings} warnings", shown(name))?;
        if let Some(first) = findings.first() {
            writeln!(out, "`cargo xtask explain {}` tells more about a code", first.code)?;
        }
    }
    Ok(())
}

fn document(audited: &[(String, Vec<Finding>)]) -> Value {
    let finding = |finding: &Finding| {
        json!({
            "code": finding.code.to_string(),
            "severity": match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            "path": finding.path,
            "message": finding.message,
        })
    };
    let runtimes = audited.iter().map(|(name, findings)| {
        json!({"target": name, "findings": findings.iter().map(finding).collect::<Vec<_>>()})
    });
    json!({"schema_version": 1, "runtimes": runtimes.collect::<Vec<_>>()})
}

fn count(findings: &[Finding], severity: Severity) -> usize {
    findings.iter().filter(|finding| finding.severity == severity).count()
}
