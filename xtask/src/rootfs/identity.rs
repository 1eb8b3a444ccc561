//! Which ids of the host stand behind the ids inside a build: decided from `/etc/subuid`, pure.

use std::fmt;

use rnx_sandbox::plan::{IdRange, Identity};

/// The ids a Debian tree uses: 0 up to `nobody` and `nogroup` at 65534.
const IDS_WANTED: u32 = 65_536;

/// The ids that a build's user namespace has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildIdentity {
    /// Root of the host: guest ids are the host's ids of the same number.
    Root { count: u32 },
    /// Guest 0 is the caller, the others are the caller's subordinate ids.
    Ranges { uids: Vec<IdRange>, gids: Vec<IdRange> },
    /// Guest 0 is the caller, and no other id exists.
    Single { reason: NoRanges },
}

/// Why a caller has one id only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoRanges {
    /// `/etc/subuid` gives the user no ids.
    Subuid { user: String },
    /// `/etc/subgid` gives the user no ids.
    Subgid { user: String },
    /// `newuidmap` and `newgidmap` are not installed.
    Newuidmap,
}

/// What the decision needs to know of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub uid: u32,
    pub gid: u32,
    pub user: String,
    /// The texts of `/etc/subuid` and `/etc/subgid`; empty where there is no such file.
    pub subuid: String,
    pub subgid: String,
    /// The text of `/proc/self/uid_map`.
    pub uid_map: String,
    /// Whether `newuidmap` and `newgidmap` are there.
    pub has_newuidmap: bool,
}

impl BuildIdentity {
    /// Decides the mapping of `caller`.
    pub fn of(caller: &Caller) -> Self {
        if caller.uid == 0 {
            return Self::Root { count: ids_from_zero(&caller.uid_map).min(IDS_WANTED) };
        }
        let user = || caller.user.clone();
        let uids = mapping(caller.uid, &ranges(&caller.subuid, &caller.user, caller.uid));
        let gids = mapping(caller.gid, &ranges(&caller.subgid, &caller.user, caller.uid));
        if !caller.has_newuidmap {
            return Self::Single { reason: NoRanges::Newuidmap };
        }
        if uids.len() < 2 {
            return Self::Single { reason: NoRanges::Subuid { user: user() } };
        }
        if gids.len() < 2 {
            return Self::Single { reason: NoRanges::Subgid { user: user() } };
        }
        Self::Ranges { uids, gids }
    }

    /// Returns the same decision in the words of the sandbox.
    pub fn to_sandbox(&self) -> Identity {
        match self {
            Self::Root { count } => {
                let all = vec![IdRange { guest: 0, host: 0, count: *count }];
                Identity::Ranges { uids: all.clone(), gids: all }
            }
            Self::Ranges { uids, gids } => {
                Identity::Ranges { uids: uids.clone(), gids: gids.clone() }
            }
            Self::Single { .. } => Identity::Single { uid: 0, gid: 0 },
        }
    }

    /// Returns the word that tells trees of different mappings apart in the cache's folder names.
    ///
    /// A tree's owners are host ids, so a tree made under one mapping is wrong under another.
    pub fn kind(&self) -> String {
        match self {
            Self::Root { count } => format!("root-{count}"),
            Self::Ranges { uids, gids } => {
                let start = |ranges: &[IdRange]| ranges.get(1).map_or(0, |range| range.host);
                let (uid, gid) = (start(uids), start(gids));
                if uid == gid { format!("ranges-{uid}") } else { format!("ranges-{uid}-{gid}") }
            }
            Self::Single { .. } => "single".to_owned(),
        }
    }

    /// Returns whether files can belong to more than one user.
    pub fn has_many_ids(&self) -> bool {
        match self {
            Self::Root { count } => *count > 1,
            Self::Ranges { .. } => true,
            Self::Single { .. } => false,
        }
    }
}

impl NoRanges {
    /// Returns what to do about it, as a command.
    pub fn fix(&self) -> String {
        match self {
            Self::Subuid { user } | Self::Subgid { user } => format!(
                "give `{user}` subordinate ids: `sudo usermod --add-subuids 100000-165535 \
                 --add-subgids 100000-165535 {user}` (another range where that one is taken)"
            ),
            Self::Newuidmap => "install `newuidmap`: `sudo apt-get install uidmap`".to_owned(),
        }
    }
}

impl fmt::Display for NoRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subuid { user } => write!(f, "`/etc/subuid` has no range for `{user}`"),
            Self::Subgid { user } => write!(f, "`/etc/subgid` has no range for `{user}`"),
            Self::Newuidmap => f.write_str("`newuidmap` is not installed"),
        }
    }
}

impl fmt::Display for BuildIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root { count } => write!(f, "root, ids 0 to {}", count.saturating_sub(1)),
            Self::Ranges { uids, .. } => {
                let total: u64 = uids.iter().map(|range| u64::from(range.count)).sum();
                write!(f, "an ordinary user with {total} ids")
            }
            Self::Single { reason } => write!(f, "an ordinary user with one id ({reason})"),
        }
    }
}

/// Returns the `start, count` ranges that belong to the user, by name or number (`subuid(5)`).
fn ranges(text: &str, user: &str, uid: u32) -> Vec<(u32, u32)> {
    let uid = uid.to_string();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let (owner, start, count) = (fields.next()?, fields.next()?, fields.next()?);
            let range = (start.parse().ok()?, count.parse().ok()?);
            (owner == user || owner == uid).then_some(range)
        })
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// Puts the caller at guest 0, and its subordinate ids behind it until there are enough.
fn mapping(caller: u32, ranges: &[(u32, u32)]) -> Vec<IdRange> {
    let mut mapped = vec![IdRange { guest: 0, host: caller, count: 1 }];
    let mut guest = 1;
    for &(host, count) in ranges {
        let count = count.min(IDS_WANTED - guest);
        if count == 0 {
            break;
        }
        mapped.push(IdRange { guest, host, count });
        guest += count;
    }
    mapped
}

/// Returns how many ids from 0 on the namespace around us has without a gap.
fn ids_from_zero(uid_map: &str) -> u32 {
    let mut rows: Vec<(u32, u32)> = uid_map
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (inside, _outside, count) = (fields.next()?, fields.next()?, fields.next()?);
            Some((inside.parse().ok()?, count.parse().ok()?))
        })
        .collect();
    rows.sort_unstable();
    rows.iter().fold(
        0,
        |next, &(start, count)| {
            if start == next { start.saturating_add(count) } else { next }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller() -> Caller {
        Caller {
            uid: 1000,
            gid: 100,
            user: "ann".into(),
            subuid: "bob:1:1\nann:200000:65536\n".into(),
            subgid: "1000:300000:65536\n".into(),
            uid_map: "         0          0 4294967295\n".into(),
            has_newuidmap: true,
        }
    }

    #[test]
    fn an_ordinary_user_is_guest_0_and_its_ranges_follow() {
        let identity = BuildIdentity::of(&caller());
        let row = |guest, host, count| IdRange { guest, host, count };
        assert_eq!(
            identity,
            BuildIdentity::Ranges {
                uids: vec![row(0, 1000, 1), row(1, 200_000, 65_535)],
                gids: vec![row(0, 100, 1), row(1, 300_000, 65_535)],
            }
        );
        assert_eq!(identity.kind(), "ranges-200000-300000");
        let split = Caller { subuid: "ann:7:10\nann:90:65536".into(), ..caller() };
        let BuildIdentity::Ranges { uids, .. } = BuildIdentity::of(&split) else { panic!() };
        assert_eq!(uids, [row(0, 1000, 1), row(1, 7, 10), row(11, 90, 65_525)]);
    }

    #[test]
    fn root_keeps_its_ids_as_far_as_the_namespace_has_them() {
        let root = Caller { uid: 0, ..caller() };
        assert_eq!(BuildIdentity::of(&root), BuildIdentity::Root { count: 65_536 });
        let nested = Caller { uid_map: "0 1000 1\n1 100000 1000\n".into(), ..root.clone() };
        assert_eq!(BuildIdentity::of(&nested), BuildIdentity::Root { count: 1001 });
        let alone = Caller { uid_map: "0 1000 1\n".into(), ..root };
        assert!(!BuildIdentity::of(&alone).has_many_ids());
    }

    #[test]
    fn a_user_without_a_range_is_told_which_and_the_fix() {
        for (caller, reason) in [
            (
                Caller { subuid: "ann:5:0\n".into(), ..caller() },
                "`/etc/subuid` has no range for `ann`",
            ),
            (Caller { subgid: String::new(), ..caller() }, "`/etc/subgid` has no range for `ann`"),
            (Caller { has_newuidmap: false, ..caller() }, "`newuidmap` is not installed"),
        ] {
            let BuildIdentity::Single { reason: found } = BuildIdentity::of(&caller) else {
                panic!("{caller:?}")
            };
            assert_eq!(found.to_string(), reason);
        }
    }
}
