//! Whether this machine can build, found out by trying.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

use rnx_spec::Arch;

use crate::host::tools::{self, MissingTool, Need};
use crate::host::{self, Binfmt};
use crate::rootfs::identity::{BuildIdentity, Caller};
use crate::rootfs::{self, Probe};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub name: &'static str,
    pub outcome: Outcome,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Works(String),
    /// Building goes on without it, up to what `lacks` says.
    Limited {
        lacks: String,
        fix: String,
    },
    Broken {
        why: String,
        fix: String,
    },
}

/// All that was found, and what can be installed about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub checks: Vec<Check>,
    pub missing: Vec<MissingTool>,
}

/// Looks at everything that building needs.
///
/// `path` is the value of `PATH`; programs are tried in a folder below `cache_dir`, where bases will lie.
pub fn examine(caller: &Caller, path: &OsStr, cache_dir: &Path) -> Report {
    let identity = BuildIdentity::of(caller);
    let mut needs = vec![Need::Debootstrap, Need::Xz, Need::Zstd];
    if caller.uid != 0 {
        needs.insert(1, Need::Ids);
    }
    let missing = tools::missing_tools(&needs, path);
    let mut checks = vec![ids(&identity), namespaces(&identity, cache_dir)];
    checks.extend(needs.iter().map(|need| programs(*need, path)));
    checks.extend([Arch::Amd64, Arch::Arm64].map(|arch| architecture(arch, path)));
    Report { checks, missing }
}

impl Report {
    /// Whether a Debian base can be made and built on.
    pub fn can_build(&self) -> bool {
        !self.checks.iter().any(|check| matches!(check.outcome, Outcome::Broken { .. }))
    }
}

fn ids(identity: &BuildIdentity) -> Check {
    let outcome = match identity {
        BuildIdentity::Single { reason } => Outcome::Broken {
            why: format!(
                "{reason}: Debian bases, whose files belong to several ids, cannot be made"
            ),
            fix: reason.fix(),
        },
        identity if !identity.has_many_ids() => Outcome::Broken {
            why: "the user namespace around this process has one id".to_owned(),
            fix: "start it with a range of ids, or work as the host's user".to_owned(),
        },
        identity => Outcome::Works(identity.to_string()),
    };
    Check { name: "user ids", outcome }
}

fn namespaces(identity: &BuildIdentity, cache_dir: &Path) -> Check {
    let outcome = match rootfs::probe(identity, cache_dir) {
        Ok(()) => {
            Outcome::Works("user namespaces and overlay mounts, in the cache folder".to_owned())
        }
        Err(error) => Outcome::Broken { why: one_line(&error), fix: fix(&error, &Sysctls::read()) },
    };
    Check { name: "namespaces", outcome }
}

/// Settings by which a host forbids user namespaces.
#[derive(Debug, Default)]
struct Sysctls {
    apparmor_restricts: bool,
    clone_forbidden: bool,
    none_left: bool,
}

impl Sysctls {
    fn read() -> Self {
        let is = |name: &str, value: &str| {
            fs_err::read_to_string(Path::new("/proc/sys").join(name))
                .is_ok_and(|text| text.trim() == value)
        };
        Self {
            apparmor_restricts: is("kernel/apparmor_restrict_unprivileged_userns", "1"),
            clone_forbidden: is("kernel/unprivileged_userns_clone", "0"),
            none_left: is("user/max_user_namespaces", "0"),
        }
    }
}

fn fix(error: &Probe, sysctls: &Sysctls) -> String {
    let set = |setting| format!("allow them: `sudo sysctl -w {setting}`");
    if sysctls.none_left {
        set("user.max_user_namespaces=10000")
    } else if sysctls.clone_forbidden {
        set("kernel.unprivileged_userns_clone=1")
    } else if sysctls.apparmor_restricts {
        set("kernel.apparmor_restrict_unprivileged_userns=0")
    } else {
        match error {
            Probe::Folder { .. } => "name another folder: `--cache-dir`".to_owned(),
            Probe::Namespace(_) => {
                "in a container: allow user namespaces and mounts there, or build outside it".to_owned()
            }
            Probe::Overlay(_) => {
                "keep the cache on ext4, xfs, btrfs or tmpfs, with Linux 5.11 or newer: `--cache-dir`"
                    .to_owned()
            }
        }
    }
}

fn programs(need: Need, path: &OsStr) -> Check {
    let (name, optional) = match need {
        Need::Debootstrap => ("Debian bases", false),
        Need::Foreign => ("foreign Debian bases", true),
        Need::Ids => ("newuidmap", false),
        Need::Xz => ("xz archives", true),
        Need::Zstd => ("zstd archives", true),
        Need::Tests => ("tests of this repository", true),
    };
    let missing = tools::missing_tools(&[need], path);
    let lacks: Vec<_> = missing.iter().map(ToString::to_string).collect();
    let lacks = lacks.join("; ");
    let fix = "`cargo xtask doctor --install`".to_owned();
    let outcome = match (missing.is_empty(), optional) {
        (true, _) => Outcome::Works("its programs are here".to_owned()),
        (false, true) => Outcome::Limited { lacks: format!("no {lacks}"), fix },
        (false, false) => Outcome::Broken { why: format!("no {lacks}"), fix },
    };
    Check { name, outcome }
}

fn architecture(arch: Arch, path: &OsStr) -> Check {
    let name = match arch {
        Arch::Amd64 => "amd64 programs",
        Arch::Arm64 => "arm64 programs",
    };
    let outcome = match host::binfmt(arch) {
        Binfmt::Native => Outcome::Works("native".to_owned()),
        Binfmt::Emulated if !tools::missing_tools(&[Need::Foreign], path).is_empty() => {
            Outcome::Limited {
                lacks: "emulated, but `mmdebstrap` makes no base without `arch-test`".to_owned(),
                fix: "`sudo apt-get install arch-test`".to_owned(),
            }
        }
        Binfmt::Emulated => Outcome::Works("emulated, many times slower".to_owned()),
        Binfmt::Missing(problem) => {
            Outcome::Limited { lacks: problem.to_string(), fix: problem.fix() }
        }
    };
    Check { name, outcome }
}

fn one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text.replace('\n', " ")
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name;
        match &self.outcome {
            Outcome::Works(how) => write!(f, "✓ {name}: {how}"),
            Outcome::Limited { lacks, fix } => write!(f, "! {name}: {lacks}\n    {fix}"),
            Outcome::Broken { why, fix } => write!(f, "✗ {name}: {why}\n    {fix}"),
        }
    }
}
