//! Findings for people, drawn like those of the Rust compiler.

use std::io::{self, Write};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Patch, Renderer, Snippet};
use rnx_spec::diagnostic::{Diagnostic, Severity};
use xtask::validate::{DefinitionReport, FileReport, Report};

use super::{plain, slashed};

/// Writes everything, with styles that a pipe strips again.
pub(super) fn render(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    for file in &report.shared {
        findings(file, out)?;
    }
    for definition in &report.definitions {
        checked(definition, out)?;
        for file in &definition.files {
            findings(file, out)?;
        }
    }
    summary(report, out)
}

fn checked(report: &DefinitionReport, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "Checking: {}", plain(&report.folder))?;
    if let Some(name) = &report.name {
        writeln!(out, "  ✓ Runtime name valid: {name}")?;
    }
    if let Some(version) = &report.version {
        writeln!(out, "  ✓ Version format valid: {version}")?;
    }
    if report.setup_scripts > 0 {
        writeln!(out, "  ✓ Found {} setup script(s)", report.setup_scripts)?;
    }
    Ok(())
}

fn findings(file: &FileReport, out: &mut dyn Write) -> io::Result<()> {
    let renderer = Renderer::styled();
    let path = plain(&slashed(&file.path));
    for finding in &file.diagnostics {
        writeln!(out, "{}\n", renderer.render(&groups(finding, &path, &file.text)))?;
    }
    Ok(())
}

fn groups<'f>(finding: &'f Diagnostic, path: &'f str, text: &'f str) -> Vec<Group<'f>> {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(plain(&finding.message)).id(finding.code.to_string());
    let group = match &finding.span {
        Some(span) => title.element(
            Snippet::source(text)
                .path(path)
                .annotation(AnnotationKind::Primary.span(span.0.clone())),
        ),
        None => title.element(Origin::path(path)),
    };
    let Some(help) = &finding.help else { return vec![group] };
    let Some(fix) = &finding.fix else {
        return vec![group.element(Level::HELP.message(plain(help)))];
    };
    let patch = Patch::new(fix.span.0.clone(), fix.replacement.as_str());
    let suggestion = Level::HELP.secondary_title(plain(help));
    vec![group, suggestion.element(Snippet::source(text).path(path).patch(patch))]
}

fn summary(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let runtimes = report.definitions.len();
    let runtimes = format!("{runtimes} {}", if runtimes == 1 { "runtime" } else { "runtimes" });
    let (errors, warnings) = (report.count(Severity::Error), report.count(Severity::Warning));
    if errors + warnings == 0 {
        return writeln!(out, "\n✓ {runtimes} checked, nothing found");
    }
    writeln!(
        out,
        "\n{errors} error(s), {warnings} warning(s) in {runtimes}; `cargo xtask explain CODE` tells more"
    )
}
