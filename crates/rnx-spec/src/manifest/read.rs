//! Reads nodes as texts, lists, maps and numbers; what is something else is reported.

use std::ops::{Range, RangeInclusive};

use super::report::{Report, replace};
use super::rules;
use super::syntax::{Key, Node, Plain, Value};
use crate::diagnostic::codes;

/// Reads a text. An unquoted number or boolean is an error with a fix: readers would change it.
pub(super) fn text(report: &mut Report<'_>, node: &Node, what: &str) -> Option<String> {
    match &node.value {
        Value::Text(text) => return Some(text.clone()),
        Value::Plain(Plain::Null, _) => {
            report.error(codes::WRONG_TYPE, &node.span, format!("{what} has no value"));
        }
        Value::Plain(plain, text) => {
            let kind = if *plain == Plain::Bool { "boolean" } else { "number" };
            let lost = rules::lost_as_number(text).filter(|_| *plain == Plain::Number);
            let becomes = lost.map(|lost| format!(", and becomes `{lost}`")).unwrap_or_default();
            let message = format!("{what} is a text, but `{text}` is read as a {kind}{becomes}");
            let finding = report.error(codes::UNQUOTED_TEXT, &node.span, message);
            finding.help = Some(format!("quote it: `\"{text}\"`"));
            finding.fix = Some(replace(&node.span, format!("\"{text}\"")));
        }
        Value::List(_) | Value::Map(_) => wrong_type(report, node, what, "a text"),
    }
    None
}

/// Reads a list.
pub(super) fn list<'n>(report: &mut Report<'_>, node: &'n Node, what: &str) -> Option<&'n [Node]> {
    if let Value::List(items) = &node.value {
        return Some(items);
    }
    wrong_type(report, node, what, "a list");
    None
}

/// Reads a list of texts.
pub(super) fn texts(report: &mut Report<'_>, node: &Node, what: &str) -> Vec<String> {
    let items = list(report, node, what).unwrap_or_default();
    items.iter().filter_map(|item| text(report, item, &format!("an item of {what}"))).collect()
}

/// Reads a map.
pub(super) fn map<'n>(
    report: &mut Report<'_>,
    node: &'n Node,
    what: &str,
) -> Option<&'n [(Key, Node)]> {
    if let Value::Map(entries) = &node.value {
        return Some(entries);
    }
    wrong_type(report, node, what, "a map");
    None
}

/// Reads a whole number within `range`; one outside is reported as `code`.
pub(super) fn integer(
    report: &mut Report<'_>,
    node: &Node,
    what: &str,
    range: RangeInclusive<u64>,
) -> Option<u64> {
    let number = match &node.value {
        Value::Plain(Plain::Number, text) => text.parse().ok(),
        _ => None,
    };
    let number = number.filter(|number| range.contains(number));
    if number.is_none() {
        let (least, most) = range.into_inner();
        let message = format!("{what} is a whole number from {least} to {most}");
        report.error(codes::WRONG_TYPE, &node.span, message);
    }
    number
}

/// Reports a key that is none of `known`, in a map where only those have a meaning.
pub(super) fn unknown_key(
    report: &mut Report<'_>,
    key: &Key,
    known: &[&str],
    entries: &[(Key, Node)],
) {
    if misspelt_key(report, key, known, entries) {
        return;
    }
    let message = format!("unknown key `{}`", key.text);
    let known = known.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
    report.error(codes::UNKNOWN_KEY, &key.span, message).help =
        Some(format!("the keys here are {known}"));
}

/// Reports a key that is near one of `known`, and tells whether it is.
pub(super) fn misspelt_key(
    report: &mut Report<'_>,
    key: &Key,
    known: &[&str],
    entries: &[(Key, Node)],
) -> bool {
    let Some(meant) = rules::near(&key.text, known) else { return false };
    let message = format!("unknown key `{}`; did you mean `{meant}`?", key.text);
    let taken = entries.iter().any(|(other, _)| other.text == meant);
    let finding = report.error(codes::MISSPELT_KEY, &key.span, message);
    if taken {
        finding.help = Some(format!("`{meant}` is here too: remove this one, or rename it"));
    } else {
        finding.help = Some(format!("rename it to `{meant}`"));
        finding.fix = Some(replace(&key.span, meant));
    }
    true
}

/// Reports a value of the wrong type.
pub(super) fn wrong_type(report: &mut Report<'_>, node: &Node, what: &str, expected: &str) {
    let found = match &node.value {
        Value::Text(_) => "a text",
        Value::Plain(Plain::Null, _) => "nothing",
        Value::Plain(Plain::Bool, _) => "a boolean",
        Value::Plain(Plain::Number, _) => "a number",
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
    };
    let message = format!("{what} must be {expected}, not {found}");
    report.error(codes::WRONG_TYPE, &node.span, message);
}

/// Reports a missing key of a map that begins at `span`.
pub(super) fn missing(report: &mut Report<'_>, span: &Range<usize>, what: &str, key: &str) {
    report.error(codes::MISSING_KEY, span, format!("{what} has no `{key}`"));
}
