//! The rules of the house that no compiler knows: [`run`] reads, the rest judges texts.

pub mod links;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::tool::{self, Invocation, ToolError};

/// A source file may have this many lines.
const LINES_MAX: usize = 500;

/// The crates by floor; dependencies point down, never up or sideways.
const FLOORS: [(&str, u8); 6] = [
    ("rnx-spec", 0),
    ("rnx-archive", 1),
    ("rnx-store", 2),
    ("rnx-sandbox", 2),
    ("rnx", 3),
    ("xtask", 4),
];

/// Crates that use less than their floor would let them.
const ONLY: [(&str, &[&str]); 2] = [("rnx-sandbox", &[]), ("rnx-store", &["rnx-spec"])];

/// For tests alone, and above all floors.
const TEST_SUPPORT: &str = "test-support";

/// Texts that no file holds. Each is in halves here, so that this file passes its own rule.
const FORBIDDEN: [(&str, &str, &str); 5] = [
    ("/ro", "ot/", "a path of one machine"),
    ("crates", ".io/", "the host of a package registry"),
    ("python", "hosted.org", "the host of a package registry"),
    ("registry.npm", "js.org", "the host of a package registry"),
    ("deb.debian", ".org", "the host of a package registry"),
];

/// Cargo writes the registry's name into its lock file by itself.
const LOCK: &str = "Cargo.lock";

/// A rule that a file breaks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Untidy {
    pub path: String,
    /// Counted from 1; `None` for the whole file.
    pub line: Option<usize>,
    pub message: String,
}

/// The repository could not be looked through.
#[derive(Debug, thiserror::Error)]
pub enum TidyError {
    #[error("failed to list the files of `{}`", root.display())]
    List { root: PathBuf, source: ToolError },
    #[error("failed to ask cargo for the crates of `{}`", root.display())]
    Metadata { root: PathBuf, source: ToolError },
    #[error("failed to read what cargo says of the crates")]
    MetadataJson { source: serde_json::Error },
    #[error("failed to read a file of the repository")]
    Read { source: io::Error },
}

/// Checks all files of the workspace at `root` that git does not ignore. ⚡
pub fn run(root: &Path) -> Result<Vec<Untidy>, TidyError> {
    let git = Invocation::new("git").arg("-C").arg(root);
    let git = git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed =
        tool::run(&git).map_err(|source| TidyError::List { root: root.to_owned(), source })?;
    let mut untidy = Vec::new();
    let (mut pages, mut paths) = (BTreeMap::new(), BTreeSet::new());
    for path in String::from_utf8_lossy(&listed.stdout).split_terminator('\0') {
        let place = root.join(path);
        // A file that was removed stays listed until that is committed.
        if !place.is_file() {
            continue;
        }
        let bytes = fs_err::read(&place).map_err(|source| TidyError::Read { source })?;
        // Fixtures with other bytes have no text to judge.
        if let Ok(text) = String::from_utf8(bytes) {
            untidy.extend(check_text(path, &text));
            if place.extension().is_some_and(|extension| extension == "md") {
                pages.insert(path.to_owned(), text);
            }
        }
        paths.insert(path.to_owned());
    }
    untidy.extend(links::check(&pages, &paths));
    let cargo = Invocation::new("cargo")
        .args(["metadata", "--format-version=1", "--no-deps", "--offline", "--manifest-path"])
        .arg(root.join("Cargo.toml"));
    let metadata = tool::run(&cargo)
        .map_err(|source| TidyError::Metadata { root: root.to_owned(), source })?;
    let metadata: Value = serde_json::from_slice(&metadata.stdout)
        .map_err(|source| TidyError::MetadataJson { source })?;
    untidy.extend(check_floors(&metadata));
    untidy.sort();
    Ok(untidy)
}

/// Checks one file.
pub fn check_text(path: &str, text: &str) -> Vec<Untidy> {
    let mut untidy = Vec::new();
    let is_rust = Path::new(path).extension().is_some_and(|extension| extension == "rs");
    let mut say = |line: Option<usize>, message: String| {
        untidy.push(Untidy { path: path.to_owned(), line, message });
    };
    if is_rust && !text.starts_with("//! ") {
        say(Some(1), "the file does not begin with a `//!` sentence".to_owned());
    }
    let lines = text.lines().count();
    if is_rust && lines > LINES_MAX {
        say(None, format!("the file has {lines} lines, more than {LINES_MAX}: split it"));
    }
    for (number, line) in (1..).zip(text.lines()) {
        for (head, tail, what) in FORBIDDEN {
            if path != LOCK && line.contains(&format!("{head}{tail}")) {
                say(Some(number), format!("`{head}{tail}` is {what}"));
            }
        }
        let dense: String = line.split_whitespace().collect();
        if is_rust && dense.contains(concat!("#[fr", "om]")) && dense.contains("io::Error") {
            say(Some(number), "an error made from `io::Error` alone names no path".to_owned());
        }
        if is_rust && dense.contains(concat!("Other(", "String)")) {
            say(Some(number), "an error of text alone hides what failed".to_owned());
        }
    }
    untidy
}

/// Checks the dependencies between the workspace's crates; `metadata` is cargo's.
pub fn check_floors(metadata: &Value) -> Vec<Untidy> {
    let mut untidy = Vec::new();
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    for package in packages {
        let from = package["name"].as_str().unwrap_or_default();
        let dependencies = package["dependencies"].as_array().map_or(&[][..], Vec::as_slice);
        for dependency in dependencies.iter().filter(|dependency| !dependency["path"].is_null()) {
            let to = dependency["name"].as_str().unwrap_or_default();
            let dev = dependency["kind"] == "dev";
            if !may_use(from, to, dev) {
                let path = format!("crate {from}");
                let message = format!("it stands too low to use `{to}`");
                untidy.push(Untidy { path, line: None, message });
            }
        }
    }
    untidy
}

fn may_use(from: &str, to: &str, dev: bool) -> bool {
    let floor = |name| FLOORS.iter().find(|(known, _)| *known == name).map(|(_, floor)| *floor);
    if from == TEST_SUPPORT || (to == TEST_SUPPORT && dev) {
        return true;
    }
    if let Some((_, only)) = ONLY.iter().find(|(name, _)| *name == from) {
        return only.contains(&to);
    }
    floor(from).zip(floor(to)).is_some_and(|(from, to)| to < from)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn this_repository_is_tidy() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        assert_eq!(run(root).unwrap(), []);
    }

    #[test]
    fn every_rule_speaks() {
        let error = concat!("    Io(#[fr", "om] std::io::Error),\n    Other(", "String),\n");
        let text = format!("{error}// {}{}\n{}", "/ro", "ot/x", "\n".repeat(LINES_MAX));
        let said: Vec<_> = check_text("a.rs", &text).into_iter().map(|found| found.line).collect();
        assert_eq!(said, [Some(1), None, Some(1), Some(2), Some(3)]);
        let uses = |from: &str, to: &str, kind: Value| {
            let dependency = json!({"name": to, "path": "x", "kind": kind});
            check_floors(&json!({"packages": [{"name": from, "dependencies": [dependency]}]})).len()
        };
        assert_eq!(uses("xtask", "rnx", Value::Null), 0);
        assert_eq!(uses("rnx", "xtask", Value::Null), 1);
        assert_eq!(uses("rnx-store", "rnx-archive", Value::Null), 1);
        assert_eq!(uses("rnx", TEST_SUPPORT, json!("dev")), 0);
        assert_eq!(uses("rnx", TEST_SUPPORT, Value::Null), 1);
    }
}
