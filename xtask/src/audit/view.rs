//! The tree as a job sees it: guest paths, through the mounts of `runtime.yml`, to entries.
//!
//! Symlinks are followed inside the guest's root, on the listing alone; nothing here touches a disk.

use std::collections::VecDeque;
use std::fmt;

use super::listing::{FileFacts, Listing, Node, NodeKind};

/// What the job runner itself puts into every job.
pub const PROVIDED: [&str; 6] = ["/proc", "/dev", "/sys", "/tmp", "/run", "/work"];

/// As many symlinks as the kernel follows.
const LINKS_MAX: usize = 40;

/// A listing, seen through mounts.
#[derive(Debug, Clone)]
pub struct MountView<'a> {
    listing: &'a Listing,
    /// Guest targets and the tree paths mounted there; the deepest targets first.
    mounts: Vec<(String, String)>,
}

/// What a guest path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    Folder,
    File(&'a FileFacts),
    Special,
    /// Something that the job runner provides.
    Provided,
}

/// How a guest path was followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk<'a> {
    /// The symlinks on the way: guest path without symlinks in its folders, and target.
    pub links: Vec<(String, String)>,
    pub end: Result<Place<'a>, WalkError>,
}

/// Where a walk ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place<'a> {
    /// The guest path without symlinks.
    pub guest: String,
    /// The path in the listing; `None` for a folder that only exists as a mount's parent.
    pub tree: Option<String>,
    pub mode: u32,
    pub found: Found<'a>,
}

/// A guest path that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalkError {
    pub asked: String,
    /// Where the way ended.
    pub at: String,
    pub reason: Reason,
}

/// Why a guest path leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    Missing,
    NotFolder,
    Loop,
}

enum At<'a> {
    Node(String, &'a Node),
    /// A parent of a mount's target.
    Parent,
    Provided,
    Nothing,
}

impl<'a> MountView<'a> {
    /// Sees `listing` through pairs of guest target and tree path.
    pub fn new(listing: &'a Listing, mounts: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut mounts: Vec<_> = mounts
            .into_iter()
            .map(|(target, source)| (target.trim_end_matches('/').to_owned(), source))
            .collect();
        mounts.sort_by_key(|(target, _)| std::cmp::Reverse(target.len()));
        Self { listing, mounts }
    }

    /// Returns the listing that is seen.
    pub fn listing(&self) -> &'a Listing {
        self.listing
    }

    /// Follows a guest path and all its symlinks.
    pub fn walk(&self, guest: &str) -> Walk<'a> {
        let mut links = Vec::new();
        let end = self.follow(guest, &mut links);
        Walk { links, end }
    }

    /// Returns the file at a guest path, if there is one.
    pub fn file(&self, guest: &str) -> Option<(Place<'a>, &'a FileFacts)> {
        let place = self.walk(guest).end.ok()?;
        match place.found {
            Found::File(facts) => Some((place, facts)),
            _ => None,
        }
    }

    /// Returns the guest path of an entry, if a mount shows it.
    ///
    /// Where several do, as `/usr/bin` and `/bin` of a merged `/usr`, it is the one that the
    /// entry has in the tree as well: relative symlinks were made there.
    pub fn guest_of(&self, tree: &str) -> Option<String> {
        let shown = self.mounts.iter().filter_map(|(target, source)| {
            let rest = below(tree, source)?;
            let slash = if rest.is_empty() || rest.starts_with('/') { "" } else { "/" };
            let guest = format!("{target}{slash}{rest}");
            matches!(self.at(&guest), At::Node(path, _) if path == tree).then_some(guest)
        });
        shown.max_by_key(|guest| if tree.ends_with(guest.as_str()) { guest.len() } else { 0 })
    }

    fn follow(
        &self,
        guest: &str,
        links: &mut Vec<(String, String)>,
    ) -> Result<Place<'a>, WalkError> {
        let fail =
            |at: &str, reason| WalkError { asked: guest.to_owned(), at: at.to_owned(), reason };
        let mut way: VecDeque<String> = parts(guest).collect();
        let mut path = String::new();
        let mut last = Place { guest: "/".into(), tree: None, mode: 0o755, found: Found::Folder };
        if let At::Node(tree, _) = self.at("") {
            last.tree = Some(tree);
        }
        while let Some(part) = way.pop_front() {
            if part == ".." {
                path.truncate(path.rfind('/').unwrap_or(0));
                last = self.folder(&path);
                continue;
            }
            path = format!("{path}/{part}");
            let (tree, node) = match self.at(&path) {
                At::Nothing => {
                    let rest = way.iter().map(|part| format!("/{part}")).collect::<String>();
                    return Err(fail(&format!("{path}{rest}"), Reason::Missing));
                }
                At::Provided => {
                    let found = Found::Provided;
                    return Ok(Place { guest: path, tree: None, mode: 0o755, found });
                }
                At::Parent => {
                    last = self.folder(&path);
                    continue;
                }
                At::Node(tree, node) => (tree, node),
            };
            let found = match &node.kind {
                NodeKind::Symlink { target } => {
                    links.push((path.clone(), target.clone()));
                    if links.len() > LINKS_MAX {
                        return Err(fail(&path, Reason::Loop));
                    }
                    let keep =
                        if target.starts_with('/') { 0 } else { path.rfind('/').unwrap_or(0) };
                    path.truncate(keep);
                    last = self.folder(&path);
                    parts(target).rev().for_each(|part| way.push_front(part));
                    continue;
                }
                NodeKind::Dir => Found::Folder,
                NodeKind::File(facts) => Found::File(facts),
                NodeKind::Special(_) => Found::Special,
            };
            if found != Found::Folder && !way.is_empty() {
                return Err(fail(&path, Reason::NotFolder));
            }
            last = Place { guest: path.clone(), tree: Some(tree), mode: node.mode, found };
        }
        Ok(last)
    }

    fn folder(&self, path: &str) -> Place<'a> {
        let tree = match self.at(path) {
            At::Node(tree, _) => Some(tree),
            _ => None,
        };
        let guest = if path.is_empty() { "/".to_owned() } else { path.to_owned() };
        Place { guest, tree, mode: 0o755, found: Found::Folder }
    }

    fn at(&self, guest: &str) -> At<'a> {
        for (target, source) in &self.mounts {
            if let Some(rest) = below(guest, target) {
                let tree = format!("{source}{rest}").trim_matches('/').to_owned();
                if let Some(node) = self.listing.nodes.get(&tree) {
                    return At::Node(tree, node);
                }
                break;
            }
        }
        if PROVIDED.iter().any(|provided| below(guest, provided).is_some()) {
            At::Provided
        } else if self.mounts.iter().any(|(target, _)| below(target, guest).is_some()) {
            At::Parent
        } else {
            At::Nothing
        }
    }
}

/// Returns what follows `prefix` in `path`, if it is `prefix` or lies below it.
pub fn below<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    path.strip_prefix(prefix)
        .filter(|rest| rest.is_empty() || rest.starts_with('/') || prefix.is_empty())
}

/// Returns the parts of a path, without empty ones and `.`.
pub fn parts(path: &str) -> impl DoubleEndedIterator<Item = String> + '_ {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned)
}

impl fmt::Display for WalkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked, at, reason } = self;
        if asked == at {
            write!(f, "`{asked}` ")?;
        } else {
            write!(f, "`{asked}` leads to `{at}`, which ")?;
        }
        f.write_str(match reason {
            Reason::Missing => "does not exist",
            Reason::NotFolder => "is not a folder",
            Reason::Loop => "is a loop of symlinks",
        })
    }
}
