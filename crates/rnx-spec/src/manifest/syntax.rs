//! The notation: text → nodes with their places. The only module that knows YAML.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_saphyr::granit_parser::{
    Event, Options, Parser, ScalarStyle, ScanError, Span as YamlSpan, StrInput,
};

use super::report::Report;
use crate::diagnostic::codes;

/// A manifest with more nodes than this, aliases counted as often as they are used, is not read.
const NODES_MAX: usize = 20_000;
/// The deepest nesting that is read.
const DEPTH_MAX: usize = 32;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    /// Written without quotes, and read as this by YAML.
    Plain(Plain, String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// What YAML's core schema reads an unquoted scalar as, where it is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plain {
    Null,
    Bool,
    Number,
}

#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) span: Range<usize>,
}

/// A collection that is being read.
struct Open {
    anchor: usize,
    node: Node,
    /// The key whose value comes next.
    key: Option<Key>,
}

/// What was read so far.
struct Tree<'r, 't> {
    report: &'r mut Report<'t>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
}

/// Nothing more can be read; the reason is already reported.
struct Stop;

/// Reads one document. Duplicate keys are reported, and the first one counts.
pub(super) fn parse(text: &str, report: &mut Report<'_>) -> Option<Node> {
    let mut options = Options::default();
    options.emit_comments = false;
    options.flow_nesting_limit = DEPTH_MAX;
    options.block_nesting_limit = DEPTH_MAX;
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut tree =
        Tree { report, open: Vec::new(), anchors: BTreeMap::new(), nodes: 0, root: None };
    match tree.read(&mut parser) {
        Ok(()) => tree.root,
        Err(Stop) => None,
    }
}

impl Tree<'_, '_> {
    fn read<'y>(&mut self, parser: &mut Parser<'y, StrInput<'y>>) -> Result<(), Stop> {
        let mut documents = 0;
        for next in parser {
            let (event, span) = next.map_err(|error| self.syntax_error(&error))?;
            let range = span.byte_range().unwrap_or_default();
            match event {
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents > 1 {
                        let message = "a manifest is one YAML document, and here begins another";
                        self.report.error(codes::SEVERAL_DOCUMENTS, &range, message);
                        return Err(Stop);
                    }
                }
                Event::Scalar(value, style, anchor, tag) => {
                    let quoted = style != ScalarStyle::Plain
                        || tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
                    let value = scalar(value.into_owned(), quoted);
                    self.add(anchor, Node { span: range, value })?;
                }
                Event::SequenceStart(_, anchor, _) => {
                    self.begin(anchor, &span, Value::List(Vec::new()))?;
                }
                Event::MappingStart(_, anchor, _) => {
                    self.begin(anchor, &span, Value::Map(Vec::new()))?;
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    if let Some(Open { anchor, mut node, .. }) = self.open.pop() {
                        node.span.end = node.span.end.max(range.end);
                        self.add(anchor, node)?;
                    }
                }
                Event::Alias(anchor) => {
                    // An anchor that is still open would hold itself.
                    let Some(node) = self.anchors.get(&anchor).cloned() else {
                        let message = "an alias cannot stand inside the value that it names";
                        self.report.error(codes::YAML_SYNTAX, &range, message);
                        return Err(Stop);
                    };
                    self.count(size(&node), &range)?;
                    self.add(0, Node { span: range, value: node.value })?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn begin(&mut self, anchor: usize, span: &YamlSpan, value: Value) -> Result<(), Stop> {
        let span = span.byte_range().unwrap_or_default();
        self.count(1, &span)?;
        self.open.push(Open { anchor, node: Node { span, value }, key: None });
        Ok(())
    }

    /// Adds a finished node to the collection that is open.
    fn add(&mut self, anchor: usize, node: Node) -> Result<(), Stop> {
        self.count(1, &node.span)?;
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match (&mut open.node.value, open.key.take()) {
            (Value::List(items), _) => items.push(node),
            (Value::Map(entries), Some(key)) => {
                let Some((first, _)) = entries.iter().find(|(other, _)| other.text == key.text)
                else {
                    entries.push((key, node));
                    return Ok(());
                };
                let line = self.report.line(first.span.start);
                let message = format!("the key `{}` stands here twice", key.text);
                self.report.error(codes::DUPLICATE_KEY, &key.span, message).help =
                    Some(format!("line {line} has it first: keep one of the two"));
            }
            (Value::Map(_), None) => match node.value {
                Value::Text(text) | Value::Plain(_, text) if text != "<<" => {
                    open.key = Some(Key { text, span: node.span });
                }
                _ => {
                    let message = "a key must be a plain text; lists, maps and `<<` are not read";
                    self.report.error(codes::YAML_SYNTAX, &node.span, message);
                    return Err(Stop);
                }
            },
            (Value::Text(_) | Value::Plain(..), _) => {}
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize, span: &Range<usize>) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes <= NODES_MAX {
            return Ok(());
        }
        let message =
            format!("the manifest has more than {NODES_MAX} values, aliases counted at each use");
        self.report.error(codes::YAML_BUDGET, span, message);
        Err(Stop)
    }

    fn syntax_error(&mut self, error: &ScanError) -> Stop {
        let start = error.marker().byte_offset().unwrap_or(0);
        let info = error.info();
        let code = if info.contains("limit") { codes::YAML_BUDGET } else { codes::YAML_SYNTAX };
        self.report.error(code, &(start..start), format!("this is not YAML: {info}"));
        Stop
    }
}

fn size(node: &Node) -> usize {
    match &node.value {
        Value::Text(_) | Value::Plain(..) => 1,
        Value::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Map(entries) => 1 + entries.iter().map(|(_, node)| 1 + size(node)).sum::<usize>(),
    }
}

fn scalar(text: String, quoted: bool) -> Value {
    if quoted {
        return Value::Text(text);
    }
    let plain = match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => Plain::Null,
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => Plain::Bool,
        _ if is_number(&text) => Plain::Number,
        _ => return Value::Text(text),
    };
    Value::Plain(plain, text)
}

/// Tells whether YAML's core schema reads this as an integer or a float.
fn is_number(text: &str) -> bool {
    let digits = |text: &str, radix| !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    if let Some(octal) = text.strip_prefix("0o") {
        return digits(octal, 8);
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return digits(hex, 16);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let exponent_is_number =
        exponent.is_none_or(|e| digits(e.strip_prefix(['-', '+']).unwrap_or(e), 10));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let whole_and_fraction =
        if whole.is_empty() { digits(fraction, 10) } else { digits(whole, 10) };
    exponent_is_number && whole_and_fraction && (fraction.is_empty() || digits(fraction, 10))
}
