//! Giving a manifest another version: a few bytes change, and nothing else.

use super::report::Report;
use super::syntax::{self, Node, Value};
use super::{locate, parse};
use crate::Version;

/// A manifest's version could not be changed. Nothing is wrong with other ways to write it; this program would have to
/// change more than it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BumpError {
    #[error("the manifest has errors, so its version cannot be found")]
    Invalid,
    #[error("the version is written in a way that cannot be changed by itself: `{written}`")]
    Written { written: String },
    #[error("changing the version would change other values too: is it anchored with `&`?")]
    NotAlone,
}

/// Which number of a version goes up; the numbers after it become 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bump {
    Major,
    Minor,
    Patch,
}

impl Bump {
    /// Returns the next version; `None` where a number has no successor.
    pub fn apply(self, version: Version) -> Option<Version> {
        let Version { major, minor, patch } = version;
        Some(match self {
            Self::Major => Version { major: major.checked_add(1)?, minor: 0, patch: 0 },
            Self::Minor => Version { major, minor: minor.checked_add(1)?, patch: 0 },
            Self::Patch => Version { major, minor, patch: patch.checked_add(1)? },
        })
    }
}

/// Returns the text of a manifest with another version: comments, quotes and layout stay as they are.
///
/// The result was read again, and differs in the version alone.
pub fn with_version(text: &str, version: Version) -> Result<String, BumpError> {
    let old = parse(text).value.ok_or(BumpError::Invalid)?;
    let span = locate(text, &["version"]).ok_or(BumpError::Invalid)?.0;
    let written = text.get(span.clone()).unwrap_or_default();
    let not_so = || BumpError::Written { written: written.to_owned() };
    let replacement = match written.as_bytes() {
        [b'"', .., b'"'] => format!("\"{version}\""),
        [b'\'', .., b'\''] => format!("'{version}'"),
        [b'0'..=b'9', ..] => version.to_string(),
        _ => return Err(not_so()),
    };
    let mut changed = text.to_owned();
    changed.replace_range(span, &replacement);
    let new = parse(&changed).value.ok_or_else(not_so)?;
    let (before, after) = (tree(text), tree(&changed));
    let (Some(before), Some(after)) = (before, after) else { return Err(BumpError::Invalid) };
    if new.version != version || !same_but_version(&before, &after) {
        return Err(BumpError::NotAlone);
    }
    debug_assert_eq!(super::Manifest { version: old.version, ..new }, old);
    Ok(changed)
}

fn tree(text: &str) -> Option<Node> {
    syntax::parse(text, &mut Report::new(text))
}

fn same_but_version(before: &Node, after: &Node) -> bool {
    let (Value::Map(before), Value::Map(after)) = (&before.value, &after.value) else {
        return false;
    };
    before.len() == after.len()
        && before.iter().zip(after).all(|((old_key, old), (new_key, new))| {
            old_key.text == new_key.text && (old_key.text == "version" || same(old, new))
        })
}

fn same(before: &Node, after: &Node) -> bool {
    match (&before.value, &after.value) {
        (Value::Text(old), Value::Text(new)) => old == new,
        (Value::Plain(old_kind, old), Value::Plain(new_kind, new)) => {
            (old_kind, old) == (new_kind, new)
        }
        (Value::List(old), Value::List(new)) => {
            old.len() == new.len() && old.iter().zip(new).all(|(old, new)| same(old, new))
        }
        (Value::Map(old), Value::Map(new)) => {
            let pairs = old.iter().zip(new);
            old.len() == new.len()
                && pairs.into_iter().all(|((a, old), (b, new))| a.text == b.text && same(old, new))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: &str = "name: a\ndescription: d # keep\nplatforms: [ubuntu-amd64]\n";

    fn bumped(lines: &str) -> Result<String, BumpError> {
        let text = format!("# first\n{lines}{REST}");
        let changed = with_version(&text, "1.3.0".parse().unwrap())?;
        Ok(changed.strip_prefix("# first\n").unwrap().strip_suffix(REST).unwrap().to_owned())
    }

    #[test]
    fn comments_and_quotes_stay() {
        for (old, new) in [
            ("version: 1.2.9\n", "version: 1.3.0\n"),
            ("version:   \"1.2.9\"   # why\n", "version:   \"1.3.0\"   # why\n"),
            (
                "version: '1.2.9'\r\njava_version: 1.2.9\n",
                "version: '1.3.0'\r\njava_version: 1.2.9\n",
            ),
            ("\"version\": !!str 1.2.9\n", "\"version\": !!str 1.3.0\n"),
            ("v: &v 1.2.9\nversion: 1.2.9\nw: *v\n", "v: &v 1.2.9\nversion: 1.3.0\nw: *v\n"),
        ] {
            assert_eq!(bumped(old).as_deref(), Ok(new));
        }
        let one_line = "{name: a, version: 1.0.0, description: d, platforms: [ubuntu-amd64]}";
        let changed = with_version(one_line, "2.0.0".parse().unwrap()).unwrap();
        assert_eq!(changed, one_line.replace("1.0.0", "2.0.0"));
    }

    #[test]
    fn a_version_that_other_values_hang_on_is_left_alone() {
        assert_eq!(bumped("version: &v 1.2.9\nother_version: *v\n"), Err(BumpError::NotAlone));
        let alias = bumped("v: &v 1.2.9\nversion: *v\n").unwrap_err();
        assert_eq!(alias, BumpError::Written { written: "*v".to_owned() });
        let block = bumped("version: |-\n  1.2.9\n").unwrap_err();
        assert!(matches!(block, BumpError::Written { .. }), "{block}");
        assert_eq!(bumped("version: 1.2\n"), Err(BumpError::Invalid));
    }

    #[test]
    fn the_numbers_after_the_one_that_goes_up_become_0() {
        let version: Version = "1.2.3".parse().unwrap();
        let next = |bump: Bump| bump.apply(version).unwrap().to_string();
        assert_eq!([Bump::Major, Bump::Minor, Bump::Patch].map(next), ["2.0.0", "1.3.0", "1.2.4"]);
        assert_eq!(Bump::Patch.apply(Version { patch: u64::MAX, ..version }), None);
    }
}
