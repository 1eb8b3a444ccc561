//! The manifest's lists and maps: `sources`, `environment`, `tests`, `limits`.

use std::collections::BTreeMap;

use regex::RegexBuilder;

use super::report::Report;
use super::syntax::{Key, Node, Value};
use super::{Limits, Need, RuntimeTest, Source, lower, read, rules};
use crate::diagnostic::codes;
use crate::{Digest, SourceUrl};

const SOURCE_KEYS: [&str; 5] = ["url", "sha256", "size_bytes", "file", "platforms"];
const TEST_KEYS: [&str; 6] = ["name", "run", "stdout", "status", "needs", "timeout_s"];
/// JSON's integers are exact up to here.
const SOURCE_BYTES_MAX: u64 = (1 << 53) - 1;
const LIMIT_KEYS: [&str; 5] =
    ["unpacked", "archive", "build_minutes", "build_disk", "build_processes"];

/// The seconds that a test may take if it does not say.
const TEST_TIMEOUT_S: u64 = 300;
/// A compiled regular expression may take this many bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// The limits of a manifest that sets none.
pub(super) const NO_LIMITS: Limits = Limits {
    unpacked_bytes_max: None,
    archive_bytes_max: None,
    build_minutes_max: 30,
    build_disk_bytes_max: 32 << 30,
    build_processes_max: 8192,
};

pub(super) fn sources(report: &mut Report<'_>, node: &Node) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    for item in read::list(report, node, "`sources`").unwrap_or_default() {
        let Some(source) = source(report, item) else { continue };
        let together = |other: &Source| {
            other.platforms.is_empty()
                || source.platforms.is_empty()
                || source.platforms.iter().any(|platform| other.platforms.contains(platform))
        };
        if sources.iter().any(|other| other.file == source.file && together(other)) {
            let message = format!("two sources have the file name `{}`", source.file);
            report.error(codes::SOURCE_FILE_INVALID, &item.span, message).help =
                Some("give one of them another `file`".to_owned());
        }
        sources.push(source);
    }
    sources
}

fn source(report: &mut Report<'_>, item: &Node) -> Option<Source> {
    let map = read::map(report, item, "a source")?;
    let url = get(map, "url");
    let sha256 = get(map, "sha256");
    if url.is_none() {
        read::missing(report, &item.span, "this source", "url");
    }
    if sha256.is_none() {
        let message = "this source has no `sha256`: what is fetched could be anything";
        report.error(codes::SOURCE_WITHOUT_DIGEST, &item.span, message).help =
            Some("add the digest that `sha256sum` prints for the file".to_owned());
    }
    let url = url.and_then(|node| {
        let text = read::text(report, node, "`url`")?;
        text.parse::<SourceUrl>()
            .map_err(|error| report.error(codes::SOURCE_URL_INVALID, &node.span, error.to_string()))
            .ok()
    });
    let sha256 = sha256.and_then(|node| {
        let text = read::text(report, node, "`sha256`")?;
        text.parse::<Digest>()
            .map_err(|e| report.error(codes::SOURCE_DIGEST_INVALID, &node.span, e.to_string()))
            .ok()
    });
    let size_bytes = get(map, "size_bytes")
        .and_then(|node| read::integer(report, node, "`size_bytes`", 1..=SOURCE_BYTES_MAX));
    let file = get(map, "file");
    let name = match file {
        Some(node) => read::text(report, node, "`file`"),
        None => url.as_ref().map(|url| url.file_name().to_owned()),
    };
    let name = name.filter(|name| {
        let good = !matches!(name.as_str(), "" | "." | "..")
            && !name.chars().any(|c| c == '/' || c.is_control());
        if !good {
            let message = format!("`{name}` cannot be a file name in `/joblet/sources`");
            let span = file.map_or(&item.span, |node| &node.span);
            report.error(codes::SOURCE_FILE_INVALID, span, message).help =
                Some("name the file: `file: …`".to_owned());
        }
        good
    });
    let platforms = get(map, "platforms")
        .map(|node| lower::platforms(report, node, "`platforms`"))
        .unwrap_or_default();
    refuse_unknown(report, map, &SOURCE_KEYS);
    Some(Source { url: url?, sha256: sha256?, size_bytes, file: name?, platforms })
}

pub(super) fn environment(report: &mut Report<'_>, node: &Node) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    for (key, node) in read::map(report, node, "`environment`").unwrap_or_default() {
        if !rules::is_variable(&key.text) {
            let message = format!(
                "`{}` cannot name a variable: letters, digits and `_`, no digit first",
                key.text
            );
            report.error(codes::ENVIRONMENT_INVALID, &key.span, message);
        }
        let what = format!("`{}`", key.text);
        let Some(value) = read::text(report, node, &what) else { continue };
        if value.contains('\0') {
            let message = format!("the value of {what} holds a NUL character");
            report.error(codes::ENVIRONMENT_INVALID, &node.span, message);
        }
        environment.insert(key.text.clone(), value);
    }
    environment
}

pub(super) fn parity(report: &mut Report<'_>, node: &Node) -> BTreeMap<String, String> {
    let mut parity = BTreeMap::new();
    for (key, node) in read::map(report, node, "`parity`").unwrap_or_default() {
        let Some(reason) = read::text(report, node, &format!("`{}`", key.text)) else { continue };
        if reason.trim().is_empty() {
            let message = format!("`{}` is said to differ, and not why", key.text);
            report.error(codes::PARITY_WITHOUT_REASON, &node.span, message);
        }
        parity.insert(key.text.clone(), reason);
    }
    parity
}

pub(super) fn tests(report: &mut Report<'_>, node: &Node) -> Vec<RuntimeTest> {
    let mut tests: Vec<RuntimeTest> = Vec::new();
    for item in read::list(report, node, "`tests`").unwrap_or_default() {
        let Some(test) = test(report, item) else { continue };
        if tests.iter().any(|other| other.name == test.name) {
            let message = format!("two tests have the name `{}`", test.name);
            report.error(codes::TEST_NAME_INVALID, &item.span, message);
        }
        tests.push(test);
    }
    tests
}

fn test(report: &mut Report<'_>, item: &Node) -> Option<RuntimeTest> {
    let map = read::map(report, item, "a test")?;
    if get(map, "name").is_none() {
        report.error(codes::TEST_NAME_INVALID, &item.span, "this test has no `name`");
    }
    let name = get(map, "name").and_then(|node| {
        let name = read::text(report, node, "`name`")?;
        let good = !name.trim().is_empty() && !name.chars().any(char::is_control);
        if !good {
            let message = "a test's name is one line, and not empty";
            report.error(codes::TEST_NAME_INVALID, &node.span, message);
        }
        good.then_some(name)
    });
    let run = match get(map, "run") {
        Some(node) => command(report, node),
        None => no_command(report, item, "this test has no `run`"),
    };
    let stdout = get(map, "stdout").and_then(|node| pattern(report, node));
    let status = get(map, "status").map_or(Some(0), |node| {
        let status = read::integer(report, node, "`status`", 0..=255)?;
        u8::try_from(status).ok()
    });
    let timeout_s = get(map, "timeout_s").map_or(Some(TEST_TIMEOUT_S), |node| {
        read::integer(report, node, "`timeout_s`", 1..=86_400)
    });
    let needs = get(map, "needs").and_then(|node| {
        let needs = read::text(report, node, "`needs`")?;
        if needs != "gpu" {
            let message = format!("a test can need a `gpu`, not `{needs}`");
            report.error(codes::TEST_OPTION_INVALID, &node.span, message);
        }
        Some(Need::Gpu)
    });
    refuse_unknown(report, map, &TEST_KEYS);
    Some(RuntimeTest {
        name: name?,
        run: run?,
        stdout,
        status: status?,
        needs,
        timeout_s: timeout_s?,
    })
}

fn command(report: &mut Report<'_>, node: &Node) -> Option<Vec<String>> {
    if let Value::Text(text) = &node.value {
        let help = format!("for a shell: `[sh, -c, {text:?}]`");
        read::wrong_type(report, node, "`run`", "a list of the command and its arguments");
        if let Some(last) = report.diagnostics.last_mut() {
            last.help = Some(help);
        }
        return None;
    }
    let items = read::list(report, node, "`run`")?;
    let run = read::texts(report, node, "`run`");
    if items.is_empty() || run.first().is_some_and(String::is_empty) {
        return no_command(report, node, "`run` names no command");
    }
    if run.iter().any(|argument| argument.contains('\0')) {
        return no_command(report, node, "an argument holds a NUL character");
    }
    (run.len() == items.len()).then_some(run)
}

fn no_command(report: &mut Report<'_>, node: &Node, message: &str) -> Option<Vec<String>> {
    report.error(codes::TEST_WITHOUT_COMMAND, &node.span, message).help =
        Some("for example `run: [python3, --version]`".to_owned());
    None
}

fn pattern(report: &mut Report<'_>, node: &Node) -> Option<String> {
    let pattern = read::text(report, node, "`stdout`")?;
    match RegexBuilder::new(&pattern).size_limit(REGEX_BYTES_MAX).build() {
        Ok(_) => Some(pattern),
        Err(error) => {
            let text = error.to_string();
            let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            let message = format!("`stdout` is no regular expression: {why}");
            report.error(codes::TEST_STDOUT_INVALID, &node.span, message);
            None
        }
    }
}

pub(super) fn limits(report: &mut Report<'_>, node: &Node) -> Limits {
    let Some(map) = read::map(report, node, "`limits`") else { return NO_LIMITS };
    let mut size = |key: &str| {
        let node = get(map, key)?;
        let bytes = match &node.value {
            Value::Text(text) | Value::Plain(_, text) => rules::size_bytes(text),
            Value::List(_) | Value::Map(_) => None,
        };
        if bytes.is_none() {
            let message = format!("`{key}` is no size");
            report.error(codes::LIMIT_INVALID, &node.span, message).help =
                Some("a whole number and a unit, for example `300 MiB` or `1 GiB`".to_owned());
        }
        bytes
    };
    let unpacked_bytes_max = size("unpacked");
    let archive_bytes_max = size("archive");
    let build_disk_bytes_max = size("build_disk").unwrap_or(NO_LIMITS.build_disk_bytes_max);
    let build_minutes_max = get(map, "build_minutes")
        .and_then(|node| read::integer(report, node, "`build_minutes`", 1..=1440))
        .unwrap_or(NO_LIMITS.build_minutes_max);
    let build_processes_max = get(map, "build_processes")
        .and_then(|node| read::integer(report, node, "`build_processes`", 1..=1_000_000))
        .unwrap_or(NO_LIMITS.build_processes_max);
    refuse_unknown(report, map, &LIMIT_KEYS);
    Limits {
        unpacked_bytes_max,
        archive_bytes_max,
        build_minutes_max,
        build_disk_bytes_max,
        build_processes_max,
    }
}

fn get<'n>(map: &'n [(Key, Node)], name: &str) -> Option<&'n Node> {
    map.iter().find(|(key, _)| key.text == name).map(|(_, node)| node)
}

fn refuse_unknown(report: &mut Report<'_>, map: &[(Key, Node)], known: &[&str]) {
    for (key, _) in map.iter().filter(|(key, _)| !known.contains(&key.text.as_str())) {
        read::unknown_key(report, key, known, map);
    }
}
