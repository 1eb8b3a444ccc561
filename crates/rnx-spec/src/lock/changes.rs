//! What differs between two sections of lock files: pure.

use std::collections::BTreeMap;
use std::fmt;

use super::{DistroPackage, LanguagePackage, PlatformLock};

/// One thing that differs; `None` is "not there".
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// What it is: `base`, `source`, `deb`, `rpm`, `pypi`, `npm`, `maven`.
    pub kind: &'static str,
    pub name: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

impl Change {
    /// Whether it is about the base rootfs as a whole.
    pub fn is_base(&self) -> bool {
        self.kind == "base"
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, before, after } = self;
        match (before, after) {
            (Some(before), Some(after)) => write!(f, "{kind} {name} {before} → {after}"),
            (Some(before), None) => write!(f, "{kind} {name} {before} is gone"),
            (None, Some(after)) => write!(f, "{kind} {name} {after} is new"),
            (None, None) => write!(f, "{kind} {name}"),
        }
    }
}

/// Returns what differs, sorted; nothing if the two say the same.
pub fn changes(before: &PlatformLock, after: &PlatformLock) -> Vec<Change> {
    let (before, after) = (facts(before), facts(after));
    let mut found: Vec<Change> = Vec::new();
    for (key, was) in &before {
        match after.get(key) {
            Some(is) if is == was => {}
            Some(is) => found.push(change(key, Some((was, is)), None)),
            None => found.push(change(key, None, Some((was, true)))),
        }
    }
    let new = after.iter().filter(|(key, _)| !before.contains_key(*key));
    found.extend(new.map(|(key, is)| change(key, None, Some((is, false)))));
    found.sort();
    found
}

/// What a person looks a thing up by, and, for packages that are there several times, where.
type Key = (&'static str, String, String);

/// The version first, then everything else that must be the same.
type Fact = (String, Vec<String>);

fn facts(lock: &PlatformLock) -> BTreeMap<Key, Fact> {
    let base = &lock.base;
    let base_rest = vec![base.digest.to_string(), base.os.clone(), base.os_version.clone()];
    let mut facts = BTreeMap::from([(
        ("base", base.name.clone(), String::new()),
        (base.digest.to_string(), base_rest),
    )]);
    for source in &lock.sources {
        let key = ("source", source.file.clone(), String::new());
        facts.insert(key, (source.sha256.to_string(), vec![source.url.clone()]));
    }
    facts.extend(lock.distro.iter().map(distro));
    facts.extend(lock.language.iter().map(language));
    facts
}

fn distro(package: &DistroPackage) -> (Key, Fact) {
    let DistroPackage { name, arch, version, format, in_tree, sha256 } = package;
    let place = if *in_tree { "in the tree" } else { "in the chroot alone" };
    let digest = sha256.map_or_else(|| "digest not known".to_owned(), |digest| digest.to_string());
    let key = (format.as_str(), name.clone(), arch.clone());
    (key, (version.clone(), vec![place.to_owned(), digest]))
}

fn language(package: &LanguagePackage) -> (Key, Fact) {
    let LanguagePackage { kind, name, path, version, sha256, download } = package;
    // The path of a Python package holds its version: an update is the same package all the same.
    let place = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
    let mut rest = vec![sha256.to_string()];
    rest.extend(download.map(|digest| format!("download {digest}")));
    ((kind.as_str(), name.clone(), place), (version.clone(), rest))
}

/// Two versions where the versions differ, and what else differs where they do not.
fn change(key: &Key, both: Option<(&Fact, &Fact)>, one: Option<(&Fact, bool)>) -> Change {
    let (kind, name) = (key.0, key.1.clone());
    if let Some((was, is)) = both {
        let (before, after) =
            if was.0 == is.0 { differing(was, is) } else { (was.0.clone(), is.0.clone()) };
        return Change { kind, name, before: Some(before), after: Some(after) };
    }
    let version = one.map(|(fact, _)| fact.0.clone());
    let was_there = one.is_some_and(|(_, was_there)| was_there);
    let (before, after) = if was_there { (version, None) } else { (None, version) };
    Change { kind, name, before, after }
}

fn differing(was: &Fact, is: &Fact) -> (String, String) {
    let count = was.1.len().max(is.1.len());
    let at = |fact: &Fact, index: usize| fact.1.get(index).cloned().unwrap_or_default();
    let words = |own: &Fact, other: &Fact| {
        let own_words: Vec<String> =
            (0..count).filter(|&i| at(own, i) != at(other, i)).map(|i| at(own, i)).collect();
        format!("{} ({})", own.0, own_words.join(", "))
    };
    (words(was, is), words(is, was))
}
