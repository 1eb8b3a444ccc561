//! Findings for programs: JSON, and the annotations of GitHub Actions.

use rnx_spec::diagnostic::{Diagnostic, Severity, Span};
use serde_json::{Value, json};
use xtask::validate::{DefinitionReport, FileReport, Report};

use super::{files, place, slashed};

/// Returns one JSON document.
pub(super) fn json(report: &Report) -> String {
    let document = json!({
        "schema_version": 1,
        "errors": report.count(Severity::Error),
        "warnings": report.count(Severity::Warning),
        "runtimes": report.definitions.iter().map(definition).collect::<Vec<_>>(),
        "findings": report.shared.iter().flat_map(findings).collect::<Vec<_>>(),
    });
    format!("{document:#}\n")
}

fn definition(report: &DefinitionReport) -> Value {
    json!({
        "folder": report.folder,
        "name": report.name,
        "version": report.version,
        "setup_scripts": report.setup_scripts,
        "findings": report.files.iter().flat_map(findings).collect::<Vec<_>>(),
    })
}

fn findings(file: &FileReport) -> Vec<Value> {
    file.diagnostics.iter().map(|finding| json_finding(file, finding)).collect()
}

fn json_finding(file: &FileReport, finding: &Diagnostic) -> Value {
    let position = |offset: usize| {
        let place = place(&file.text, offset);
        json!({"line": place.line, "column": place.column, "byte": offset})
    };
    let range = |span: &Span| json!({"start": position(span.0.start), "end": position(span.0.end)});
    let fix = finding.fix.as_ref();
    json!({
        "code": finding.code.to_string(),
        "severity": severity(finding),
        "message": finding.message,
        "file": slashed(&file.path),
        "range": finding.span.as_ref().map(range),
        "help": finding.help,
        "fix": fix.map(|fix| json!({"range": range(&fix.span), "replacement": fix.replacement})),
    })
}

/// Returns the name of the severity that JSON, GitHub and SARIF share.
pub(super) fn severity(finding: &Diagnostic) -> &'static str {
    match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// Returns a workflow command per finding.
pub(super) fn github(report: &Report) -> String {
    files(report)
        .flat_map(|file| file.diagnostics.iter().map(move |finding| command(file, finding)))
        .collect()
}

fn command(file: &FileReport, finding: &Diagnostic) -> String {
    let path = property(&slashed(&file.path));
    let range = finding.span.as_ref().map(|span| {
        let (start, end) = (place(&file.text, span.0.start), place(&file.text, span.0.end));
        format!(
            ",line={},endLine={},col={},endColumn={}",
            start.line, end.line, start.column, end.column
        )
    });
    let help = finding.help.as_ref().map(|help| format!("\nhelp: {help}"));
    let message = data(&format!("{}{}", finding.message, help.unwrap_or_default()));
    let (severity, range, code) = (severity(finding), range.unwrap_or_default(), finding.code);
    format!("::{severity} file={path}{range},title={code}::{message}\n")
}

/// Escapes the text of a workflow command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes a property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
