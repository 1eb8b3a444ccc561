//! Findings as SARIF 2.1.0, which code scanning reads.

use rnx_spec::diagnostic::{Diagnostic, Span};
use serde_json::{Value, json};
use xtask::explain;
use xtask::validate::{FileReport, Report};

use super::machine::severity;
use super::{files, place, slashed};

/// Returns one SARIF log.
pub(super) fn render(report: &Report) -> String {
    let rules: Vec<Value> = explain::all()
        .into_iter()
        .map(|explanation| {
            json!({
                "id": explanation.code.to_string(),
                "shortDescription": {"text": explanation.title},
                "fullDescription": {"text": explanation.text},
            })
        })
        .collect();
    let results: Vec<Value> = files(report)
        .flat_map(|file| file.diagnostics.iter().map(move |finding| result(file, finding)))
        .collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "xtask validate",
                "version": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{log:#}\n")
}

fn result(file: &FileReport, finding: &Diagnostic) -> Value {
    let artifact = json!({"uri": uri(&slashed(&file.path))});
    let mut location = json!({"artifactLocation": artifact});
    if let Some(span) = &finding.span {
        location["region"] = region(&file.text, span);
    }
    let help = finding.help.as_ref().map(|help| format!("\nhelp: {help}")).unwrap_or_default();
    let mut result = json!({
        "ruleId": finding.code.to_string(),
        "level": severity(finding),
        "message": {"text": format!("{}{help}", finding.message)},
        "locations": [{"physicalLocation": location}],
    });
    if let Some(fix) = &finding.fix {
        result["fixes"] = json!([{
            "artifactChanges": [{
                "artifactLocation": artifact,
                "replacements": [{
                    "deletedRegion": region(&file.text, &fix.span),
                    "insertedContent": {"text": fix.replacement},
                }],
            }],
        }]);
    }
    result
}

fn region(text: &str, span: &Span) -> Value {
    let (start, end) = (place(text, span.0.start), place(text, span.0.end));
    json!({
        "startLine": start.line,
        "startColumn": start.column,
        "endLine": end.line,
        "endColumn": end.column,
    })
}

/// Percent-encodes a path for a URI reference.
fn uri(path: &str) -> String {
    path.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}
